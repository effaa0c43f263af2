"""The real /dev/kmsg: every record is read or counted as lost, whatever is in it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.journal.real import (
    PACK,
    gaps,
    items,
    judged,
    lockdown_line,
    mark,
    need_root,
    records,
    unlimited_kmsg,
)
from watcher.errors import SourceError
from watcher.gaps import ADJACENT_US, GapMerger
from watcher.record import Gap, Host, Place, Record
from watcher.rules import Prefilter
from watcher.sources.kmsg import KmsgSource
from watcher.sources.kmsg_record import KmsgRecord, parse_record

Write = Callable[..., None]
ALL: Final = Prefilter([None])


@pytest.fixture
def to_kmsg() -> Iterator[Write]:
    """What writes lines to /dev/kmsg, with no rate limit."""
    with unlimited_kmsg() as write:
        yield write


def opened(*, new: bool = True, prefilter: Prefilter = ALL) -> contextlib.closing[KmsgSource]:
    """The real source, from now on or from the start of the ring."""
    return contextlib.closing(KmsgSource(prefilter, since="now" if new else "boot"))


def seqs(found: list[Record | Gap]) -> list[int]:
    """The sequence numbers of the records."""
    return [record.place.seq for record in records(found) if record.place.seq is not None]


def covered(found: list[Record | Gap]) -> range:
    """The sequence numbers that were read or told as lost: each once, in order, none left out."""
    first = end = found[0].place.seq
    for item in found:
        assert item.place.seq == end
        count = item.count if isinstance(item, Gap) else 1
        assert count
        assert end is not None
        end += count
    assert first is not None
    assert end is not None
    return range(first, end)


# --- before any flood has washed the boot out of the ring


def test_the_kernels_own_dictionary_is_read() -> None:
    """Where the ring has a device's line, its subsystem and device are fields."""
    need_root()
    with open("/dev/kmsg", "rb", buffering=0, opener=_not_blocking) as ring:
        raws = list(iter(lambda: _next(ring.fileno()), b""))
    with opened(new=False) as source:
        found = {record.place.seq: record for record in records(items(source))}
    with_device = [parse_record(raw) for raw in raws if b"\n DEVICE=" in raw]
    if not with_device:
        pytest.skip("the ring holds no line of a device any more")
    for parsed in with_device:
        assert parsed
        if parsed.seq in found:
            fields = found[parsed.seq].fields
            assert fields["_KERNEL_DEVICE"] == parsed.dictionary["DEVICE"]
            assert fields["_KERNEL_SUBSYSTEM"] == parsed.dictionary["SUBSYSTEM"]


def _not_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _next(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, 16_384)
        except BlockingIOError:
            return b""
        except BrokenPipeError:
            continue


# --- nothing lost that is not counted


