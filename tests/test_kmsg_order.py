"""What KmsgSource makes of records in any order and of errors, told from a pipe of records.

The kernel itself does none of this; a pipe of packets (O_DIRECT, pipe(2)) gives one record a read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
from collections.abc import Iterator

import pytest

from watcher.errors import SourceError
from watcher.host import this_host
from watcher.record import Gap, Record
from watcher.rules import Prefilter
from watcher.sources.kmsg import AT_ONCE, KmsgSource

MOST = 256
"""A page a record: what any user's pipe may have (pipe-max-size)."""
FIND = Prefilter([frozenset({"needle"})])


@contextlib.contextmanager
def piped(*raws: bytes, seen: int = 0) -> Iterator[KmsgSource]:
    """Give a source whose log is these records, and which was left at number `seen`."""
    reading, writing = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    try:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, MOST * 4096)
        for raw in raws:
            os.write(writing, raw)
        after = f"{this_host().boot_id} {seen}"
        with contextlib.closing(
            KmsgSource(FIND, after=after, path=f"/proc/self/fd/{reading}")
        ) as source:
            yield source
    finally:
        os.close(writing)
        os.close(reading)


def raw(seq: int, text: str = "dull") -> bytes:
    """Give a record as the kernel hands it out."""
    return b"5,%d,%d,-;%s\n" % (seq, seq * 10, text.encode())


def numbers(items: list[Record | Gap]) -> list[tuple[int | None, int | None]]:
    """Give each item's first number and, of a gap, its count."""
    return [(each.place.seq, each.count if isinstance(each, Gap) else None) for each in items]


@pytest.mark.parametrize("seed", range(30))
def test_each_number_is_passed_found_or_counted(seed: int) -> None:
    """Whatever is found or missing where: what comes out is what one record after another gives."""
    dice = random.Random(seed)
    there = [seq for seq in range(MOST) if dice.random() > 0.02]
    wanted = {seq for seq in there if dice.random() < 0.02}
    expected: list[tuple[int, int | None]] = []
    following = 0
    for seq in there:
        if seq > following:
            expected.append((following, seq - following))
        if seq in wanted:
            expected.append((seq, None))
        following = seq + 1
    raws = (raw(seq, "Needle" if seq in wanted else "dull") for seq in there)
    with piped(*raws) as source:
        found = [item for batch in source.read() for item in batch]
        assert (source.next_seq, source.lines_read) == (following, len(there))
    assert numbers(found) == expected


@pytest.mark.parametrize("before", [0, 5, AT_ONCE + 5])
def test_an_error_comes_after_what_was_read(monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    """A device that fails loses no record that it gave before: none would be read again."""
    left, read = iter(range(before)), os.read

    def failing(fd: int, count: int) -> bytes:
        if next(left, None) is None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(fd, count)

    monkeypatch.setattr("os.read", failing)
    with piped(*(raw(seq, "needle") for seq in range(before + 3))) as source:
        batches = source.read()
        found = next(batches)
        with pytest.raises(SourceError, match="Input/output error"):
            next(batches)
        assert source.next_seq == before
    assert numbers(found) == [(seq, None) for seq in range(before)]


def test_overwritten_records_are_counted_wherever_the_error_falls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """EPIPE in the midst of records that are read together parts them, and loses none."""
    reads, read = iter(range(1000)), os.read

    def overwritten(fd: int, count: int) -> bytes:
        if next(reads) == 7:
            read(fd, count)
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        return read(fd, count)

    monkeypatch.setattr("os.read", overwritten)
    with piped(*(raw(seq, "needle") for seq in range(20))) as source:
        found = [item for batch in source.read() for item in batch]
    assert numbers(found) == [
        *((seq, None) for seq in range(7)), (7, 1), *((seq, None) for seq in range(8, 20)),
    ]  # fmt: skip


@pytest.mark.parametrize("bad", [b"5,6,x,-;needle\n", b"99999,6,1,-;needle\n", b"5,6\n"])
def test_what_is_no_record_swallows_no_gap(bad: bytes) -> None:
    """Records missing before it, and itself, are counted when the next one comes."""
    with piped(raw(0), raw(1), bad, raw(7, "needle")) as source:
        found = [item for batch in source.read() for item in batch]
    assert numbers(found) == [(2, 5), (7, None)]


def test_lines_read_before_the_restart_are_not_counted_again() -> None:
    """The device begins at its oldest record; what was read before is no line that was read now."""
    with piped(*map(raw, range(100)), seen=90) as source:
        assert not [item for batch in source.read() for item in batch]
        assert (source.lines_read, source.next_seq) == (10, 100)
