"""One pass over the past: the journal, journal files, or text in any frame."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, Protocol

from watcher.detect import Detector
from watcher.errors import SourceError, UsageError
from watcher.event import Event
from watcher.host import now_us
from watcher.kinds import SEVERITIES, Severity
from watcher.record import Gap, Record
from watcher.rules import Pack
from watcher.rules.correlation import Correlator


class Past(Protocol):
    """What can be scanned: batches until the end."""

    @property
    def lines_read(self) -> int:
        """Lines read so far."""

    def read(self) -> Iterator[Sequence[Record | Gap]]:
        """Give batches; an empty one is a chance to show progress."""


class Extent(NamedTuple):
    """What to scan. `boot` is a boot id, "all", or a number: 0 this boot, -1 the one before."""

    files: tuple[str, ...] = ()
    directory: str | None = None
    namespace: str | None = None
    boot: str = "all"
    since_us: int | None = None
    until_us: int | None = None


class Tally:
    """What a scan found."""

    def __init__(self) -> None:
        self.lines = self.events = 0
        self.gravest = -1
        self.failures: list[str] = []

    def count(self, event: Event) -> None:
        """Take note of one event."""
        self.events += 1
        self.gravest = max(self.gravest, SEVERITIES.index(event.severity))

    def reaches(self, severity: Severity) -> bool:
        """Tell whether an event as grave as that was found."""
        return self.gravest >= SEVERITIES.index(severity)


def scan(extent: Extent, pack: Pack, write: Callable[[Event], None], tally: Tally) -> None:
    """Write the events of all that `extent` names; what cannot be read goes into the tally.

    Every source has its own count of equal lines, so the same file twice gives the same ids.
    Correlations see all of them together.
    """
    correlator = Correlator(None)
    with Progress(tally) as progress:
        for open_source in sources(extent, pack):
            try:
                detector = Detector(pack, correlator=correlator)
                _pass(open_source(), detector, write, tally, progress)
            except SourceError as error:
                tally.failures.append(str(error))


def _pass(
    source: Past,
    detector: Detector,
    write: Callable[[Event], None],
    tally: Tally,
    progress: Callable[[], None],
) -> None:
    before = tally.lines
    try:
        for batch in source.read():
            for item in batch:
                _write(detector.events(item), write, tally)
            tally.lines = before + source.lines_read
            progress()
    finally:
        _write(detector.flush(), write, tally)
    tally.failures += getattr(source, "failures", [])


def _write(events: Iterator[Event], write: Callable[[Event], None], tally: Tally) -> None:
    for event in events:
        tally.count(event)
        write(event)


# --- which sources


def sources(extent: Extent, pack: Pack) -> Iterator[Callable[[], Past]]:
    """Give what opens each source of `extent`; opening raises SourceError where it cannot."""
    if not extent.files:
        yield lambda: _journal(extent, (), pack)
    for file in extent.files:
        yield lambda file=file: _file(file, extent, pack)  # type: ignore[misc]


def _file(file: str, extent: Extent, pack: Pack) -> Past:
    from watcher.sources.text import TextSource, is_journal_file

    if file != "-" and is_journal_file(file):
        return _journal(extent, (file,), pack)
    if extent.boot != "all":
        raise UsageError(f"{file} is text, which knows no boots: leave out --boot")
    text = TextSource([file], wanted=pack.prefilter().wants_line, now_us=now_us)
    return _Between(text, extent.since_us, extent.until_us)


def _journal(extent: Extent, files: tuple[str, ...], pack: Pack) -> Past:
    from watcher.sources.journal import JournalSource, Span
    from watcher.sources.journal_entry import MISSED
    from watcher.sources.journal_files import Where

    where = Where(extent.directory, files, extent.namespace)
    boot = _boot_id(extent.boot, where)
    span = Span(boot, extent.since_us, extent.until_us, past=True)
    source = JournalSource(pack.prefilter(MISSED), where, span)
    if (boot, extent.since_us, extent.until_us) == (None, None, None):
        source.narrow()
    return source


def _boot_id(boot: str, where: object) -> str | None:
    from watcher.sources import journal_files

    if boot == "all":
        return None
    known = journal_files.boots(where)  # type: ignore[arg-type]
    wanted = boot.replace("-", "").lower()
    if wanted in known:
        return wanted
    try:
        return known[int(boot) - 1]  # journalctl's count: 0 the last, -1 before, 1 the first
    except (ValueError, IndexError):
        raise UsageError(f"no boot {boot!r} here: journalctl --list-boots shows them") from None


class _Between:
    """Leaves out records of a text that are known to be too old or too new."""

    def __init__(self, text: Past, since_us: int | None, until_us: int | None) -> None:
        self._text = text
        self._since, self._until = since_us or 0, until_us or sys.maxsize

    @property
    def lines_read(self) -> int:
        """Lines read so far."""
        return self._text.lines_read

    @property
    def failures(self) -> Sequence[str]:
        """Files that could not be read."""
        return [str(failure) for failure in getattr(self._text, "failures", [])]

    def read(self) -> Iterator[Sequence[Record | Gap]]:
        """Give batches as the text does."""
        for batch in self._text.read():
            yield [item for item in batch if self._within(item)]

    def _within(self, item: Record | Gap) -> bool:
        time_us = item.time_us if isinstance(item, Record) else None
        return time_us is None or self._since <= time_us <= self._until


# --- progress, on a terminal only, and only when it takes long


class Progress(AbstractContextManager["Progress"]):
    """Shows on a terminal, after a while, how far a tally has come."""

    AFTER_S: Final = 1.0
    EVERY_S: Final = 0.2

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._shown = False
        self._next = time.monotonic() + self.AFTER_S if sys.stderr.isatty() else float("inf")

    def __call__(self) -> None:
        """Show it, if it is time."""
        now = time.monotonic()
        if now >= self._next:
            self._next, self._shown = now + self.EVERY_S, True
            lines, events = self._tally.lines, self._tally.events
            sys.stderr.write(f"\r\x1b[K{lines:,} lines read, {events:,} events ")
            sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