def flood(lines: int, writers: int = 3) -> None:
    """Write far more than the ring holds, from several threads."""
    with unlimited_kmsg() as write:

        def work(level: int) -> None:
            for number in range(lines // writers):
                write(f"<{level}>{'x' * 200} {number}\n")

        threads = [threading.Thread(target=work, args=(5 + i % 3,)) for i in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_what_the_ring_lost_between_two_reads_is_counted_exactly(to_kmsg: Write) -> None:
    """Lines read and lines in gaps are together every sequence number, each one once."""
    with opened() as source:
        to_kmsg(f"<5>{mark()} before\n")
        before = items(source)
        flood(9_000)
        to_kmsg(f"<5>{mark()} after\n")
        after = items(source)
    assert len(covered(before + after)) >= 9_002
    (gap,) = gaps(after)
    assert gap is after[0]
    assert gap.cause == "kmsg_overrun"
    last, first = records(before)[-1], records(after)[0]
    assert last.place.seq is not None
    assert first.place.seq is not None
    assert (gap.place.seq, gap.count) == (
        last.place.seq + 1,
        first.place.seq - last.place.seq - 1,
    )
    assert gap.count is not None
    assert gap.count > 1_000
    # Two looks at the clock are a little apart.
    assert gap.from_us == pytest.approx(last.time_us, abs=50_000)
    assert gap.to_us == first.time_us


def test_bounds_and_count_reach_the_event(to_kmsg: Write) -> None:
    """The watch.gap has the gap's count and the times of the lines on either side of it."""
    with opened() as source:
        to_kmsg("<5>before\n")
        items(source)
        flood(6_000)
        after = items(source)
    (gap,) = gaps(after)
    event = next(event for event in judged(after) if event.kind == "watch.gap")
    assert event.gap
    assert event.gap.count == gap.count
    assert event.gap.from_
    assert event.gap.to
    assert event.gap.from_ < event.gap.to
    assert str(gap.count) in event.title


def test_what_is_lost_before_the_first_read_is_counted_from_now(to_kmsg: Write) -> None:
    """With since=now, lines that the ring lost before the first read are counted too."""
    with opened(new=False) as source:
        to_kmsg("<5>last before\n")
        last = seqs(items(source))[-1]
    with opened() as source:
        flood(6_000)
        found = items(source)
    # Whatever else wrote between the two opens.
    assert last + 1 <= covered(found).start <= last + 100
    assert [gap.cause for gap in gaps(found)] == ["kmsg_overrun"]


def test_what_the_ring_lost_before_the_start_is_one_gap(to_kmsg: Write) -> None:
    """From the boot on, what is no longer in the ring is one gap from record 0 to the first."""
    flood(3_000)
    to_kmsg("<5>one\n")
    with opened(new=False) as source:
        found = items(source)
    gap = found[0]
    assert isinstance(gap, Gap)
    assert gap.cause == "kmsg_overwritten_before_start"
    assert covered(found).start == 0
    assert gap.from_us is None
    assert gap.to_us == records(found)[0].time_us


def test_lost_lines_older_than_since_are_not_told(to_kmsg: Write) -> None:
    """With a time to start from, neither older lines nor older losses are told."""
    flood(3_000)
    with opened(new=False) as source:
        newest = records(items(source))[-1].time_us
    assert newest is not None
    to_kmsg("<5>one\n")
    with contextlib.closing(KmsgSource(ALL, since=newest + 1)) as source:
        found = items(source)
    assert not gaps(found)
    assert 1 <= len(found) < 100


def test_from_now_on_gives_nothing_old(to_kmsg: Write) -> None:
    """With since=now the ring's past is not read, and the first new line is."""
    word = mark()
    to_kmsg(f"<5>{word} old\n")
    with opened() as source:
        assert not [r for r in records(items(source)) if word in r.text]
        to_kmsg(f"<5>{word} new\n")
        assert [r.text for r in records(items(source)) if word in r.text] == [f"{word} new"]


def test_no_gap_where_nothing_was_lost(to_kmsg: Write) -> None:
    """Ten thousand lines, read in between, are ten thousand records in order."""
    word = mark()
    found: list[Record | Gap] = []
    with opened() as source:
        for hundred in range(100):
            to_kmsg(*(f"<6>{word} {hundred * 100 + i}\n" for i in range(100)))
            found += items(source)
    ours = [record for record in records(found) if word in record.text]
    assert [record.text for record in ours] == [f"{word} {i}" for i in range(10_000)]
    assert not gaps(found)
    numbers = seqs(found)
    assert all(then == now + 1 for now, then in pairwise(numbers))


# --- what is in a record


@pytest.mark.parametrize(
    ("prefix", "facility", "level"),
    [
        ("<5>", 1, 5),
        ("<0>", 1, 0),
        ("", 1, 4),
        ("<13>", 1, 5),
        ("<29>", 3, 5),
        ("<1023>", 127, 7),
        ("<2047>", 255, 7),
        ("<-1>", 1, 4),
    ],
)
def test_facility_and_level(to_kmsg: Write, prefix: str, facility: int, level: int) -> None:
    """Facility and level are read up to the largest there are; a process never gets facility 0."""
    word = mark()
    with opened() as source:
        to_kmsg(f"{prefix}{word}\n")
        (record,) = [r for r in records(items(source)) if word in r.text]
    assert record.fields["SYSLOG_FACILITY"] == str(facility)
    if prefix:  # the default level is the machine's own
        assert int(record.fields["PRIORITY"]) in {level, 4}
    assert record.trust == "injected"


@pytest.mark.parametrize(
    "text",
    [
        b"back\\slash and \\x41 and \\n",
        "caf\u00e9 \u20ac \U0001f512".encode(),
        b"two\nlines\n SUBSYSTEM=forged\n DEVICE=+x",
        b"6,1,1,-;looks like a record",
        b"\x01\x02\x7f controls \x1b[31m",
        b"x" * 992,
        b"\\" * 400,
    ],
)
def test_any_text_comes_back_as_it_was_written(to_kmsg: Write, text: bytes) -> None:
    """Escapes are undone exactly; no text makes a second record or a dictionary."""
    word = mark()
    with opened() as source:
        to_kmsg(b"<14>" + word.encode()[-20:] + text + b"\n", b"<14>end\n")
        found = records(items(source))
    (record,) = [r for r in found if word[-20:] in r.text]
    assert record.text == word[-20:] + text.decode()
    assert not {name for name in record.fields if name.startswith("_KERNEL")}


def test_what_is_no_utf_8_is_shown_in_hex(to_kmsg: Write) -> None:
    """Bytes that are no UTF-8 are shown as \\xNN and lose nothing of the rest."""
    word = mark()
    with opened() as source:
        to_kmsg(b"<14>a\xff\xc3b " + word.encode() + b"\n")
        (record,) = [r for r in records(items(source)) if word in r.text]
    assert record.text == f"a\\xff\\xc3b {word}"


def test_the_longest_line_is_read_and_a_longer_one_refused(to_kmsg: Write) -> None:
    """A line of 1024 bytes is one record; the kernel refuses 1025, and nothing is lost by it."""
    word = mark()
    limit = 1024 - len("<14>")
    with opened() as source:
        try:
            to_kmsg(b"<14>" + word.encode().ljust(limit, b"y"))
        except OSError:  # kernels before 6.3 take 992
            limit = 992 - len("<14>")
            to_kmsg(b"<14>" + word.encode().ljust(limit, b"y"))
        with pytest.raises(OSError, match="Invalid argument"):
            to_kmsg(b"<14>" + word.encode().ljust(limit + 1, b"z"))
        to_kmsg("<14>end\n")
        found = items(source)
    ours = [record for record in records(found) if word in record.text]
    assert [len(record.text) for record in ours] == [limit]
    assert not gaps(found)


def test_a_line_that_escapes_make_too_long_is_still_read(to_kmsg: Write) -> None:
    """The kernel cuts a record of 2048 bytes; what it gives is read, and no record is lost."""
    word = mark()
    with opened() as source:
        to_kmsg(b"<14>" + word.encode() + b"\x01" * 900 + b"\n", b"<14>" + word.encode() + b"\n")
        found = items(source)
    long, end = [record for record in records(found) if word in record.text]
    assert long.text.startswith(word + "\x01" * 400)
    assert end.text == word
    assert not gaps(found)


def test_lines_of_equal_text_are_events_of_their_own(to_kmsg: Write) -> None:
    """Twenty equal forged lines are twenty events, and read again they are the same twenty."""
    name = mark()[:15]
    to_kmsg(*[f"<5>{lockdown_line(name)}\n"] * 20)

    def ids() -> list[str]:
        with opened(new=False, prefilter=PACK.prefilter()) as source:
            return [e.id for e in judged(items(source)) if name in e.message]

    first = ids()
    assert len(set(first)) == 20
    assert ids() == first


# --- what cannot be opened

_AS_NOBODY: Final = """
import os, sys
sys.path.insert(0, os.getcwd())
from watcher.errors import SourceError
from watcher.rules import Prefilter
from watcher.sources.kmsg import KmsgSource
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    KmsgSource(Prefilter([None]))
    print("opened")
except SourceError as error:
    print(error)
"""


def test_who_may_not_read_is_told_what_to_do() -> None:
    """Without CAP_SYSLOG, opening is an error that names the permission it needs."""
    need_root()
    if Path("/proc/sys/kernel/dmesg_restrict").read_text("ascii").strip() != "1":
        pytest.skip("this machine lets everybody read the kernel log")
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY], check=True, capture_output=True, text=True
    )
    assert "not permitted" in done.stdout
    assert "CAP_SYSLOG" in done.stdout


