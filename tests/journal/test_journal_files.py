"""Journal files as systemd-journal-remote writes them: what is in them, and what is damaged."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.journal.real import (
    BOOT,
    BOOT_2,
    MACHINE,
    MISSED,
    PACK,
    START_US,
    Entry,
    build,
    entry,
    gaps,
    items,
    judged,
    line,
    lockdown_line,
    need_root,
    records,
    until,
)
from watcher.errors import SourceError, UsageError
from watcher.event import Event
from watcher.examples import example_record
from watcher.kinds import KINDS
from watcher.pack import shipped
from watcher.record import Gap, Record
from watcher.scan import Extent, Tally, scan
from watcher.sources.journal import JournalSource, Span
from watcher.sources.journal_entry import MISSED_ID
from watcher.sources.journal_files import Where, boots

SECOND: Final = 1_000_000


def read(where: Where, span: Span | None = None) -> list[Record | Gap]:
    """All that the watcher looks at in a journal."""
    with contextlib.closing(JournalSource(PACK.prefilter(MISSED), where, span)) as source:
        return items(source)


def of(folder: Path, entries: Iterable[Entry], span: Span | None = None) -> list[Record | Gap]:
    """What the watcher looks at in a journal of those entries."""
    file = build(folder / "a.journal", entries)
    return read(Where(files=(str(file),)), span)


def comms(found: Iterable[Record | Gap]) -> list[str | None]:
    """The names in the denials, in the order read."""
    return [event.process.comm for event in judged(found) if event.kind == "lockdown.denied"]


def names_in(found: Iterable[Record | Gap]) -> list[str]:
    """The names in the texts of many lines, whatever they become."""
    return [record.text.split(": ")[1] for record in records(found)]


def scanned(extent: Extent) -> tuple[list[Event], Tally]:
    """What a whole scan gives."""
    events: list[Event] = []
    tally = Tally()
    scan(extent, PACK, events.append, tally)
    return events, tally


# --- all kinds


def examples() -> list[str]:
    """Every line that a shipped rule says it matches."""
    rules: list[Any] = [yaml.safe_load(file.read_text("utf-8")) for file in shipped().glob("*.yml")]
    return [
        text
        for rule in rules
        for text in rule["watcher"]["examples"]["match"]
        if isinstance(text, str)
    ]


def test_every_kind_of_line_comes_out_of_a_file(tmp_path: Path) -> None:
    """Each line that a shipped rule names becomes the same event from a journal file, in order."""
    texts = examples()
    events = judged(of(tmp_path, [line(text, i) for i, text in enumerate(texts)]))
    wanted = [event.kind for text in texts for event in judged([example_record(text)])]
    assert [event.message for event in events] == texts
    assert [event.kind for event in events] == wanted
    never = {"lockdown.forged", "selinux.lockdown", "rule.match", "watch.gap", "watch.degraded"}
    assert {kind for kind in KINDS if not kind.startswith("posture.")} - never <= set(wanted)
    assert {event.origin.trust for event in events} == {"kernel"}


# --- boots and times


def two_boots() -> list[Entry]:
    """Two lines of each of two boots."""
    late = 20_000 * SECOND
    return [
        line(lockdown_line("a"), 0),
        line(lockdown_line("b"), SECOND),
        line(lockdown_line("c"), late, boot=BOOT_2),
        line(lockdown_line("d"), late + SECOND, boot=BOOT_2),
    ]


def test_boots_are_told_apart(tmp_path: Path) -> None:
    """boots() is in the order of time, not of ids, and a boot id lets only its lines through."""
    file = str(build(tmp_path / "a.journal", two_boots()))
    assert BOOT < BOOT_2
    assert boots(Where(files=(file,))) == [BOOT, BOOT_2]
    assert comms(read(Where(files=(file,)), Span(boot_id=BOOT))) == ["a", "b"]
    assert comms(read(Where(files=(file,)), Span(boot_id=BOOT_2))) == ["c", "d"]


def test_boots_are_in_the_order_of_time_whatever_their_ids(tmp_path: Path) -> None:
    """The boot with the lower id is the later one, where its lines are later."""
    early, late = line("x", 0, boot=BOOT_2), line("x", 50_000 * SECOND, boot=BOOT)
    build(tmp_path / "b.journal", [late])
    build(tmp_path / "a.journal", [early])
    assert boots(Where(directory=str(tmp_path))) == [BOOT_2, BOOT]


@pytest.mark.parametrize(
    ("boot", "wanted"),
    [
        ("0", "cd"),
        ("-1", "ab"),
        ("1", "ab"),
        ("2", "cd"),
        (BOOT, "ab"),
        (BOOT_2, "cd"),
        ("all", "abcd"),
        ("01234567-89ab-cdef-0123-456789ABCDEF", "ab"),
    ],
)
def test_scan_takes_boots_as_journalctl_does(tmp_path: Path, boot: str, wanted: str) -> None:
    """--boot takes an id in either spelling, 0 and below from the end, 1 and up from the start."""
    build(tmp_path / "a.journal", two_boots())
    events, tally = scanned(Extent(directory=str(tmp_path), boot=boot))
    assert [event.process.comm for event in events] == list(wanted)
    assert not tally.failures


@pytest.mark.parametrize("boot", ["-2", "3", "f" * 32, "x"])
def test_a_boot_that_is_not_there_is_an_error_of_usage(tmp_path: Path, boot: str) -> None:
    """--boot with what the journal does not hold says so, and reads nothing."""
    build(tmp_path / "a.journal", two_boots())
    with pytest.raises(UsageError, match=boot):
        scanned(Extent(directory=str(tmp_path), boot=boot))


@pytest.mark.parametrize(
    ("since", "up_to", "wanted"),
    [
        (0, None, "abcde"),
        (2, None, "cde"),
        (None, 2, "abc"),
        (1, 3, "bcd"),
        (9, None, ""),
        (None, -1, ""),
    ],
)
def test_since_and_until_bound_the_lines(
    tmp_path: Path, since: int | None, up_to: int | None, wanted: str
) -> None:
    """Both bounds belong to the span; entries outside of it give no event."""
    span = Span(
        since_us=None if since is None else START_US + since * SECOND,
        until_us=None if up_to is None else START_US + up_to * SECOND,
    )
    lines = [line(lockdown_line(name), i * SECOND) for i, name in enumerate("abcde")]
    assert comms(of(tmp_path, lines, span)) == list(wanted)


def test_several_files_are_one_journal(tmp_path: Path) -> None:
    """Lines of three files in a directory, one of them an archive, come in the order of time."""
    for name, start in (("x.journal", 0), ("y@1.journal", 1), ("z.journal~", 2)):
        lines = [line(lockdown_line(str(i)), i * SECOND) for i in range(start, 300, 3)]
        build(tmp_path / f"{start}.journal", lines).rename(tmp_path / name)
    assert comms(read(Where(directory=str(tmp_path)))) == [str(i) for i in range(300)]


def test_an_empty_directory_holds_nothing_yet(tmp_path: Path) -> None:
    """A directory without files gives nothing; the first file is read when it comes."""
    where = Where(directory=str(tmp_path))
    with contextlib.closing(JournalSource(PACK.prefilter(MISSED), where)) as source:
        source.fileno()
        assert items(source) == []
        build(tmp_path / "a.journal", [line(lockdown_line("first"))])
        assert comms(until(lambda: items(source), "the first file")) == ["first"]


# --- odd entries


def test_when_a_line_was_written(tmp_path: Path) -> None:
    """A line that journald read late is dated to when the kernel wrote it; nonsense is not used."""
    word, stamp = lockdown_line("x"), "_SOURCE_MONOTONIC_TIMESTAMP"
    plain = [(name, value) for name, value in line(word, 1) if name != stamp]
    absurd = ["9" * 18, "9" * 19, "9" * 5000, "-5", "", "1e3", "\u0664", "0x10"]
    found = records(
        of(
            tmp_path,
            [line(word, 0, late_us=30 * SECOND), plain]
            + [[*plain, (stamp, value)] for value in absurd],
        )
    )
    assert [r.time_us for r in found[:2]] == [START_US - 30 * SECOND, START_US + 1]
    assert [r.monotonic_us for r in found[:2]] == [70 * SECOND, None]
    assert {r.time_us for r in found[2:]} == {START_US + 1}
    assert found[2].time_error_us > 0
    assert len(judged(found)) == len(found) == 10


def test_the_far_future_is_no_trouble(tmp_path: Path) -> None:
    """The latest time a journal can hold (the year 3111) is dated; no event dates to 9999."""
    last = 1 << 55
    found = of(tmp_path, [line(lockdown_line("x"), last - 1 - START_US)])
    assert [event.time[:4] for event in judged(found) if event.time] == ["3111"]


def test_entries_without_message_and_fields_twice(tmp_path: Path) -> None:
    """An entry without MESSAGE is passed over, of a field that is there twice the first counts."""
    named = ("SYSLOG_IDENTIFIER", "kernel")
    found = of(
        tmp_path,
        [
            entry(0, named, ("_TRANSPORT", "journal"), ("OTHER", "x")),
            line(lockdown_line("one"), 1, more=[("MESSAGE", lockdown_line("two"))]),
            line(lockdown_line("three"), 2, more=[("_HOSTNAME", "other"), ("EXTRA", "a")]),
        ],
    )
    assert comms(found) == ["one", "three"]
    assert {event.host.name for event in judged(found)} == {"tested"}
    assert {event.host.machine_id for event in judged(found)} == {MACHINE}


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u20ac"])
@pytest.mark.parametrize("options", [(), ("--compress=yes",)])
def test_a_line_longer_than_libsystemd_reads_is_warned_of(
    tmp_path: Path, letter: str, options: tuple[str, ...]
) -> None:
    """A MESSAGE of more than 64 KiB is cut there, compressed or not, and the event says so."""
    long = lockdown_line("x") + letter * (80_000 // len(letter.encode()))
    file = build(tmp_path / "a.journal", [line(long)], *options)
    (record,) = records(read(Where(files=(str(file),))))
    whole = long.encode()[:65_528].decode(errors="ignore")
    assert record.text.startswith(whole)
    assert len(record.text) - len(whole) <= len("\\xe2\\x82")
    assert "64 KiB" in " ".join(record.warnings)


def test_a_line_that_fits_is_not_warned_of(tmp_path: Path) -> None:
    """A MESSAGE just below the limit is whole and without a warning."""
    long = lockdown_line("x") + "\u00e9" * 32_000
    (record,) = records(of(tmp_path, [line(long)]))
    assert (record.text, record.warnings) == (long, ())


def test_a_message_with_newlines_is_one_line(tmp_path: Path) -> None:
    """A newline in MESSAGE neither begins a second line nor ends the first."""
    text = f"before\n{lockdown_line('x')}\nafter"
    (record,) = records(of(tmp_path, [line(text)]))
    assert record.text == text


AVC: Final = (
    'AVC avc:  denied  {{ confidentiality }} for  pid=9 comm="{}" lockdown_reason="use of bpf to'
    ' read kernel RAM" scontext=a tcontext=a tclass=lockdown permissive=0'
)


def test_audit_is_believed_for_the_kernels_own_types_only(tmp_path: Path) -> None:
    """An AVC of type 1400 is selinux.lockdown; 1107, which user space may send, is not believed."""
    rest = ("_TRANSPORT", "audit"), ("SYSLOG_FACILITY", "4"), ("SYSLOG_IDENTIFIER", "audit")
    as_kernel = ("_TRANSPORT", "audit"), ("SYSLOG_IDENTIFIER", "kernel")
    found = of(
        tmp_path,
        [
            entry(0, *rest, ("_AUDIT_TYPE", "1400"), ("MESSAGE", AVC.format("real"))),
            entry(1, *rest, ("_AUDIT_TYPE", "1107"), ("MESSAGE", AVC.format("user"))),
            entry(2, *as_kernel, ("_AUDIT_TYPE", "1107"), ("MESSAGE", AVC.format("named"))),
            entry(3, *as_kernel, ("_AUDIT_TYPE", "1107"), ("MESSAGE", lockdown_line("words"))),
        ],
    )
    events = judged(found)
    assert [(e.kind, e.process.comm) for e in events if "real" in e.message] == [
        ("selinux.lockdown", "real")
    ]
    others = [event for event in events if "real" not in event.message]
    assert {(event.kind, event.origin.trust) for event in others} == {
        ("lockdown.forged", "injected")
    }
    assert not any("user" in event.message for event in others)


# --- Missed


def missed(count: object, at_us: int, **other: str) -> Entry:
    """The entry in which journald tells of lost lines, with what is `other` about it."""
    fields = {
        "_TRANSPORT": "driver",
        "MESSAGE_ID": MISSED_ID,
        "SYSLOG_IDENTIFIER": "systemd-journald",
        "MESSAGE": f"Missed {count} kernel messages",
    } | other
    return entry(at_us, *fields.items())


def test_thousands_of_missed_entries_are_one_gap(tmp_path: Path) -> None:
    """Adjacent "Missed N kernel messages" are one watch.gap with the sum; a later one another."""
    counts = [1 + i % 39 for i in range(3900)]
    burst = [missed(count, i * 700) for i, count in enumerate(counts)]
    later = [line(lockdown_line("between"), 20 * SECOND), missed(39, 30 * SECOND)]
    events = judged(of(tmp_path, [*burst, *later]))
    assert [event.kind for event in events] == ["watch.gap", "lockdown.denied", "watch.gap"]
    first, _, second = (event.gap for event in events)
    assert first
    assert second
    assert (first.cause, first.count, second.count) == ("journald_missed", sum(counts), 39)
    assert first.from_ == "2025-10-09T08:53:20.000000Z"
    assert first.to == "2025-10-09T08:53:22.729300Z"


def test_a_forged_missed_entry_is_not_believed(tmp_path: Path) -> None:
    """Only journald itself (_TRANSPORT=driver) and only with its MESSAGE_ID tells of lost lines."""
    found = of(
        tmp_path,
        [
            missed(7, 0, _TRANSPORT="journal", SYSLOG_IDENTIFIER="kernel"),
            missed(8, 1, _TRANSPORT="syslog"),
            missed(9, 2, _TRANSPORT="kernel", SYSLOG_FACILITY="1"),
            missed(10, 3, MESSAGE_ID="0" * 32),
        ],
    )
    assert not gaps(found)
    assert not judged(found)


@pytest.mark.parametrize("count", ["", "many", "9" * 5000, "-3"])
def test_a_missed_entry_without_a_number_is_a_gap_of_unknown_size(
    tmp_path: Path, count: str
) -> None:
    """Lost lines of a number that nobody can read are still told of."""
    (gap,) = gaps(of(tmp_path, [missed(count, 0)]))
    assert (gap.cause, gap.count) == ("journald_missed", None)


# --- damage

LINES: Final = 8_000


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of many denials, too many for one page."""
    folder = tmp_path_factory.mktemp("sound")
    return build(
        folder / "a.journal", [line(lockdown_line(str(i)), i * 1000) for i in range(LINES)]
    )


