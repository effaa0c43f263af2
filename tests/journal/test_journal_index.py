"""Narrowing a journal to the texts that matter gives what reading every entry gives."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.real import (
    BOOT,
    BOOT_2,
    MISSED,
    PACK,
    Entry,
    Journald,
    build,
    entry,
    line,
    lockdown_line,
    mark,
    until,
)
from watcher.errors import SourceError
from watcher.record import Gap, Record
from watcher.rules import Prefilter
from watcher.sources import journal_index
from watcher.sources.journal import KERNEL, JournalSource, Span
from watcher.sources.journal_entry import MISSED_ID
from watcher.sources.journal_files import Where
from watcher.sources.journal_index import MOST, narrowed

PREFILTER = PACK.prefilter(MISSED)
WHOLE = Span(past=True)


def read(where: Where, *, narrow: bool, prefilter: Prefilter = PREFILTER) -> list[Record | Gap]:
    """Give all that a journal holds, but for when it was read."""
    source = JournalSource(prefilter, where, WHOLE)
    try:
        if narrow:
            source.narrow()
        return [item._replace(observed_us=0) for batch in source.read() for item in batch]
    finally:
        source.close()


def is_narrowed(where: Where, prefilter: Prefilter = PREFILTER) -> bool:
    """Tell whether the index was believed, and the rest of a test means something."""
    source = JournalSource(prefilter, where, WHOLE)
    try:
        source.narrow()
        return source._texts is not None
    finally:
        source.close()


# --- any journal


def entries(dice: random.Random, count: int, since_us: int = 0) -> Iterator[Entry]:
    """Give lines of the kernel, of forgers and of services, some equal, some unlike any other."""
    for number in range(count):
        at_us = since_us + number * 1000
        boot = BOOT if dice.random() < 0.9 else BOOT_2
        kind = dice.choice(KINDS)
        yield kind(dice, at_us, boot)


def _noise(dice: random.Random, at_us: int, boot: str) -> Entry:
    return line(f"usb 1-{dice.randrange(30)}: new device", at_us, boot=boot)


def _unique(dice: random.Random, at_us: int, boot: str) -> Entry:
    return line(f"audit: serial {dice.random()}", at_us, boot=boot)


def _denied(dice: random.Random, at_us: int, boot: str) -> Entry:
    return line(lockdown_line(f"app{dice.randrange(5)}"), at_us, boot=boot)


def _long(dice: random.Random, at_us: int, boot: str) -> Entry:
    text = lockdown_line("x" * 900) if dice.random() < 0.3 else "noise " * 300
    return line(text, at_us, boot=boot)


def _binary(_dice: random.Random, at_us: int, boot: str) -> Entry:
    return line(b"Lockdown: \xff\x00\n: hibernation is restricted; see man", at_us, boot=boot)


def _forged(dice: random.Random, at_us: int, boot: str) -> Entry:
    fields = [("_TRANSPORT", "journal"), ("SYSLOG_IDENTIFIER", "kernel")]
    return entry(at_us, *fields, ("MESSAGE", lockdown_line(f"f{dice.randrange(3)}")), boot=boot)


def _quoted(dice: random.Random, at_us: int, boot: str) -> Entry:
    fields = [("_TRANSPORT", "syslog"), ("SYSLOG_IDENTIFIER", "app")]
    return entry(at_us, *fields, ("MESSAGE", lockdown_line(str(dice.random()))), boot=boot)


def _service(dice: random.Random, at_us: int, boot: str) -> Entry:
    text = "long " * 400 if dice.random() < 0.1 else f"session {dice.randrange(1000)}"
    return entry(at_us, ("_TRANSPORT", "journal"), ("MESSAGE", text), boot=boot)


def _avc(dice: random.Random, at_us: int, boot: str) -> Entry:
    text = f"AVC avc: denied {{ integrity }} for pid={dice.randrange(4)} tclass=lockdown"
    kind = ("_AUDIT_TYPE", str(dice.choice([1400, 1300])))
    return entry(at_us, ("_TRANSPORT", "audit"), kind, ("MESSAGE", text), boot=boot)


def _missed(dice: random.Random, at_us: int, boot: str) -> Entry:
    text = f"Missed {dice.randrange(3)} kernel messages"
    by = ("_TRANSPORT", dice.choice(["driver", "journal"]))
    return entry(at_us, by, ("MESSAGE_ID", MISSED_ID), ("MESSAGE", text), boot=boot)


def _untold(_dice: random.Random, at_us: int, boot: str) -> Entry:
    return entry(at_us, ("_TRANSPORT", "journal"), ("WORDS", "no message"), boot=boot)


KINDS = (
    *(_noise,) * 8, *(_service,) * 8, *(_unique,) * 4, _denied, _long, _binary, _forged, _quoted,
    _avc, _missed, _untold,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_the_same_as_entry_by_entry(tmp_path: Path, seed: int) -> None:
    """Records, gaps and their order, over files that overlap in time."""
    dice = random.Random(seed)
    for number in range(dice.randint(1, 3)):
        build(tmp_path / f"{number}.journal", entries(dice, 1500, dice.randrange(10**6)))
    where = Where(directory=str(tmp_path))
    assert is_narrowed(where)
    found = read(where, narrow=True)
    assert found == read(where, narrow=False)
    assert len(found) > 50


@pytest.mark.parametrize("files", [2, 5])
def test_two_processes_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """Half of the files each; what the second one finds comes by a pipe."""
    monkeypatch.setattr(journal_index, "_WORTH", 0)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    forked, fork = [], os.fork

    def counted() -> int:
        forked.append(fork())
        return forked[-1]

    monkeypatch.setattr("os.fork", counted)
    dice = random.Random(files)
    for number in range(files):
        build(tmp_path / f"{number}.journal", entries(dice, 300, dice.randrange(10**6)))
    where = Where(directory=str(tmp_path))
    assert is_narrowed(where)
    assert read(where, narrow=True) == read(where, narrow=False)
    assert len(forked) == 4  # for each of two readings


def test_a_second_process_that_dies_leaves_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is cut short while it is mapped kills it (SIGBUS): then entries are read."""
    monkeypatch.setattr(journal_index, "_WORTH", 0)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    for number in range(2):
        build(tmp_path / f"{number}.journal", entries(random.Random(number), 50))
    where, here, search = Where(directory=str(tmp_path)), os.getpid(), journal_index._search
    dying = lambda *args: search(*args) if os.getpid() == here else os.kill(os.getpid(), 9)  # noqa: E731
    monkeypatch.setattr(journal_index, "_search", dying)
    assert not is_narrowed(where)


