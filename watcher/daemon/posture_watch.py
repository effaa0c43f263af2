"""Looks at how this machine stands now and then, and tells what changed since the last look."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from watcher.event import Event
from watcher.host import now_us, this_host
from watcher.kinds import Kind
from watcher.posture import Posture, inspect
from watcher.posture_events import posture_events

LOOK_S: Final = 600.0
"""How often to look though nothing hints at a change; a look takes some 20 ms."""
_HINTS: Final[frozenset[Kind]] = frozenset(
    ("lockdown.enabled", "lockdown.lifted", "lockdown.lift_refused", "secureboot.state")
)


class PostureWatch:
    """Remembers what the last look saw, `last`, for as long as the daemon runs."""

    def __init__(self) -> None:
        self.last: Posture | None = None
        self._due_s = time.monotonic()

    def hear(self, events: Iterable[Event]) -> None:
        """Look again soon if these events speak of a change."""
        if any(event.kind in _HINTS for event in events):
            self._due_s = time.monotonic()

    def due_s(self) -> float:
        """Give the seconds until the next look."""
        return max(0.0, self._due_s - time.monotonic())

    def look(self) -> list[Event]:
        """Look, and give what is new: at first only what does not fit together."""
        now = inspect()
        found = posture_events(self.last, now, this_host(), now_us())
        self.last, self._due_s = now, time.monotonic() + LOOK_S
        return found