def damaged(sound: Path, target: Path, how: str) -> Path:
    """A copy of `sound` with damage."""
    data = sound.read_bytes()
    half = len(data) // 2
    target.write_bytes(
        {
            "cut in half": data[:half],
            "empty": b"",
            "header cut": data[:100],
            "header zeroed": bytes(300) + data[300:],
            "all zeroed but the header": data[:272] + bytes(len(data) - 272),
            "second half zeroed": data[:half] + bytes(len(data) - half),
            "hole of 200 kB": data[:half] + bytes(200_000) + data[half + 200_000 :],
            "text": b"no journal at all\n" * 1000,
        }[how]
    )
    return target


WHOLLY: Final = (
    "cut in half",
    "empty",
    "header cut",
    "header zeroed",
    "all zeroed but the header",
    "text",
)


@pytest.mark.parametrize("how", WHOLLY)
def test_a_damaged_file_among_others_is_told(sound: Path, tmp_path: Path, how: str) -> None:
    """A file libsystemd leaves out in silence is a gap that names it; the others are read."""
    build(tmp_path / "good.journal", [line(lockdown_line("good"))])
    bad = damaged(sound, tmp_path / "bad.journal", how)
    found = read(Where(directory=str(tmp_path)))
    (gap,) = gaps(found)
    assert (gap.cause, gap.count, gap.place.file) == ("journal_damaged", None, str(bad))
    assert comms(found) == ["good"]