@pytest.mark.parametrize("few", [1, 40])
def test_where_lines_of_the_kernel_are_few(tmp_path: Path, few: int) -> None:
    """Then their entries are looked at, not the texts of all."""
    chatter = (_service(random.Random(at), at, BOOT) for at in range(100, 3000))
    unlike = (entry(at, ("MESSAGE", f"number {at}")) for at in range(3000, 6000))
    lines = [_denied(random.Random(at), at, BOOT) for at in range(few)]
    file = build(tmp_path / "few.journal", [*lines, *chatter, *unlike])
    where = Where(files=(str(file),))
    assert is_narrowed(where)
    assert len(read(where, narrow=True)) == few
    assert read(where, narrow=True) == read(where, narrow=False)


def test_a_copy_in_the_folder_gives_nothing_twice(tmp_path: Path) -> None:
    """libsystemd still decides which entries are the same one."""
    file = build(tmp_path / "a.journal", entries(random.Random(1), 500))
    shutil.copy(file, tmp_path / "b.journal")
    where = Where(directory=str(tmp_path))
    assert not is_narrowed(where)  # fewer are found again than the files have
    assert read(where, narrow=True) == read(where, narrow=False)


def test_all_entries_are_counted(tmp_path: Path) -> None:
    """`lines_read` is what the matches let through, whether it was stepped over or not."""
    build(tmp_path / "a.journal", entries(random.Random(2), 1000))
    counted = []
    for narrow in (True, False):
        source = JournalSource(PREFILTER, Where(directory=str(tmp_path)), WHOLE)
        if narrow:
            source.narrow()
        list(source.read())
        counted.append(source.lines_read)
        source.close()
    assert counted[0] == counted[1] > 100


# --- where it does not help


def test_too_many_texts_are_read_entry_by_entry(tmp_path: Path) -> None:
    """Each text is looked up at every step, so there is a bound, and the same comes out."""
    lines = (line(lockdown_line(f"n{at}"), at) for at in range(MOST + 1))
    where = Where(files=(str(build(tmp_path / "many.journal", lines)),))
    assert not is_narrowed(where)
    assert len(read(where, narrow=True)) == MOST + 1


