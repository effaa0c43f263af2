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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from watcher.daemon.feed import Feed
from watcher.detect import gap_event
from watcher.errors import SourceError
from watcher.event import Event
from watcher.host import now_us
from watcher.record import Gap, Host, Place
from watcher.rules import Pack
from watcher.sources.journal_header import Header, header

POLL_S: Final = 1.0
_FRESH_NS: Final = 2_000_000_000
"""A file written so lately is looked at again: times of files are not finer than a clock tick."""
NAME: Final = "journal "
"""Begins the name of such a feed; the file's id follows."""

GONE_S: Final = 60.0
"""A file is gone if it was missed for so long: a look may pass over one that is being renamed, and
the daemon has recorded by then how far it was read."""

OpenFeed = Callable[[str, str, Header, Pack], Feed]
"""From a name and a file, with its header, a feed that goes on where it stopped. SourceError."""


Forget = Callable[[Mapping[str, bool]], Sequence[Event]]
"""Forgets feeds whose files are gone, and gives what is to be told of those that were not read to
the end (False)."""


class _Seen(NamedTuple):
    """A file at the last look: its feed's name, if it is a journal; size and time, if at rest."""

    name: str | None
    mark: tuple[int, int] | None
    read: bool
    """It had not changed since the look before, after which it was read."""


class Fleet:
    """Follows all journal files in `folders` and one level below.

    `leave_out` says of names why they are not to be read.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        pack: Pack,
        open_feed: OpenFeed,
        forget: Forget,
        leave_out: Mapping[str, str],
    ) -> None:
        self._folders, self._pack = folders, pack
        self._open_feed, self._forget, self._leave_out = open_feed, forget, leave_out
        self._seen: dict[str, _Seen] = {}
        self._known: dict[str, bool] = {}
        self._missed: dict[str, float] = {}
        self._whole = True
        self._held: dict[str, Feed] = {}
        self._troubles: list[Event] = []
        self._told: set[str] = set()

    def begin(self, known: Collection[str]) -> None:
        """Forget those of the feeds `known` whose files are gone. Raises SourceError."""
        self._known = dict.fromkeys(known, False)
        self._changed()
        self._forget_missed(0.0)
        self._seen = {}  # nothing was read yet

    def feeds(self) -> Iterator[Feed]:
        """Give the feeds of files that changed, the older first, and of those that hold back.

        Each is closed when the next one is asked for, unless it holds something back.
        """
        changed = {NAME + head.file_id: (file, head) for file, head in self._changed()}
        self._forget_missed(GONE_S)
        for name in [*changed, *(name for name in self._held if name not in changed)]:
            feed = self._held.pop(name, None) or self._opened(name, *changed[name])
            if feed is None:
                continue
            self._held[name] = feed
            yield feed
            if self._held.get(name) is feed and feed.idle:
                feed.close()
                self._held.pop(name, None)

    def _opened(self, name: str, file: str, head: Header) -> Feed | None:
        if name in self._leave_out:
            self._tell(file, f"is left out: {self._leave_out[name]}")
            return None
        try:
            return self._open_feed(name, file, head, self._pack)
        except SourceError as error:
            if Path(file).exists():  # else renamed since the look, by rotation
                self._tell(file, str(error))
            return None

    def _changed(self) -> list[tuple[str, Header]]:
        """Look at all files; give those that may have changed since the last look."""
        found: list[tuple[str, Header]] = []
        seen: dict[str, _Seen] = {}
        self._whole, now = True, time.time_ns()
        for entry in self._entries():
            with self._looking(entry.path):
                stat, before = entry.stat(), self._seen.get(entry.path)
                mark = stat.st_mtime_ns, stat.st_size
                if before and before.mark == mark:
                    seen[entry.path] = before._replace(read=True)
                    continue
                if head := header(entry.path):
                    found.append((entry.path, head))
                fresh = now - _FRESH_NS < stat.st_mtime_ns <= now
                name = NAME + head.file_id if head else None
                seen[entry.path] = _Seen(name, None if fresh else mark, read=False)
        self._seen = seen
        return sorted(found, key=lambda each: each[1].head_us)

    def _forget_missed(self, after_s: float) -> None:
        """Forget files that were missed for so long, unless a look could not find all of them.

        A folder with no journal at all may be one that is not mounted.
        """
        there = {each.name: each.read for each in self._seen.values() if each.name}
        if not self._whole or not there:
            return
        self._known |= there
        now = time.monotonic()
        missed = self._known.keys() - there.keys() - self._held.keys()
        self._missed = {name: self._missed.get(name, now) for name in missed}
        late = [name for name, since in self._missed.items() if now - since >= after_s]
        if late:
            self._troubles += self._forget({name: self._known.pop(name) for name in late})

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        for folder in self._folders:
            try:
                entries = list(os.scandir(folder))
            except OSError as error:
                raise SourceError(f"{folder}: {error.strerror}") from error
            for entry in entries:
                yield from (entry,) if _is_journal(entry) else self._entries_below(entry)

    def _entries_below(self, folder: os.DirEntry[str]) -> Iterator[os.DirEntry[str]]:
        entries: list[os.DirEntry[str]] = []
        with self._looking(folder.path):
            if folder.is_dir():
                entries = list(os.scandir(folder.path))
        yield from filter(_is_journal, entries)

    @contextlib.contextmanager
    def _looking(self, path: str) -> Iterator[None]:
        """Tell of what cannot be looked at."""
        try:
            yield
        except FileNotFoundError:  # gone between two looks
            pass
        except OSError as error:
            self._whole = False
            self._tell(path, f"cannot be read: {error.strerror}")

    def _tell(self, file: str, reason: str) -> None:
        detail = f"{file}: {reason}"
        if detail in self._told:
            return
        self._told.add(detail)
        place = Place("journal", file=file)
        self._troubles.append(
            gap_event(Gap("journal_damaged", None, place, Host(), now_us(), detail))
        )

    def troubles(self) -> list[Event]:
        """Give what is to be told of files that could not be read; once."""
        told, self._troubles = self._troubles, []
        return told

    def gave_up(self, feed: Feed, error: SourceError) -> None:
        """Take note that a file broke off while it was read: the others go on."""
        self._held.pop(feed.name, None)
        self._troubles += feed.flush()
        self._tell(feed.name, str(error))
        feed.close()

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
        """Close what is open; forget what is gone, which the next start would tell of."""
        self._forget_missed(0.0)
        for feed in self._held.values():
            feed.close()


def removed(name: str, state: dict[str, Any]) -> Gap | None:
    """Give the gap that a file leaves which was removed unread; None for a complete one.

    `state` is what its feed's state was; the file had been read up to then.
    """
    if state.get("complete"):
        return None
    drained, _, file = [*str(state.get("at", "")).split(" ", 2), "", ""][:3]
    from_us = int(drained) if drained.isdecimal() else None
    detail = f"{file or name} was removed, and may not have been read to its end"
    place = Place("journal", file=file or None)
    return Gap("journal_vacuumed", None, place, Host(), now_us(), detail, from_us, now_us())


def _is_journal(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith((".journal", ".journal~"))
