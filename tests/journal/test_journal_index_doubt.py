"""Where the index cannot be asked, or had better not: every layout, no resources, hostile files."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.journal.real import Entry, Journald, build, entry, line, lockdown_line, need_root
from tests.journal.test_journal_index import entries, is_narrowed, read
from watcher.record import Record
from watcher.rules import Prefilter
from watcher.sources import journal_index
from watcher.sources.journal import KERNEL, JournalSource, Span
from watcher.sources.journal_files import Where
from watcher.sources.journal_hash import jenkins64, siphash24
from watcher.sources.journal_index import Matches, narrowed

FIND = Prefilter([frozenset({"needle"})])
ANY_PACKED: Final = 1 | 2 | 8
LONG: Final = "x" * 3000
"""As long as journald compresses."""


def found_with(where: Where, matches: Matches, *, narrow: bool) -> list[str]:
    """Give the texts of what is found among the entries that match."""
    source = JournalSource(FIND, where, Span(past=True), matches)
    with contextlib.closing(source):
        if narrow:
            source.narrow()
        return [i.text for batch in source.read() for i in batch if isinstance(i, Record)]


# --- layouts


def test_the_hashes_are_those_of_their_authors() -> None:
    """The vectors of the SipHash paper (appendix A) and of lookup3.c."""
    assert siphash24(bytes(range(15)), bytes(range(16))) == 0xA129CA6149BE45E5
    assert jenkins64(b"Four score and seven years ago") == 0x17770551_CE7226E6
    assert jenkins64(b"") == 0xDEADBEEF_DEADBEEF


@pytest.mark.parametrize("compact", ["0", "1"])
@pytest.mark.parametrize("keyed", ["0", "1"])
def test_every_layout_is_read_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keyed: str, compact: str
) -> None:
    """However systemd lays a file out: what reading every entry gives."""
    monkeypatch.setenv("SYSTEMD_JOURNAL_KEYED_HASH", keyed)
    monkeypatch.setenv("SYSTEMD_JOURNAL_COMPACT", compact)
    file = build(tmp_path / "a.journal", entries(random.Random(1), 500))
    (flags,) = struct.unpack_from("<I", file.read_bytes(), 12)
    assert flags & ~ANY_PACKED == int(keyed) * 4 | int(compact) * 16
    where = Where(files=(str(file),))
    assert is_narrowed(where)
    assert read(where, narrow=True) == read(where, narrow=False)


def test_a_long_value_that_journald_compressed_is_no_absent_one() -> None:
    """An entry that a rule asks for by such a value is found."""
    with Journald("ReadKMsg=no\nCompress=64\n") as journald:
        for number in range(20):
            unit = {7: LONG, 9: "short"}.get(number, f"{LONG}{number}")
            journald.native({"MESSAGE": f"needle {number}", "UNIT": unit, "WORDS": LONG * 2})
        journald.sync()
        where, matches = Where(namespace=journald.namespace), ((f"UNIT={LONG}",), ("UNIT=short",))
        for narrow in (False, True):
            assert found_with(where, matches, narrow=narrow) == ["needle 7", "needle 9"]


@pytest.mark.parametrize("flag", [1, 2])
def test_a_value_packed_in_another_way_is_doubt(tmp_path: Path, flag: int) -> None:
    """By xz or lz4, as older systemd did: libsystemd unpacks it, and is asked."""
    lines = [entry(1, ("MESSAGE", "needle"), ("UNIT", LONG)), entry(2, ("MESSAGE", "other"))]
    file = build(tmp_path / "a.journal", lines)
    matches = ((f"UNIT={LONG}",),)
    found = narrowed([str(file)], matches, FIND)
    assert found
    assert found.entries == 1
    data = bytearray(file.read_bytes())
    (packed,) = (at for at in objects(data, 1) if data[at + 1])
    data[packed + 1] = flag
    file.write_bytes(data)
    assert narrowed([str(file)], matches, FIND) is None


def objects(data: bytearray, kind: int) -> Iterator[int]:
    """Give the places of a file's objects of a kind."""
    (at,) = struct.unpack_from("<Q", data, 88)
    while at < len(data) and data[at]:
        if data[at] == kind:
            yield at
        (length,) = struct.unpack_from("<Q", data, at + 8)
        at += length + 7 & ~7


# --- another machine, or one that gives nothing more


def test_a_machine_of_the_other_byte_order_reads_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists of entries are read as the machine's own numbers, and files are little-endian."""
    file = build(tmp_path / "a.journal", [line(lockdown_line("a"))])
    monkeypatch.setattr(sys, "byteorder", "big")
    assert narrowed([str(file)], KERNEL, FIND) is None


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that are worth two processes."""
    monkeypatch.setattr(journal_index, "_WORTH", 0)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    return [
        str(build(tmp_path / f"{number}.journal", entries(random.Random(number), 50)))
        for number in range(2)
    ]


def opened() -> list[str]:
    """Give this process's open descriptors."""
    return sorted(journal_index.open_descriptors(), key=int)


def test_without_descriptors_nothing_is_said_and_none_is_lost(large: list[str]) -> None:
    """However many are left (EMFILE): doubt, or the answer, and all are given back."""
    before, limits = opened(), resource.getrlimit(resource.RLIMIT_NOFILE)
    answers = []
    os.close(free := os.dup(0))
    try:
        for most in range(free, free + 8):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
            answers.append(narrowed(large, KERNEL, FIND))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert opened() == before
    assert answers[0] is None
    assert answers[-1]


