"""/dev/kmsg, record by record; what the ring buffer lost is counted exactly by its sequence."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Final, Literal

from watcher.errors import SourceError
from watcher.host import KernelClock, now_us, this_host
from watcher.provenance import trust_of
from watcher.record import Gap, Place, Record
from watcher.rules.prefilter import Prefilter
from watcher.sources.kmsg_record import KmsgRecord, parse_record, whole_line

READ_BYTES: Final = 16_384
"""The kernel needs 8192 (CONSOLE_EXT_LOG_MAX, 5.10); a shorter read loses the record."""

BATCH: Final = 4096
AT_ONCE: Final = 64
"""Records that are looked at together: nearly all are about something else."""
_PARTS: Final = 8
"""Into so many they are parted where one may matter."""

_RING: Final = 1 << 20
"""More records than a ring holds that anybody has set up."""


class KmsgSource:
    """Follows /dev/kmsg. Raises SourceError where it cannot be opened or read.

    A line that the kernel began without a newline shows only with the next line (printk.c).
    """

    name = "kmsg"
    also: tuple[bytes, ...] = ()

    def __init__(
        self,
        prefilter: Prefilter,
        *,
        since: int | Literal["boot", "now"] = "boot",
        after: str | None = None,
        covered: bool = False,
        path: str = "/dev/kmsg",
    ) -> None:
        self._path = path
        self.use(prefilter)
        self._fd = _open(path)
        self._next = partial(os.read, self._fd, READ_BYTES)
        self._host = host = this_host()
        known = {"_HOSTNAME": host.name, "_MACHINE_ID": host.machine_id, "_BOOT_ID": host.boot_id}
        self._known = {name: value for name, value in known.items() if value}
        self._clock = KernelClock()
        self.next_seq = _resumed(after, self._host.boot_id)
        self._last_raw = b""
        self._since_us = since if isinstance(since, int) else None
        self._covered = covered
        self.lines_read = 0
        if since == "now" and not self.next_seq:
            self._skip()

    @property
    def position(self) -> str:
        """Give boot id and the next sequence number: what `after` takes."""
        return f"{self._host.boot_id} {self.next_seq}"

    @property
    def last_us(self) -> int | None:
        """Give when the last line read was written (Epoch microseconds)."""
        return self._time_of(parse_record(self._last_raw)) if self._last_raw else None

    def _skip(self) -> None:
        # Read and not sought, so that the next sequence number is known: what is lost from
        # here on is counted.
        for _ in range(_RING):
            try:
                raw = self._next()
            except BlockingIOError:
                break
            except OSError as error:
                self._lost(error)
                continue
            if not raw:
                break
            self._last_raw = raw
        if self._last_raw:
            self.next_seq = _sequence(self._last_raw) + 1

    def use(self, prefilter: Prefilter) -> None:
        """Look for what other rules want."""
        self._prefilter = prefilter.of_kernel()
        self._deeper = self._prefilter.looks_deeper

    def fileno(self) -> int:
        """Give the descriptor that becomes readable when there is more."""
        return self._fd

    def close(self) -> None:
        """Close the device."""
        os.close(self._fd)

    def read(self) -> Iterator[list[Record | Gap]]:
        """Give all that is there now, in batches; never waits. An error comes after the rest."""
        more = True
        while more:
            self._clock.look()
            batch: list[Record | Gap] = []
            failure = None
            try:
                more = self._fill(batch)
            except SourceError as error:
                failure = error
            yield batch
            if failure:
                raise failure

    def _fill(self, batch: list[Record | Gap]) -> bool:
        for _ in range(BATCH // AT_ONCE):
            raws: list[bytes] = []
            try:
                more = self._some(raws)
            finally:  # what was read will not be read again
                self._pass(raws, batch)
            if not more:
                return False
        return True

    def _some(self, raws: list[bytes]) -> bool:
        """Read some records; tell whether there may be more."""
        try:
            # A loop in C; what came before an error is in the list.
            raws.extend(islice(iter(self._next, b""), AT_ONCE))
        except BlockingIOError:
            return False
        except OSError as error:
            self._lost(error)
            return True
        return len(raws) == AT_ONCE

    def _pass(self, raws: list[bytes], batch: list[Record | Gap]) -> None:
        """Look at them together, and at fewer where one is missing or may matter, down to one."""
        if len(raws) <= 1:
            for raw in raws:
                self._pass_one(raw, batch)
            return
        first, last = _sequence(raws[0]), _sequence(raws[-1])
        whole = first == self.next_seq and last - first == len(raws) - 1
        # No literal holds a line feed, so none is found across two records.
        if whole and not self._deeper and not self._prefilter.may(b"\n".join(raws).lower()):
            self._passed(raws[-1], last, len(raws))
            return
        part = max(1, len(raws) // _PARTS)
        for begin in range(0, len(raws), part):
            self._pass(raws[begin : begin + part], batch)

    def _pass_one(self, raw: bytes, batch: list[Record | Gap]) -> None:
        seq = _sequence(raw)
        if seq < max(0, self.next_seq):
            return  # no record, or read before the restart: the device cannot be sought by number
        if seq != self.next_seq or self._deeper or self._prefilter.may(raw.lower()):
            parsed = parse_record(raw)
            if parsed is None:
                return  # counted as missing, when the next one comes: no kernel writes this
            batch += self._taken(raw, parsed)
        self._passed(raw, seq, 1)

    def _passed(self, raw: bytes, seq: int, count: int) -> None:
        self.next_seq, self._last_raw = seq + 1, raw
        self.lines_read += count

    def _lost(self, error: OSError) -> None:
        # EPIPE: our next record was overwritten, EINVAL: it was longer than our buffer. Both
        # move on; the jump in the sequence tells how many are gone.
        if error.errno not in (errno.EPIPE, errno.EINVAL):
            raise SourceError(f"{self._path} cannot be read: {error.strerror}") from error

    def _taken(self, raw: bytes, parsed: KmsgRecord) -> Iterator[Record | Gap]:
        if parsed.seq > self.next_seq:
            gap = self._gap(self.next_seq, parsed.seq, self._time_of(parsed))
            told_by_journal = self._covered and not self._last_raw
            if self._is_wanted(gap.to_us) and not told_by_journal:
                yield gap
        record = self._record(parsed)
        wanted = self._prefilter.wants(raw) or self._prefilter.fits(record.fields)
        if wanted and self._is_wanted(record.time_us):
            yield record

    def _is_wanted(self, time_us: int | None) -> bool:
        return self._since_us is None or time_us is None or time_us >= self._since_us

    def _gap(self, first: int, then: int, time_us: int | None) -> Gap:
        cause, why = self._loss(first)
        return Gap(
            cause=cause,
            count=then - first,
            place=Place("kmsg", seq=first),
            host=self._host,
            observed_us=now_us(),
            detail=f"/dev/kmsg: records {first} to {then - 1} were overwritten {why}",
            from_us=self._time_of(parse_record(self._last_raw)),
            to_us=time_us,
        )

    def _loss(self, first: int) -> tuple[str, str]:
        if self._last_raw:
            return "kmsg_overrun", "faster than this program could read"
        if first:
            return "kmsg_overwritten", "while this program did not run"
        return "kmsg_overwritten_before_start", "before this program started"

    def _time_of(self, parsed: KmsgRecord | None) -> int | None:
        return self._clock.time_of(parsed.usec)[0] if parsed else None

    def _record(self, parsed: KmsgRecord) -> Record:
        time_us, error_us = self._clock.time_of(parsed.usec)
        fields = {**parsed.fields(), **self._known, "__REALTIME_TIMESTAMP": str(time_us)}
        return Record(
            text=whole_line(fields),
            place=Place("kmsg", seq=parsed.seq),
            trust=trust_of(fields),
            fields=fields,
            host=self._host,
            observed_us=now_us(),
            time_us=time_us,
            time_error_us=error_us,
            monotonic_us=parsed.usec,
        )


def _sequence(raw: bytes) -> int:
    try:
        return int(raw.split(b",", 2)[1])
    except (IndexError, ValueError):  # not a record: no kernel writes this
        return -1


def _resumed(after: str | None, boot_id: str | None) -> int:
    """Give the sequence number to go on with; 0 for another boot, whose ring is gone."""
    boot, _, number = (after or "").partition(" ")
    return int(number) if boot and boot == boot_id and number.isdecimal() else 0


def _open(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise SourceError(
            f"{path}: not permitted: run as root or with CAP_SYSLOG (kernel.dmesg_restrict=1), or"
            " the kernel was booted with printk.devkmsg=off; the journal may still be readable"
        ) from error
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    if not _is_log(os.fstat(fd)):
        os.close(fd)
        raise SourceError(
            f"{path} is not the kernel's log (some containers put another file there)"
        )
    return fd


_KMSG: Final = os.makedev(1, 11)
"""Documentation/admin-guide/devices.txt."""


def _is_log(found: os.stat_result) -> bool:
    # An empty file in its place would read as a log in which nothing ever happens. A pipe stands
    # for a log that comes from elsewhere.
    is_device = stat.S_ISCHR(found.st_mode) and found.st_rdev == _KMSG
    return is_device or stat.S_ISFIFO(found.st_mode)