@pytest.mark.parametrize(("texts", "helps"), [(5000, False), (500, True)])
def test_lines_unlike_each_other_are_read_at_once(
    tmp_path: Path,
    texts: int,
    helps: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Where texts are nearly as many as entries, looking them through first is the longer way."""
    lines = (line(f"serial {at % texts}", at) for at in range(5000))
    denied = (_denied(random.Random(at), 5000 + at, BOOT) for at in range(20))
    where = Where(files=(str(build(tmp_path / "a.journal", [*lines, *denied])),))
    assert is_narrowed(where) == helps
    assert read(where, narrow=True) == read(where, narrow=False)


def test_what_services_say_is_no_text_too_many(tmp_path: Path) -> None:
    """Any user can log a thousand lines that quote the kernel; they do not count."""
    quoted = [_quoted(random.Random(at), at, BOOT) for at in range(1000)]
    file = build(tmp_path / "quoted.journal", [*quoted, _denied(random.Random(0), 2000, BOOT)])
    where = Where(files=(str(file),))
    assert is_narrowed(where)
    assert len(read(where, narrow=True)) == 1


def test_a_line_without_text_is_told(tmp_path: Path) -> None:
    """The kernel's lines all have one: where one lacks it, every entry is read."""
    bare = [pair for pair in line("x", 5) if pair[0] != "MESSAGE"]
    file = build(tmp_path / "bare.journal", [line("usb 1-1: new", 1), bare, line("y", 9)])
    where = Where(files=(str(file),))
    assert not is_narrowed(where)
    (gap,) = read(where, narrow=True)
    assert isinstance(gap, Gap)
    assert "MESSAGE is gone" in gap.detail


def test_rules_without_literals_need_every_entry(tmp_path: Path) -> None:
    """Nothing is narrowed for a rule that any text may match."""
    file = build(tmp_path / "any.journal", entries(random.Random(3), 50))
    assert not is_narrowed(Where(files=(str(file),)), Prefilter([None]))


def test_no_file_is_no_answer() -> None:
    """Where the files cannot be told, nothing is known, not that there is nothing."""
    assert narrowed([], KERNEL, PREFILTER) is None


# --- damage


def damaged(file: Path, dice: random.Random) -> bytes:
    """Give a file's bytes with one thing wrong, as failing storage leaves it."""
    data = bytearray(file.read_bytes())
    used = data.rstrip(b"\0")
    at = dice.randrange(4096, len(used)) & ~7
    how = dice.choice(["zeros", "noise", "flip", "cut"])
    if how == "zeros":
        data[at & ~4095 : (at & ~4095) + 4096] = bytes(4096)
    elif how == "noise":
        data[at : at + 512] = dice.randbytes(512)
    elif how == "flip":
        data[at + dice.randrange(8)] ^= 1 << dice.randrange(8)
    else:
        del data[at:]
    return bytes(data)


def told(where: Where, *, narrow: bool) -> tuple[list[Record | Gap], str]:
    """Give what is read up to the error, and the error."""
    source = None
    found: list[Record | Gap] = []
    try:
        source = JournalSource(PREFILTER, where, WHOLE)
        if narrow:
            source.narrow()
        for batch in source.read():
            found += [item._replace(observed_us=0) for item in batch]
    except SourceError as error:
        return found, str(error)
    finally:
        if source:
            source.close()
    return found, ""


@pytest.mark.parametrize("seed", range(40))
def test_damage_hides_nothing(tmp_path: Path, seed: int) -> None:
    """What reading every entry still finds in a damaged file, or says of it, comes here too."""
    dice = random.Random(seed)
    file = build(tmp_path / "a.journal", entries(dice, 400))
    file.write_bytes(damaged(file, dice))
    for where in (Where(directory=str(tmp_path)), Where(files=(str(file),))):
        plain, error = told(where, narrow=False)
        found, same = told(where, narrow=True)
        lost = [item for item in plain if item not in found]
        assert not lost
        assert error == same


@pytest.mark.parametrize("where", [1 << 63, (1 << 64) - 1, 1 << 40])
def test_a_number_that_leads_nowhere_is_doubt(tmp_path: Path, where: int) -> None:
    """Whichever number of the file it is: the index is not believed, and nothing ends."""
    dice = random.Random(where)
    file = build(tmp_path / "a.journal", entries(dice, 200))
    good = file.read_bytes()
    used = len(good.rstrip(b"\0"))
    for _ in range(600):
        data, at = bytearray(good), dice.randrange(64, used - 8) & ~7
        data[at : at + 8] = where.to_bytes(8, "little")
        file.write_bytes(data)
        narrowed([str(file)], KERNEL, PREFILTER)


# --- a journal that is being written to


def test_a_journal_in_use() -> None:
    """Of a running journald too, and what comes while its files are looked through is not lost."""
    word = mark()
    with Journald("ReadKMsg=no\n") as journald:
        where = Where(namespace=journald.namespace)
        for number in range(50):
            text = lockdown_line(word) if number % 10 == 0 else f"noise {number}"
            journald.native({"MESSAGE": text, "SYSLOG_IDENTIFIER": "kernel"})
        journald.sync()
        until(lambda: len(read(where, narrow=False)) >= 5, "the lines")
        assert is_narrowed(where)
        assert read(where, narrow=True) == read(where, narrow=False)
        source = JournalSource(PREFILTER, where, WHOLE)
        source.narrow()
        journald.native({"MESSAGE": lockdown_line("late"), "SYSLOG_IDENTIFIER": "kernel"})
        journald.rotate()
        found = [item for batch in source.read() for item in batch]
        source.close()
        assert sum(isinstance(item, Record) and "late" in item.text for item in found) == 1
