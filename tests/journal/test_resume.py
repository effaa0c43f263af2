"""Going on after a restart, a rotation, a vacuum or another boot: nothing lost, nothing twice."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journal.real import (
    BOOT_2,
    MISSED,
    PACK,
    Journald,
    build,
    gaps,
    items,
    line,
    mark,
    records,
    until,
)
from watcher.record import Gap, Record
from watcher.sources.journal import JournalSource, Span
from watcher.sources.journal_files import Where
from watcher.sources.kmsg import KmsgSource

HIT = "Lockdown: {}: hibernation is restricted; see man kernel_lockdown.7 {}\n"


def kmsg(after: str | None) -> KmsgSource:
    """Open /dev/kmsg as the daemon does."""
    return KmsgSource(PACK.prefilter(), after=after)


def journal(where: Where, after: str | None) -> JournalSource:
    """Open a journal as the daemon does."""
    return JournalSource(PACK.prefilter(MISSED), where, Span(after=after))


def said(found: list[Record | Gap], word: str) -> list[str]:
    """Give the last word of the records that hold `word`."""
    return [each.text.rsplit(" ", 1)[1].strip() for each in records(found) if word in each.text]


def arrived(journald: Journald, text: str) -> None:
    """Wait until journald has written a line it read from /dev/kmsg."""
    said_there = text.removeprefix("Lockdown: ")  # journald makes that the identifier
    until(lambda: said_there in journald.journalctl("-o", "cat", "-n", "50"), text)


def test_kmsg_goes_on_where_it_stopped(to_kmsg: Callable[..., None]) -> None:
    """Read, closed, read again: each line once, and what came in between."""
    word = mark()
    to_kmsg(HIT.format(word, 1))
    first = kmsg(None)
    assert said(items(first), word) == ["1"]
    place = first.position
    first.close()
    to_kmsg(HIT.format(word, 2), "<6>nothing\n", HIT.format(word, 3))
    second = kmsg(place)
    found = items(second)
    assert said(found, word) == ["2", "3"]
    assert gaps(found) == []
    again = second.position
    second.close()
    third = kmsg(again)
    assert items(third) == []
    third.close()


def test_what_kmsg_lost_meanwhile_is_counted(to_kmsg: Callable[..., None]) -> None:
    """A place that the ring has passed gives one gap of exactly the lines between."""
    source = kmsg(None)
    items(source)
    boot, number = source.position.split(" ")
    oldest = _oldest()
    source.close()
    if not oldest:
        to_kmsg(*["<6>wash" + "x" * 900] * 3000)
        oldest = _oldest()
    resumed = kmsg(f"{boot} {oldest - 1}" if oldest else f"{boot} {number}")
    [gap] = gaps(items(resumed))
    resumed.close()
    assert (gap.cause, gap.count) == ("kmsg_overwritten", 1)
    assert "while this program did not run" in gap.detail


def _oldest() -> int:
    with Path("/dev/kmsg").open("rb", buffering=0) as ring:
        return int(ring.read(16_384).split(b",", 2)[1])


def test_another_boots_place_is_no_place() -> None:
    """After a reboot /dev/kmsg is read from its start."""
    fresh, strange = kmsg(None), kmsg(f"{'0' * 32} 999999999")
    assert strange.next_seq == fresh.next_seq == 0
    strange.close()
    fresh.close()


@pytest.mark.parametrize("place", ["", "x", " 5", "a b c", "\0"])
def test_an_odd_place_is_no_place(place: str) -> None:
    """Whatever the store holds, the log is read."""
    source = kmsg(place)
    assert source.next_seq == 0
    source.close()
    where = Where(directory="/var/log/journal")
    if Path("/var/log/journal").is_dir():
        journal(where, place).close()


def test_the_journal_goes_on_over_rotation(
    journald: Journald, to_kmsg: Callable[..., None]
) -> None:
    """Closed, rotated twice, opened: each line once, in order."""
    word, where = mark(), Where(namespace=journald.namespace)
    to_kmsg(HIT.format(word, 1))
    first = journal(where, None)
    arrived(journald, HIT.format(word, 1).strip())
    assert said(items(first), word) == ["1"]
    place = first.position
    first.close()
    to_kmsg(HIT.format(word, 2))
    arrived(journald, HIT.format(word, 2).strip())
    journald.rotate()
    to_kmsg(HIT.format(word, 3))
    arrived(journald, HIT.format(word, 3).strip())
    journald.rotate()
    second = journal(where, place)
    found = items(second)
    assert said(found, word) == ["2", "3"]
    assert gaps(found) == []
    place = second.position
    second.close()
    third = journal(where, place)
    assert items(third) == []
    third.close()


def test_what_was_vacuumed_meanwhile_is_told(
    journald: Journald, to_kmsg: Callable[..., None]
) -> None:
    """The entry it stopped at and one behind it are gone: a gap, and the rest is read."""
    word, where = mark(), Where(namespace=journald.namespace)
    to_kmsg(HIT.format(word, 1))
    arrived(journald, HIT.format(word, 1).strip())
    first = journal(where, None)
    items(first)
    place = first.position
    first.close()
    to_kmsg(HIT.format(word, 2))
    arrived(journald, HIT.format(word, 2).strip())
    journald.rotate()
    to_kmsg(HIT.format(word, 3))
    arrived(journald, HIT.format(word, 3).strip())
    journald.vacuum()
    second = journal(where, place)
    found = items(second)
    second.close()
    assert said(found, word) == ["3"]
    assert [gap.cause for gap in gaps(found)] == ["journal_vacuumed"]


@pytest.mark.parametrize(("hours", "expected"), [(-2, ["journal_vacuumed"]), (2, [])])
def test_a_clock_set_back_hides_no_vacuum(hours: int, expected: list[str], tmp_path: Path) -> None:
    """What is there is numbered a thousand higher than what was read; only if it is also older by
    the clock can it not have been looked through."""
    file = build(tmp_path / "one.journal", [line(HIT.format("a", n), n) for n in range(3)])
    source = journal(Where(files=(str(file),)), None)
    items(source)
    drained, cursor, *_ = source.position.split(" ")
    source.close()
    number_on(file, 1000)
    parts = dict(part.split("=") for part in cursor.split(";"))
    parts["t"] = f"{int(parts['t'], 16) - hours * 3_600_000_000:x}"
    place = f"{drained} " + ";".join("=".join(part) for part in parts.items())
    resumed = journal(Where(files=(str(file),)), place)
    assert [gap.cause for gap in gaps(items(resumed))] == expected
    resumed.close()


def number_on(file: Path, by: int) -> None:
    """Number all entries of a journal file higher (JOURNAL_FILE_FORMAT.md, "Header", "Entry")."""
    data = bytearray(file.read_bytes())
    (at,) = struct.unpack_from("<Q", data, 88)
    (tail,) = struct.unpack_from("<Q", data, 136)
    places = [160, 168]  # the header's tail_entry_seqnum and head_entry_seqnum
    while at <= tail:
        kind, size = struct.unpack_from("<B7xQ", data, at)
        if kind == 3:  # OBJECT_ENTRY
            places.append(at + 16)
        at += (size + 7) & ~7
    for place in places:
        struct.pack_into("<Q", data, place, struct.unpack_from("<Q", data, place)[0] + by)
    file.write_bytes(data)


def test_the_next_boot_is_read_from_its_start(tmp_path: Path) -> None:
    """A place in the last boot goes on into the next one."""
    first = [line(HIT.format("a", n), n * 1000) for n in range(3)]
    build(tmp_path / "one.journal", first)
    source = journal(Where(directory=str(tmp_path)), None)
    assert len(records(items(source))) == 3
    place = source.position
    source.close()
    second = [line(HIT.format("b", n), 10_000_000 + n, boot=BOOT_2) for n in range(2)]
    build(tmp_path / "two.journal", second)
    source = journal(Where(directory=str(tmp_path)), place)
    found = records(items(source))
    source.close()
    assert [each.host.boot_id for each in found] == [BOOT_2, BOOT_2]