def test_a_device_that_is_not_there_is_an_error() -> None:
    """A path that does not exist is an error that names it."""
    with pytest.raises(SourceError, match="/dev/no-kmsg: No such file"):
        KmsgSource(ALL, path="/dev/no-kmsg")


# --- parse_record, on anything


def escaped(raw: bytes) -> bytes:
    """What the kernel makes of a text (printk.c append_char)."""
    return b"".join(
        bytes((byte,)) if 0x20 <= byte < 0x7F and byte != 0x5C else b"\\x%02x" % byte
        for byte in raw
    )


numbers = st.integers(min_value=0, max_value=2**64 - 1)


@given(st.binary(max_size=300))
@example(b"5,1,2,-;")
@example(b"5,1,2,-;\n\n SUBSYSTEM\n =\n")
@example(b"9999," + b"9" * 20 + b"," + b"9" * 20 + b",-;x\n")
def test_no_bytes_break_the_parser(raw: bytes) -> None:
    """Any bytes are a record or None; a record has text and fields of text."""
    parsed = parse_record(raw)
    if parsed:
        assert all(isinstance(value, str) for value in parsed.fields().values())
        assert isinstance(parsed.text.encode(), bytes)


@given(
    prio=st.integers(min_value=0, max_value=2047),
    seq=numbers,
    usec=numbers,
    more=st.sampled_from([b"-", b"c", b"-,caller=T123", b"-,caller=C1,new=x"]),
    text=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    dictionary=st.dictionaries(
        st.sampled_from(["SUBSYSTEM", "DEVICE", "X"]), st.text("ab \n\\=:+")
    ),
)
def test_what_the_kernel_writes_is_read_back(  # noqa: PLR0913 - a record's parts
    *, prio: int, seq: int, usec: int, more: bytes, text: str, dictionary: dict[str, str]
) -> None:
    """Number, clock, facility, level, text and dictionary come back as they went in."""
    pairs = b"".join(
        b" " + escaped(f"{name}={value}".encode()) + b"\n" for name, value in dictionary.items()
    )
    head = b"%d,%d,%d,%s;" % (prio, seq, usec, more)
    parsed = parse_record(head + escaped(text.encode()) + b"\n" + pairs)
    assert parsed == KmsgRecord(
        prio >> 3, prio & 7, seq, usec, text, escaped(text.encode()).decode(), dictionary
    )
    assert parsed.fields().get("_KERNEL_DEVICE") == dictionary.get("DEVICE")