@pytest.mark.parametrize("how", ["second half zeroed", "hole of 200 kB"])
def test_a_file_that_breaks_off_is_told(sound: Path, tmp_path: Path, how: str) -> None:
    """Where a file's damage begins is told, with the time of the last line before and its end."""
    build(tmp_path / "good.journal", [line(lockdown_line("good"), LINES * 1000)])
    bad = damaged(sound, tmp_path / "bad.journal", how)
    found = read(Where(directory=str(tmp_path)))
    *names, good = names_in(found)
    assert good == "good"
    # How much can be read is libsystemd's luck: it may need the damaged part to find the first.
    assert len(names) < LINES
    assert names == [str(i) for i in range(len(names))]
    gap = gaps(found)[-1]
    assert (gap.cause, gap.place.file) == ("journal_damaged", str(bad))
    if names:
        assert gap.from_us == START_US + (len(names) - 1) * 1000
        assert gap.to_us == START_US + (LINES - 1) * 1000


@pytest.mark.parametrize("part", ["type", "size"])
def test_a_line_whose_text_is_damaged_is_told(sound: Path, tmp_path: Path, part: str) -> None:
    """Entries whose MESSAGE alone cannot be read are counted as lost; the others are read."""
    data = bytearray(sound.read_bytes())
    for number in (5, 6, 7):
        at = data.index(f"MESSAGE={lockdown_line(str(number))}".encode())
        # Before a field's text stand 64 bytes, 72 in compact files: its type and size, and more.
        start = at - (72 if data[12] & 1 << 4 else 64)
        where = slice(start, start + 1) if part == "type" else slice(start + 8, start + 16)
        data[where] = bytes(len(data[where]))
    bad = tmp_path / "bad.journal"
    bad.write_bytes(data)
    found = read(Where(directory=str(tmp_path)))
    (event,) = judged(gaps(found))
    assert event.gap
    assert event.gap.count == 3
    assert names_in(found) == [str(i) for i in range(LINES) if i not in {5, 6, 7}]


