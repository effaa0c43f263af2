"""Many machines' journals in one folder, as systemd-journal-remote keeps them: a feed a file.

libsystemd goes through a folder in the order of time, so what a machine sends late would be passed
over once another's newer lines were read. Here each file has a place of its own, kept by the id in
its header, which rotation does not change. The folder is looked at once a second, by stat: that
works on network file systems too, where nobody is told of changes.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from watcher.detect import gap_event
from watcher.errors import SourceError
from watcher.event import Event
from watcher.feed import Feed
from watcher.host import now_us
from watcher.record import Gap, Host, Place
from watcher.rules import Pack
from watcher.sources.journal_header import Header, header

POLL_S: Final = 1.0
_FRESH_NS: Final = 2_000_000_000
"""A file written so lately is looked at again: times of files are not finer than a clock tick."""
NAME: Final = "journal "
"""Begins the name of such a feed; the file's id follows."""

OpenFeed = Callable[[str, str, Header, Pack], Feed]
"""From a name and a file, with its header, a feed that goes on where it stopped. SourceError."""


class Fleet:
    """Follows all journal files in `folders` and one level below."""

    def __init__(
        self,
        folders: Sequence[Path],
        pack: Pack,
        open_feed: OpenFeed,
        leave_out: Collection[str] = (),
    ) -> None:
        self._folders, self._pack = folders, pack
        self._open_feed, self._leave_out = open_feed, leave_out
        self._seen: dict[str, tuple[int, int]] = {}
        self._held: dict[str, Feed] = {}
        self._troubles: list[Event] = []
        self._told: set[str] = set()

    def feeds(self) -> Iterator[Feed]:
        """Give the feeds of files that changed, the older first, and of those that hold back.

        Each is closed when the next one is asked for, unless it holds something back.
        """
        changed = {NAME + head.file_id: (file, head) for file, head in self._changed()}
        for name in [*changed, *(name for name in self._held if name not in changed)]:
            feed = self._held.pop(name, None) or self._opened(name, *changed[name])
            if feed is None:
                continue
            self._held[name] = feed
            yield feed
            if feed.idle:
                feed.close()
                self._held.pop(name, None)

    def _opened(self, name: str, file: str, head: Header) -> Feed | None:
        if name in self._leave_out:
            self._tell(file, "is left out: this program died while it was read, time and again")
            return None
        try:
            return self._open_feed(name, file, head, self._pack)
        except SourceError as error:
            if Path(file).exists():  # else renamed since the look, by rotation
                self._tell(file, str(error))
            return None

    def _changed(self) -> list[tuple[str, Header]]:
        found, seen, now = [], {}, time.time_ns()
        for entry in self._entries():
            try:
                stat = entry.stat()
                mark = stat.st_mtime_ns, stat.st_size
                if self._seen.get(entry.path) != mark and (head := header(entry.path)):
                    found.append((entry.path, head))
            except OSError as error:
                if not isinstance(error, FileNotFoundError):  # gone between two looks
                    self._tell(entry.path, f"cannot be read: {error.strerror}")
                continue
            if not now - _FRESH_NS < stat.st_mtime_ns <= now:
                seen[entry.path] = mark
        self._seen = seen
        return sorted(found, key=lambda each: each[1].head_us)

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        for folder in self._folders:
            yield from _journals(folder, below=True)

    def _tell(self, file: str, reason: str) -> None:
        detail = f"{file}: {reason}"
        if detail in self._told:
            return
        self._told.add(detail)
        place = Place("journal", file=file)
        self._troubles.append(
            gap_event(Gap("journal_damaged", None, place, Host(), now_us(), detail))
        )

    def names(self) -> set[str]:
        """Give the names of the feeds of all files that are there. Raises SourceError."""
        heads = (_header_of(entry.path) for entry in self._entries())
        return {NAME + head.file_id for head in heads if head}

    def troubles(self) -> list[Event]:
        """Give what is to be told of files that could not be read; once."""
        told, self._troubles = self._troubles, []
        return told

    def gave_up(self, feed: Feed, error: SourceError) -> None:
        """Take note that a file broke off while it was read: the others go on."""
        self._held.pop(feed.name, None)
        self._tell(feed.name, str(error))

    def fileno(self) -> None:
        """There is nothing to wait on."""

    def due_s(self) -> float:
        """Give how soon to look again, in seconds."""
        return POLL_S

    def use(self, pack: Pack) -> None:
        """Go on with other rules."""
        self._pack = pack
        for feed in self._held.values():
            feed.use(pack)

    def close(self) -> None:
        """Close what is open."""
        for feed in self._held.values():
            feed.close()


def removed(name: str, state: dict[str, Any]) -> Gap | None:
    """Give the gap that a file leaves which was removed while nobody read; None for a complete one.

    `state` is what its feed's state was; the file had been read up to then.
    """
    if state.get("complete"):
        return None
    drained, _, _ = str(state.get("at", "")).partition(" ")
    from_us = int(drained) if drained.isdecimal() else None
    detail = f"{name} was removed while nobody read it"
    return Gap(
        "journal_vacuumed", None, Place("journal"), Host(), now_us(), detail, from_us, now_us()
    )


def _header_of(file: str) -> Header | None:
    with contextlib.suppress(OSError):
        return header(file)
    return None


def _journals(folder: Path, *, below: bool) -> Iterator[os.DirEntry[str]]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        if below:
            raise SourceError(f"{folder}: {error.strerror}") from error
        return
    for entry in entries:
        if entry.name.endswith((".journal", ".journal~")):
            yield entry
        elif below and entry.is_dir():
            yield from _journals(Path(entry.path), below=False)
