"""One log on its way into the store: what is read becomes events, and how far it was read.

The state that is committed with the events holds all that a restart needs to go on as if nothing
had happened: the place in the log, the numbers of the last equal lines, and a flood being counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

from watcher.detect import Detector
from watcher.event import Event
from watcher.flood import Flood
from watcher.record import Gap, Record
from watcher.rules import Pack
from watcher.rules.prefilter import Prefilter


class Source(Protocol):
    """A log that is followed and can be gone on with."""

    name: str
    lines_read: int
    also: tuple[bytes, ...]
    """Texts it looks for besides the rules'."""

    @property
    def position(self) -> str:
        """Give the place up to which all was given; a source made with it goes on there."""

    def fileno(self) -> int:
        """Give a descriptor that becomes readable when there is more; may change after `read`."""

    def read(self) -> Iterator[list[Record | Gap]]:
        """Give batches until the source is drained; never waits."""

    def use(self, prefilter: Prefilter) -> None:
        """Look for what other rules want."""

    def close(self) -> None:
        """Let go of the log."""


class Feed:
    """Carries one source through rules and flood control."""

    def __init__(self, source: Source, pack: Pack, per_minute: int, state: str | None) -> None:
        known = opened(state)
        self.source = source
        self._detector = Detector(pack, known.get("ordinals"))
        self._flood = Flood(per_minute, known.get("flood"))
        self._state = state

    @property
    def name(self) -> str:
        """Give the name its position is kept under."""
        return self.source.name

    @property
    def holds_gap(self) -> bool:
        """Tell whether a gap waits for one that adjoins it."""
        return self._detector.holds_back

    @property
    def folding(self) -> bool:
        """Tell whether a flood is being counted."""
        return self._flood.waiting

    def use(self, pack: Pack) -> None:
        """Go on with other rules."""
        self._detector.use(pack)
        self.source.use(pack.prefilter(*self.source.also))

    def batches(self) -> Iterator[list[Event]]:
        """Give the events of all there is now; after each batch `state` is what it left."""
        for batch in self.source.read():
            yield [
                each
                for item in batch
                for event in self._detector.events(item)
                for each in self._flood.passed(event)
            ]

    def flush_gap(self) -> list[Event]:
        """Give the gap that was held back, for the log has been quiet."""
        return [each for event in self._detector.flush() for each in self._flood.passed(event)]

    def flush_flood(self) -> list[Event]:
        """Give what was folded, for it is over."""
        return list(self._flood.flush())

    def state(self) -> str | None:
        """Give what a restart goes on from; while a gap is open, what was before it."""
        if not self._detector.holds_back:
            self._state = json.dumps(
                {
                    "at": self.source.position,
                    "ordinals": self._detector.ordinals(),
                    "flood": self._flood.state(),
                }
            )
        return self._state


def opened(state: str | None) -> dict[str, Any]:
    """Read what `Feed.state` gave; an unreadable one is as good as none."""
    try:
        found = json.loads(state or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