@pytest.mark.parametrize("how", [*WHOLLY, "second half zeroed", "hole of 200 kB"])
def test_a_damaged_file_that_was_asked_for_is_an_error(
    sound: Path, tmp_path: Path, how: str
) -> None:
    """A FILE that cannot be read, or not to its end, is a SourceError that says so."""
    bad = damaged(sound, tmp_path / "bad.journal", how)
    with pytest.raises(SourceError, match="damaged"):
        read(Where(files=(str(bad),)))


def test_a_sound_file_has_no_gap(sound: Path) -> None:
    """Every line of a file without damage is read, in order, and nothing is told."""
    found = read(Where(files=(str(sound),)))
    assert not gaps(found)
    assert names_in(found) == [str(i) for i in range(LINES)]


def test_a_file_deleted_while_followed_is_no_trouble(sound: Path, tmp_path: Path) -> None:
    """After a file is deleted under the reader, the others are followed; nothing comes twice."""
    old = tmp_path / "old.journal"
    shutil.copy(sound, old)
    where = Where(directory=str(tmp_path))
    with contextlib.closing(JournalSource(PACK.prefilter(MISSED), where)) as source:
        batches = source.read()
        seen = names_in(next(batches))
        old.unlink()
        seen += names_in(item for batch in batches for item in batch)
        assert seen == [str(i) for i in range(LINES)]
        build(tmp_path / "new.journal", [line(lockdown_line("new"), LINES * 1000)])
        assert until(lambda: comms(items(source)), "the new file") == ["new"]
        assert comms(items(source)) == []


