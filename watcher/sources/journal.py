"""The systemd journal through libsystemd: this machine's, a directory, files or a namespace.

Only MESSAGE is read of each entry, through the C base class of systemd.journal.Reader; all else
is read of the few that may matter (1.0 us an entry, where `for entry in Reader` takes 11).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from systemd._reader import INVALIDATE, _Reader

from watcher.errors import SourceError
from watcher.host import now_us, this_host
from watcher.provenance import trust_of, whole_text
from watcher.record import Gap, Host, Place, Record
from watcher.rules.prefilter import Prefilter
from watcher.sources.journal_files import Where, damaged_files, open_reader, why

BATCH: Final = 8192
MISSED_ID: Final = "e9bf28e6e834481bb6f48f548ad13606"
"""journald's own "Missed N kernel messages" (SD_MESSAGE_JOURNAL_MISSED)."""

FIELD_BYTES: Final = 65_536
"""libsystemd's default data threshold; the kernel's longest line is 2048 bytes."""

MISSED: Final = b"missed "
"""What that line holds, in lower case: a prefilter must let it pass, no rule asks for it."""

Matches = tuple[tuple[str, ...], ...]
KERNEL: Final[Matches] = (
    ("_TRANSPORT=kernel",),
    # Whoever calls himself the kernel is worth a look: this is how a line is forged.
    ("SYSLOG_IDENTIFIER=kernel",),
    ("_TRANSPORT=audit", "_AUDIT_TYPE=1400"),
    ("_TRANSPORT=driver", f"MESSAGE_ID={MISSED_ID}"),
)
"""Alternatives, each of which needs all of its matches. All four cost 1.25 times the first."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of it: a boot (None: all of them), from and to Epoch microseconds."""

    boot_id: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    only_new: bool = False