_AS_NOBODY: Final = """
import os, resource, sys, zstandard  # nobody may not import later
sys.path.insert(0, os.getcwd())
from watcher.rules import Prefilter
from watcher.sources import journal_index
from watcher.sources.journal import KERNEL
journal_index._WORTH = 0
files = [f"/proc/self/fd/{os.open(each, os.O_RDONLY)}" for each in sys.argv[2:]]
resource.setrlimit(resource.RLIMIT_NPROC, (int(sys.argv[1]),) * 2)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
before = os.listdir("/proc/self/fd")
found = journal_index.narrowed(files, KERNEL, Prefilter([frozenset({"needle"})]))
assert os.listdir("/proc/self/fd") == before
print(found and found.entries)
"""


@pytest.mark.parametrize(("processes", "answer"), [(0, "None"), (1000, "some")])
def test_without_processes_there_is_doubt(large: list[str], processes: int, answer: str) -> None:
    """A user that may have no more (EAGAIN) has every entry read."""
    need_root()
    for file in large:
        Path(file).chmod(0o644)
    command = [sys.executable, "-c", _AS_NOBODY, str(processes), *large]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert said == answer or (answer == "some" and int(said) > 0)


def test_children_that_nobody_waits_for_are_no_error(
    large: list[str],
) -> None:
    """Whoever starts us with SIGCHLD ignored leaves no child to wait for (ECHILD)."""
    expected = narrowed(large, KERNEL, FIND)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert narrowed(large, KERNEL, FIND) == expected
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_file_cut_short_under_the_search_kills_nothing(
    large: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has it mapped dies (SIGBUS), and that is not this process."""
    mapped = journal_index._mapped

    @contextlib.contextmanager
    def cut(file: str) -> Iterator[Any]:
        with mapped(file) as found:
            faulthandler.disable()  # pytest's: what it would say is no news
            os.truncate(file, 0)
            yield found

    monkeypatch.setattr(journal_index, "_mapped", cut)
    assert narrowed(large, KERNEL, FIND) is None


# --- hostile files


def crafted(file: Path, values: int, arrays: int) -> str:
    """Write a file of so many texts that share so many lists of entries, all but one empty."""
    table_at, field_at, list_at = 208, 240, 288
    entries_at = list_at + 24 + 8 * values
    chain_at = entries_at + 8 * values
    texts_at = chain_at + 24 * arrays + 8
    empties = range(chain_at, texts_at - 8, 24)
    texts = range(texts_at, texts_at + 80 * values, 80)
    header = (208, 0, table_at, 16, table_at + 16, 16, 0, 0, values, 0, 0, list_at)
    listed = range(entries_at, chain_at, 8)
    parts = [
        struct.pack("<8s II 8x 64x 12Q", b"LPKSHHRH", 0, 0, *header).ljust(208, b"\0"),
        struct.pack("<QQQQ", 0, 0, field_at, field_at),
        struct.pack("<BB6xQQQQ8s", 2, 0, 47, jenkins64(b"MESSAGE"), 0, texts[-1], b"MESSAGE"),
        struct.pack(f"<BB6xQQ{values}Q", 6, 0, 24 + 8 * values, 0, *listed),
        struct.pack("<Q", 3) * values,
        *(struct.pack("<BB6xQQ", 6, 0, 24, at) for at in empties[1:]),
        struct.pack("<BB6xQQQ", 6, 0, 32, 0, entries_at),
        *(
            struct.pack("<BB6xQ16xQQQQ16s", 1, 0, 78, older, 0, chain_at, 1, b"MESSAGE=needle")
            for older in (0, *texts[:-1])
        ),
    ]
    file.write_bytes(b"".join(parts))
    return str(file)


@pytest.mark.timeout(20)
def test_lists_that_lead_nowhere_end_soon(tmp_path: Path) -> None:
    """Thousands of texts that share a hundred thousand empty lists: journald writes none."""
    assert narrowed([crafted(tmp_path / "a.journal", 30_000, 100_000)], (), FIND) is None


def test_a_chain_of_values_of_one_hash_is_not_followed_for_ever(tmp_path: Path) -> None:
    """All values of a file in one chain, entered from every place of its table."""
    lines = (entry(at, ("MESSAGE", f"needle {at}")) for at in range(3000))
    file = build(tmp_path / "a.journal", lines)
    data = bytearray(file.read_bytes())
    table, size = struct.unpack_from("<QQ", data, 104)
    chain(data, table, size, 1)
    file.write_bytes(data)
    assert narrowed([str(file)], KERNEL, FIND) is None


def chain(data: bytearray, table: int, size: int, kind: int) -> None:
    """Put all objects of a hash table into one chain that every bucket leads to."""
    places = list(objects(data, kind))
    for here, following in zip(places, (*places[1:], 0), strict=True):
        struct.pack_into("<Q", data, here + 24, following)
    for bucket in range(table, table + size, 16):
        struct.pack_into("<Q", data, bucket, places[0])


def test_entries_of_hundreds_of_sizes_are_doubted(tmp_path: Path) -> None:
    """Each size is looked for among all entries."""

    def odd(at: int) -> Entry:
        return entry(at, ("MESSAGE", "needle"), *(("WORDS", str(n)) for n in range(at)))

    few, many = (
        build(tmp_path / f"{count}.journal", [entry(0, ("OTHER", "1")), *map(odd, range(count))])
        for count in (100, 300)
    )
    assert narrowed([str(few)], (("MESSAGE=needle",),), FIND)
    assert narrowed([str(many)], (("MESSAGE=needle",),), FIND) is None