# --- not permitted

_AS_NOBODY: Final = """
import os, sys
sys.path.insert(0, os.getcwd())
from watcher.errors import SourceError
from watcher.pack import load_pack
from watcher.sources.journal import JournalSource
from watcher.sources.journal_files import Where
pack = load_pack()
import systemd._reader
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    source = JournalSource(pack.prefilter(), Where(directory=sys.argv[1]))
    found = [item for batch in source.read() for item in batch]
    print("read", *(getattr(item, "cause", "line") for item in found))
except SourceError as error:
    print(error)
"""


def as_nobody(folder: Path) -> str:
    """What a user without rights gets of a directory."""
    need_root()
    command = [sys.executable, "-c", _AS_NOBODY, str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A directory that anybody may enter."""
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("of_directory", [True, False])
def test_who_may_not_read_is_told_so(open_folder: Path, of_directory: bool) -> None:  # noqa: FBT001
    """Where directory or files are closed to this user, that is an error that says what to do."""
    folder = open_folder / "closed"
    folder.mkdir()
    build(folder / "a.journal", [line(lockdown_line("x"))]).chmod(0o640)
    folder.chmod(0o700 if of_directory else 0o755)
    said = as_nobody(folder)
    assert "not permitted" in said
    assert "systemd-journal" in said


def test_a_file_closed_to_this_user_among_others_is_told(open_folder: Path) -> None:
    """Of two files the one that may be read is read, and the other is a gap."""
    build(open_folder / "a.journal", [line(lockdown_line("x"))]).chmod(0o644)
    build(open_folder / "b.journal", [line(lockdown_line("y"))]).chmod(0o600)
    assert as_nobody(open_folder) == "read journal_not_permitted line"


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (Where(directory="/nowhere/at/all"), "No such file"),
        (Where(files=("/nowhere.journal",)), "No such file"),
        (Where(files=("/dev/null",)), "/dev/null"),
        (Where(namespace="there-is-none"), "there-is-none"),
    ],
)
def test_a_journal_that_is_not_there_is_an_error(where: Where, said: str) -> None:
    """A directory, file or namespace that does not exist is an error, and not silence."""
    with pytest.raises(SourceError, match=said):
        JournalSource(PACK.prefilter(), where)


def test_no_reader_leaks_a_descriptor(sound: Path, tmp_path: Path) -> None:
    """Twenty sources opened, read and closed leave no descriptor behind."""
    shutil.copy(sound, tmp_path / "a.journal")
    read(Where(directory=str(tmp_path)))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with contextlib.closing(
            JournalSource(PACK.prefilter(), Where(directory=str(tmp_path)), Span(only_new=True))
        ) as source:
            items(source)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