class JournalSource:
    """Reads a journal, past and live. Raises SourceError where it cannot be read."""

    name = "journal"

    def __init__(
        self,
        prefilter: Prefilter,
        where: Where = Where(),
        span: Span = Span(),
        matches: Matches = KERNEL,
    ) -> None:
        self._where, self._span, self._matches = where, span, matches
        self._prefilter = prefilter
        self._cursor: str | None = None
        self._drained_us: int | None = None
        self._landed = False
        self._pending: list[Record | Gap] = [_damaged(*each) for each in damaged_files(where)]
        self.lines_read = 0
        self._reader = self._open()

    def fileno(self) -> int:
        """Give the descriptor that becomes readable on a change; it differs after `read`."""
        return int(self._reader.fileno())

    def close(self) -> None:
        """Close the journal."""
        self._reader.close()

    def _open(self) -> _Reader:
        reader = open_reader(self._where)
        # Before anything else: libsystemd leaks the descriptor otherwise (systemd#14695).
        reader.fileno()
        reader.data_threshold = FIELD_BYTES
        if self._span.boot_id:
            reader.add_match(f"_BOOT_ID={self._span.boot_id}")
            reader.add_conjunction()
        for alternative in self._matches:
            for match in alternative:
                reader.add_match(match)
            reader.add_disjunction()
        self._seek(reader)
        return reader

    def _seek(self, reader: _Reader) -> None:
        if self._span.since_us is not None:
            reader.seek_realtime(self._span.since_us)
        elif self._span.only_new:
            # seek_tail alone gives old entries at the next step (systemd#9934).
            reader.seek_tail()
            reader._previous()
        else:
            reader.seek_head()

    def read(self) -> Iterator[list[Record | Gap]]:
        """Give all that is there now, in batches; never waits."""
        if self._reader.process() == INVALIDATE:
            self._reopen()
        more = True
        while more:
            batch, self._pending = self._pending, []
            more = self._fill(batch)
            yield batch
        self._drained_us = now_us()

    def _fill(self, batch: list[Record | Gap]) -> bool:
        """Read up to BATCH entries; tell whether there may be more."""
        try:
            return self._walk(batch) and not self._past_end()
        except OSError as error:
            raise SourceError(f"{self._where} cannot be read: {why(error)}") from error

    def _walk(self, batch: list[Record | Gap]) -> bool:
        reader, may, wants = self._reader, self._prefilter.may, self._prefilter.wants
        step, get = reader._next, reader._get
        if self._landed:  # the reopened reader stands on an entry that was not read yet
            self._landed = False
            batch += self._current()
        count = 0
        for count in range(BATCH):  # noqa: B007 - how far it came counts
            if not step():
                break
            try:
                message = get("MESSAGE")
                if may(message.lower()) and wants(message):
                    batch += self._taken()
            except KeyError:  # an entry without MESSAGE
                continue
            except OSError as error:
                batch.append(self._unreadable(error))
        else:
            count = BATCH
        self.lines_read += count
        if count:
            self._cursor = reader._get_cursor()
        return count == BATCH

    def _current(self) -> list[Record | Gap]:
        try:
            return self._taken() if self._prefilter.wants(self._reader._get("MESSAGE")) else []
        except KeyError:
            return []

    def _past_end(self) -> bool:
        until = self._span.until_us
        return until is not None and bool(self._reader._get_realtime() > until)

    def _taken(self) -> list[Record | Gap]:
        realtime = self._reader._get_realtime()
        if self._span.until_us is not None and realtime > self._span.until_us:
            return []
        fields = {name: _text(value) for name, value in self._reader._get_all().items()}
        if fields.get("MESSAGE_ID") == MISSED_ID and fields.get("_TRANSPORT") == "driver":
            return [self._missed(fields, realtime)]
        return [self._record(fields, realtime)]

    def _record(self, fields: Mapping[str, str], realtime: int) -> Record:
        monotonic, _ = self._reader._get_monotonic()
        source = fields.get("_SOURCE_MONOTONIC_TIMESTAMP", "")
        kernel_us = int(source) if source.isdecimal() and len(source) < 19 else None
        # What journald read late was written that much earlier; both clocks stand in suspend.
        late_us = 0 if kernel_us is None else int(monotonic) - kernel_us
        return Record(
            text=whole_text(fields),
            place=Place("journal", cursor=self._reader._get_cursor()),
            trust=trust_of(fields),
            fields=fields,
            host=_host(fields),
            observed_us=now_us(),
            time_us=realtime - max(0, late_us),
            time_error_us=max(0, -late_us),
            monotonic_us=kernel_us,
            warnings=_cut(fields),
        )

    # --- what is not there

    def _missed(self, fields: Mapping[str, str], realtime: int) -> Gap:
        words = fields.get("MESSAGE", "").split()
        return Gap(
            cause="journald_missed",
            count=next((int(word) for word in words if word.isdecimal()), None),
            place=Place("journal", cursor=self._reader._get_cursor()),
            host=_host(fields),
            observed_us=now_us(),
            detail="journald could not keep up with /dev/kmsg",
            from_us=realtime,
            to_us=realtime,
        )

    def _unreadable(self, error: OSError) -> Gap:
        return Gap(
            cause="journal_damaged",
            count=1,
            place=Place("journal"),
            host=Host(),
            observed_us=now_us(),
            detail=f"{self._where}: an entry cannot be read: {why(error)}",
        )

    # --- rotation and vacuum

    def _reopen(self) -> None:
        """Open anew where reading stopped: files came or went under the reader (INVALIDATE)."""
        self._reader.close()
        self._reader = self._open()
        if self._cursor is None:
            return
        self._reader.seek_cursor(self._cursor)
        # With a match filter the seek may land behind an entry that is gone; only test_cursor
        # tells whether the one it found was already read (systemd#38912).
        found = self._reader._next()
        self._landed = bool(found and not self._reader.test_cursor(self._cursor))
        self._pending += self._vacuumed()

    def _vacuumed(self) -> list[Gap]:
        oldest = self._reader._get_start()
        if self._drained_us is None or oldest <= self._drained_us:
            return []
        return [
            Gap(
                cause="journal_vacuumed",
                count=None,
                place=Place("journal"),
                host=this_host(),
                observed_us=now_us(),
                detail=f"{self._where}: entries were removed before they were read",
                from_us=self._drained_us,
                to_us=oldest,
            )
        ]


def _damaged(file: str, reason: str) -> Gap:
    return Gap(
        cause="journal_damaged",
        count=None,
        place=Place("journal", file=file),
        host=Host(),
        observed_us=now_us(),
        detail=f"{file} was left out: {reason}",
    )


def _text(value: bytes | list[bytes]) -> str:
    # A field may stand in an entry more than once; journald's own fields never do.
    first = value[0] if isinstance(value, list) else value
    return first.decode(errors="backslashreplace")


def _host(fields: Mapping[str, str]) -> Host:
    return Host(fields.get("_HOSTNAME"), fields.get("_MACHINE_ID"), fields.get("_BOOT_ID"))


def _cut(fields: Mapping[str, str]) -> tuple[str, ...]:
    long = len(fields.get("MESSAGE", "")) >= FIELD_BYTES - len("MESSAGE=")
    return ("the line was longer than 64 KiB; its end was not read",) if long else ()
