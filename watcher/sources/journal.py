"""The systemd journal through libsystemd: this machine's, a directory, files or a namespace.

Only MESSAGE is read of each entry, through the C base class of systemd.journal.Reader; all else
is read of the few that may matter (1.0 us an entry, where `for entry in Reader` takes 11).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from systemd._reader import INVALIDATE

from watcher.errors import SourceError
from watcher.host import now_us, this_host
from watcher.record import Gap, Host, Place, Record
from watcher.rules.needs import Equal
from watcher.rules.prefilter import Prefilter
from watcher.rules.values import fold
from watcher.sources.journal_entry import (
    CANARY,
    CANARY_ID,
    FIELD_BYTES,
    MISSED,
    MISSED_ID,
    REALTIME,
    field_text,
    is_canary,
    is_own_event,
    read_entry,
)
from watcher.sources.journal_files import (
    DAMAGED,
    Where,
    broken_off,
    follows,
    left_out,
    open_reader,
    why,
    written_us,
)
from watcher.sources.journal_index import Matches, narrowed, open_descriptors, regular_files

BATCH: Final = 8192
SETTLE_AFTER: Final = 8 * BATCH
"""Entries after which a drained reader is opened anew."""
PATIENCE: Final = 5
"""Failures in a row after which a journal that is followed cannot be read."""

KERNEL: Final[Matches] = (
    ("_TRANSPORT=kernel",),
    # Whoever calls himself the kernel is worth a look: this is how a line is forged.
    ("SYSLOG_IDENTIFIER=kernel",),
    ("_TRANSPORT=audit", "_AUDIT_TYPE=1400"),
    ("_TRANSPORT=driver", f"MESSAGE_ID={MISSED_ID}"),
)
"""Alternatives, each of which needs all of its matches. All four cost 1.3 times the first alone;
a reader of its own for the rare ones costs as much (53 ms for 500,000 entries) and, live, looks
through the newest file again at every entry."""


MOST_MATCHES: Final = 24
"""With more alternatives than this, libsystemd takes longer to choose entries than to give all."""


def matches_for(equal: Equal | None, reader: Any) -> Matches:
    """Give the matches for what a prefilter asks for; none at all means every entry.

    Rules know no case, matches do: each value is asked for as the rule has it, and in every
    spelling that is in the journal now.
    """
    if equal is None or len(equal) > MOST_MATCHES:
        return ()
    wanted = {field: {value for name, value in equal if name == field} for field, _ in equal}
    found = sorted(
        each for field, values in wanted.items() for each in _spelled(field, values, reader)
    )
    return (*KERNEL, *((match,) for match in found)) if len(found) <= MOST_MATCHES else ()


def _spelled(field: str, wanted: set[str], reader: Any) -> set[str]:
    known = {each.decode(errors="replace") for each in reader.query_unique(field)}
    folded = set(map(fold, wanted))
    return {f"{field}={each}" for each in wanted | {each for each in known if fold(each) in folded}}


class _Entry(Mapping[str, str]):
    """The fields of the entry a reader stands on, each read when it is asked for."""

    def __init__(self, reader: Any) -> None:
        self._get: Callable[[str], bytes] = reader._get
        self._get_realtime = reader._get_realtime

    def __getitem__(self, name: str) -> str:
        try:
            return (
                str(self._get_realtime()) if name == REALTIME else field_text(name, self._get(name))
            )
        except (OSError, ValueError):  # damaged, or no name of a field
            raise KeyError(name) from None
        except KeyError:
            if name == "SYSLOG_FACILITY" and self.get("_TRANSPORT") == "kernel":
                return "0"  # as with_facility has it
            raise

    def __contains__(self, name: object) -> bool:
        return self.get(str(name)) is not None

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


class Span(NamedTuple):
    """Which part of it: a boot (None: all of them), from and to Epoch microseconds.

    `past`: it is read once, and what comes later is not waited for. `after`: a `position` of an
    earlier source, from which to go on; `since_us` counts where it is of no use any more.
    """

    boot_id: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    only_new: bool = False
    past: bool = False
    after: str | None = None


class JournalSource:
    """Reads a journal, past and live. Raises SourceError where it cannot be read."""

    name = "journal"
    also: tuple[bytes, ...] = (MISSED,)

    def __init__(
        self,
        prefilter: Prefilter,
        where: Where | None = None,
        span: Span | None = None,
        matches: Matches | None = None,
        canary: Callable[[str], object] | None = None,
    ) -> None:
        """`canary` is called with the text of each entry that is one, which then is no record."""
        self._canary = canary
        if canary:
            self.also = (MISSED, CANARY.encode())
        self._where, self._span, self._given = where or Where(), span or Span(), matches
        self._prefilter = prefilter
        self._cursor: str | None = None
        self._drained_us: int | None = None
        self._pending: list[Record | Gap] = [_left_out(*each) for each in left_out(self._where)]
        self.lines_read = 0
        self._texts: frozenset[bytes] | None = None
        self.last_us: int | None = None
        self._lines_mapped = self._failures = 0
        self._reader = self._open()
        if self._span.boot_id and not self._span.past:
            self._pending += self._beginning_gone()
        self._seek(self._reader)

    @property
    def position(self) -> str:
        """Give when it was drained (Epoch microseconds), the last cursor, a single file's path.

        There are blanks between.
        """
        return " ".join((str(self._drained_us or 0), self._cursor or "", *self._where.files))

    def use(self, prefilter: Prefilter) -> None:
        """Look for what other rules want, from the last entry on that the old ones had read."""
        before, self._prefilter = self._prefilter.equal, prefilter
        if prefilter.equal != before:
            self._reopen()

    def narrow(self) -> None:
        """Ask for no more than the entries whose text may matter, where the files tell which.

        For a past that is read whole and has not been begun; `lines_read` counts all the same.
        """
        if self._prefilter.looks_deeper:
            return
        found = narrowed(self._files, self._matches(self._reader), self._prefilter)
        if found is None:
            return
        self._texts, self.lines_read = found.messages, found.entries
        if self._texts and self._found_again() != found.hits:
            self._widen()
        self._seek(self._reader)

    def _found_again(self) -> int:
        """Count what libsystemd finds of the texts: by its hash, which damage may have changed."""
        reader, count = self._reader, 0
        reader.flush_matches()
        self._add_matches(reader)
        self._seek(reader)
        with contextlib.suppress(OSError):  # it is met again, and told, when all is read
            while reader._next():
                count += 1
        return count

    def fileno(self) -> int:
        """Give the descriptor that becomes readable on a change; another one after `read`."""
        return int(self._reader.fileno())

    def close(self) -> None:
        """Close the journal."""
        self._reader.close()

    def _open(self) -> Any:
        before = open_descriptors() if self._span.past else frozenset()
        reader = open_reader(self._where)
        self._files = regular_files(open_descriptors() - before) if self._span.past else []
        # Before anything else: libsystemd leaks the descriptor otherwise (systemd#14695).
        reader.fileno()
        reader.data_threshold = FIELD_BYTES
        self._add_matches(reader)
        return reader

    def _add_matches(self, reader: Any) -> None:
        if self._span.boot_id:
            reader.add_match(f"_BOOT_ID={self._span.boot_id}")
            reader.add_conjunction()
        for alternative in self._matches(reader):
            for match in alternative:
                reader.add_match(match)
            reader.add_disjunction()
        if self._texts:
            reader.add_conjunction()
            for text in self._texts:
                reader.add_match(b"MESSAGE=" + text)

    def _matches(self, reader: Any) -> Matches:
        if self._given is not None:
            return self._given
        found = matches_for(self._prefilter.equal, reader)
        return (*found, (f"MESSAGE_ID={CANARY_ID}",)) if found and self._canary else found

    def _seek(self, reader: Any) -> None:
        drained, cursor, *_ = [*(self._span.after or "").split(" ", 2), ""]
        if cursor and drained.isdecimal():
            self._cursor, self._drained_us = cursor, int(drained) or None
            self._go_on(reader)
            return
        if self._span.since_us is not None:
            reader.seek_realtime(self._span.since_us)
            return
        # seek_tail alone gives old entries at the next step (systemd#9934).
        reader.seek_tail()
        if self._span.only_new and reader._previous():
            self._cursor = reader._get_cursor()
        else:
            reader.seek_head()

    # --- reading

    def read(self) -> Iterator[list[Record | Gap]]:
        """Give all that is there now, in batches; never waits. An error comes after the rest."""
        if self._reader.process() == INVALIDATE:
            self._widen()
            self._reopen()
        yield from self._drain()
        if not self._span.past and self.lines_read - self._lines_mapped > SETTLE_AFTER:
            # libsystemd keeps what it read mapped, 100 MB of a long past; at rest it is not needed.
            self._lines_mapped = self.lines_read
            self._reopen()
            # Nobody is woken for what came before the new reader began to watch.
            yield from self._drain()

    def _drain(self) -> Iterator[list[Record | Gap]]:
        usage, more = self._reader.get_usage(), self._texts is None or bool(self._texts)
        while more:
            batch, self._pending = self._pending, []
            before = list(batch)
            try:
                more = self._step_through(batch) and not self._past_end(self._realtime())
                self._failures = 0
            except OSError as error:
                if not self._widen() and self._gives_up():
                    yield batch
                    raise self._cannot(error) from error
                # Read anew from the last cursor: what the batch has would come twice.
                self._pending = before
                self._reopen()
                usage = self._reader.get_usage()
                continue
            yield batch
        # libsystemd closes a file where it finds it damaged, and says nothing.
        if self._reader.get_usage() < usage:
            if self._widen():
                self._reopen()
                yield from self._drain()
                return
            yield self._broken_off()
        self._drained_us = now_us()

    def _widen(self) -> bool:
        """Ask for every entry again, where a file proved not to be what its index says."""
        if self._texts is None:
            return False
        self._texts, self.lines_read = None, 0
        self._reader.flush_matches()
        self._add_matches(self._reader)
        return True

    def _gives_up(self) -> bool:
        """Count a failure; live, files are rotated and removed meanwhile, and it passes."""
        self._failures += 1
        lasting = self._span.past or bool(self._where.files)
        return lasting or self._failures >= PATIENCE

    def _cannot(self, error: OSError) -> SourceError:
        return SourceError(f"{self._where} cannot be read: {why(error)}")

    def _step_through(self, batch: list[Record | Gap]) -> bool:
        """Take what may matter of the next BATCH entries; tell whether there may be more."""
        reader, may, wants = self._reader, self._prefilter.may, self._prefilter.wants
        step, get, entry = reader._next, reader._get, _Entry(reader)
        deeper, fits = self._prefilter.looks_deeper, self._prefilter.fits
        count = 0
        for count in range(BATCH):  # noqa: B007 - how far it came counts
            if not step():
                break
            try:
                message = get("MESSAGE")
                if (may(message.lower()) and wants(message)) or (deeper and fits(entry)):
                    batch += self._taken()
            except KeyError:
                batch += self._without_message()
            except OSError as error:
                batch.append(self._unreadable(why(error)))
        else:
            count = BATCH
        if self._texts is None:
            self.lines_read += count
        if count:
            self._cursor = reader._get_cursor()
            self.last_us = self._realtime()
        return count == BATCH

    def _taken(self) -> list[Record | Gap]:
        realtime = self._realtime()
        if self._past_end(realtime):
            return []
        taken = read_entry(self._reader, realtime)
        if self._canary and is_canary(taken):
            self._canary(taken.text)
            return []
        # Whoever names the entries it wants is the desktop, which wants these very ones.
        own = self._given is None and isinstance(taken, Record) and is_own_event(taken.fields)
        return [] if own else [taken]

    def _realtime(self) -> int:
        return int(self._reader._get_realtime())

    def _past_end(self, realtime: int) -> bool:
        return self._span.until_us is not None and realtime > self._span.until_us

    # --- damage

    def _without_message(self) -> list[Record | Gap]:
        # libsystemd leaves out a field it finds damaged; the kernel's lines all have this one.
        try:
            kernels = self._reader._get("_TRANSPORT") == b"kernel"
        except (KeyError, OSError):
            kernels = True
        if kernels:
            return [self._unreadable("its MESSAGE is gone")]
        return self._taken() if self._prefilter.fits(_Entry(self._reader)) else []

    def _unreadable(self, reason: str) -> Gap:
        at, now = self._realtime(), now_us()
        detail = f"{self._where}: an entry cannot be read: {reason}"
        return Gap("journal_damaged", 1, Place("journal"), Host(), now, detail, at, at)

    def _broken_off(self) -> list[Record | Gap]:
        """Tell of files that broke off; raises SourceError if this very file was asked for."""
        found: list[Record | Gap] = []
        for file, last_us, end_us in broken_off(self._where, self._add_matches):
            place, detail = Place("journal", file=file), f"{file} breaks off: {DAMAGED}"
            if self._where.files:
                raise SourceError(detail)
            found.append(
                Gap("journal_damaged", None, place, Host(), now_us(), detail, last_us, end_us)
            )
        return found

    # --- rotation and vacuum

    def _reopen(self) -> None:
        """Open anew where reading stopped: files came or went under the reader (INVALIDATE)."""
        while True:
            try:
                return self._open_anew()
            except OSError as error:
                if self._gives_up():
                    raise self._cannot(error) from error

    def _open_anew(self) -> None:
        self._reader.close()
        self._reader = self._open()
        if self._cursor is None:  # nothing was there yet, so all is new
            self._reader.seek_realtime(self._span.since_us or 0)
            return
        self._go_on(self._reader)

    def _go_on(self, reader: Any) -> None:
        reader.seek_cursor(self._cursor)
        # With a match filter the seek may land behind an entry that is gone; only test_cursor
        # tells whether the one it found was already read (systemd#38912).
        if not (reader._next() and reader.test_cursor(self._cursor)):
            reader.seek_cursor(self._cursor)
        self._pending += self._vacuumed(reader)

    def _vacuumed(self, reader: Any) -> list[Gap]:
        if self._drained_us is None or not self._cursor:
            return []
        next_one = follows(self._where, self._cursor)
        # Numbers do not tell what was looked through behind the cursor, as no match; the clock
        # does, unless it was set back: then what is numbered higher is older than the cursor.
        trusted_us = written_us(self._cursor) if next_one is False else 0
        if next_one or trusted_us <= (oldest := reader._get_start()) <= self._drained_us:
            return []
        return [self._removed(self._drained_us, oldest)]

    def _beginning_gone(self) -> list[Gap]:
        """Tell of a boot whose first lines are gone: the kernel's clock begins at 0 (printk)."""
        self._reader.seek_head()
        try:
            found = self._reader._next()
            while found and self._is_canary_s():
                found = self._reader._next()
            late = found and int(self._reader._get("_SOURCE_MONOTONIC_TIMESTAMP"))
        except (KeyError, ValueError):  # no line of /dev/kmsg: journald says what it missed
            return []
        return [self._removed(None, self._realtime())] if late else []

    def _is_canary_s(self) -> bool:
        try:
            return bool(self._reader._get("MESSAGE_ID") == CANARY_ID.encode())
        except KeyError:
            return False

    def _removed(self, from_us: int | None, to_us: int) -> Gap:
        return Gap(
            cause="journal_vacuumed",
            count=None,
            place=Place("journal"),
            host=this_host(),
            observed_us=now_us(),
            detail=f"{self._where}: entries were removed before they were read",
            from_us=from_us,
            to_us=to_us,
        )


def _left_out(file: str, cause: str, reason: str) -> Gap:
    place, detail = Place("journal", file=file), f"{file} was left out: {reason}"
    return Gap(cause, None, place, Host(), now_us(), detail)
