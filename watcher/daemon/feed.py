"""One log on its way into the store: what is read becomes events, and how far it was read.

The state that is committed with the events holds all that a restart needs to go on as if nothing
had happened: the place in the log, the numbers of the last equal lines, and a flood being counted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

from watcher.daemon.flood import Flood
from watcher.detect import Detector
from watcher.errors import SourceError
from watcher.event import Event
from watcher.follow import HELD_S, QUIET_S, Resumable
from watcher.rules import Pack
from watcher.rules.correlation import Correlator

FLOOD_S: Final = 60.0
"""A fold is told after so long a quiet, if no line of another minute came before."""


class Log(Protocol):
    """What the daemon follows: one feed, or one for each file of a folder."""

    def feeds(self) -> Iterable[Feed]:
        """Give those that may have something new; each is to be drained before the next."""

    def fileno(self) -> int | None:
        """Give a descriptor that becomes readable when there is more; None: come back in time."""

    def due_s(self) -> float | None:
        """Give seconds after which to come back though nothing new was read."""

    def use(self, pack: Pack) -> None:
        """Go on with other rules."""

    def troubles(self) -> list[Event]:
        """Give what is to be told of the log itself; once."""

    def gave_up(self, feed: Feed, error: SourceError) -> None:
        """Go on without `feed`, which cannot be read; raises `error` where nothing is left."""

    def close(self) -> None:
        """Let go of it."""


class Feed:
    """Carries one source through rules and flood control; `name` is what its state is kept under.

    `complete`: the log is a file that nobody writes to any more. `correlator` is the same for
    all logs, since they may tell of the same line; it keeps its own state.
    """

    def __init__(  # noqa: PLR0913 - what a log is, what is done with it, how far it was
        self,
        source: Resumable,
        pack: Pack,
        per_minute: int,
        state: str | None,
        *,
        name: str | None = None,
        complete: bool = False,
        correlator: Correlator | None = None,
    ) -> None:
        known = opened(state)
        self.source, self.name = source, name or source.name
        self._complete = complete
        self._saved = 0, bool(known.get("complete"))
        self._detector = Detector(pack, known.get("ordinals"), correlator)
        self._flood = Flood(per_minute, known.get("flood"), name or "")
        self._state = state
        self._gap_s = self._folded_s = time.monotonic()
        self._folded = 0

    def feeds(self) -> Iterable[Feed]:
        """Give what may have something new: itself."""
        return (self,)

    def fileno(self) -> int:
        """Give what the source is waited for with."""
        return self.source.fileno()

    def due_s(self) -> float | None:
        """Give seconds after which to come back though nothing new was read."""
        if self._detector.holds_back:
            return QUIET_S
        return FLOOD_S if self._flood.waiting else None

    def troubles(self) -> list[Event]:
        """Give nothing: what there is to tell comes with the lines."""
        return []

    def gave_up(self, feed: Feed, error: SourceError) -> None:  # noqa: ARG002 - as in Log
        """Raise `error`: there is nothing else to read here."""
        raise error

    def close(self) -> None:
        """Let go of the log."""
        self.source.close()

    @property
    def idle(self) -> bool:
        """Tell whether nothing is held back: no gap that may grow, no flood being counted."""
        return not (self._detector.holds_back or self._flood.waiting)

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

    def overdue(self, *, quiet: bool) -> list[Event]:
        """Give what was held back long enough; `quiet`: no line came for QUIET_S.

        A fold waits for a minute without another folded event: so no minute is told in parts.
        """
        now = time.monotonic()
        if not self._detector.holds_back:
            self._gap_s = now
        if self._flood.folded != self._folded:
            self._folded, self._folded_s = self._flood.folded, now
        gap = quiet or now - self._gap_s > HELD_S
        return self.flush(gap=gap, flood=now - self._folded_s > FLOOD_S)

    def flush(self, *, gap: bool = True, flood: bool = True) -> list[Event]:
        """Give what is held back, whether it may grow or not."""
        events: list[Event] = []
        if gap and self._detector.holds_back:
            flushed = self._detector.flush()
            events += [each for event in flushed for each in self._flood.passed(event)]
        if flood:
            events += self._flood.flush()
        return events

    @property
    def moved(self) -> bool:
        """Tell whether `state` would give something new."""
        return self._saved != (self.source.lines_read, self._complete)

    def state(self) -> str | None:
        """Give what a restart goes on from; while a gap is open, what was before it."""
        self._saved = self.source.lines_read, self._complete
        if not self._detector.holds_back:
            self._state = json.dumps(
                {
                    "at": self.source.position,
                    "ordinals": self._detector.ordinals(),
                    "flood": self._flood.state(),
                    "complete": self._complete,
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