# --- merging


def gap_of(number: int, cause: str, count: int | None, from_us: int, to_us: int) -> Gap:
    """A gap with bounds and a number to know it by."""
    return Gap(cause, count, Place("kmsg", seq=number), Host("h"), 0, "detail", from_us, to_us)


sizes = st.one_of(st.none(), st.integers(min_value=0, max_value=2**40))
steps = st.tuples(
    st.sampled_from(["a", "b"]),
    sizes,
    st.integers(min_value=0, max_value=2 * ADJACENT_US),
    st.integers(min_value=0, max_value=1000),
    st.booleans(),
)


@given(st.lists(steps, max_size=60))
def test_merging_loses_no_count_and_keeps_the_order(
    walk: list[tuple[str, int | None, int, int, bool]],
) -> None:
    """Each gap that comes out is a run of those that went in, in order: bounds, cause and sum."""
    merger, given_in, now_us = GapMerger(), list[Gap](), 0
    out: list[Gap | None] = []
    for number, (cause, count, pause_us, length_us, with_line) in enumerate(walk):
        gap = gap_of(number, cause, count, now_us + pause_us, now_us + pause_us + length_us)
        now_us += pause_us + length_us
        given_in.append(gap)
        out += [merger.add(gap), merger.passed(now_us) if with_line else None]
    out.append(merger.flush())
    assert not merger.waiting
    rest = iter(given_in)
    for each in filter(None, out):
        part = [next(rest)]
        while part[-1].place != each.place:
            part.append(next(rest))
        counts = [gap.count for gap in part]
        assert each.count == (None if None in counts else sum(count or 0 for count in counts))
        assert (each.from_us, each.to_us) == (part[0].from_us, part[-1].to_us)
        assert {gap.cause for gap in part} == {each.cause}
    assert not list(rest)


def test_gaps_further_apart_than_that_are_two() -> None:
    """Five seconds apart is one gap, a microsecond more is two."""
    for pause_us, wanted in ((ADJACENT_US, 1), (ADJACENT_US + 1, 2)):
        merger = GapMerger()
        then = gap_of(1, "a", 2, pause_us, pause_us)
        out = [merger.add(gap_of(0, "a", 1, 0, 0)), merger.add(then), merger.flush()]
        assert len([each for each in out if each]) == wanted
