"""The text source: files, streams and whole journal entries, by the programs that write them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parts import missing
from watcher.lockdown import recognise
from watcher.record import Record
from watcher.sources.stamps import YEAR_TAKEN
from watcher.sources.text import TextSource, is_journal_file, record_of_line
from watcher.sources.text_files import blocks

CORPUS = Path(__file__).parents[1] / "../shared/corpus"
NOW_US = 1_795_000_000_000_000
REMOTE = "/lib/systemd/systemd-journal-remote"
BPF = "Lockdown: systemd: BPF is restricted; see man kernel_lockdown.7"
EVIL = "Lockdown: evil: hib\n<0>x: hibernation is restricted; see man kernel_lockdown.7"
BINARY = b"Lockdown: e\x01\xff: hibernation is restricted; see man kernel_lockdown.7"
BINARY_TEXT = BINARY.decode(errors="backslashreplace")
AVC = (
    'AVC avc:  denied  { confidentiality } for  pid=2443 comm="x" lockdown_reason="use of tracefs"'
    " scontext=a tcontext=a tclass=lockdown permissive=0"
)


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def wanted(raw: bytes) -> bool:
    low = raw.lower()
    return any(word in low for word in (b"lockdown", b"is restricted", b"secure boot"))


def source(*files: object) -> TextSource:
    return TextSource([str(file) for file in files], wanted=wanted, now_us=lambda: NOW_US)


def records(*files: object) -> list[Record]:
    reader = source(*files)
    found = [each for batch in reader.read() for each in batch if isinstance(each, Record)]
    assert reader.failures == []
    return found


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes | str], list[Record]]:
    """Give the records of a text."""

    def _read(text: bytes | str) -> list[Record]:
        path = tmp_path / "log.txt"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return records(path)

    return _read


# --- the programs' own output


def entry(number: int, fields: Iterable[tuple[str, str | bytes]], *, boot: str = "a") -> bytes:
    """Write one entry as the export format has it."""
    mono, real = 14_195_318 + number * 1_000_000, 1_718_120_189_082_983 + number * 1_000_000
    cursor = f"s={'1' * 32};i={number:x};b={boot * 32};m={mono:x};t={real:x};x=1"
    head = (
        ("__CURSOR", cursor),
        ("__REALTIME_TIMESTAMP", str(real)),
        ("__MONOTONIC_TIMESTAMP", str(mono)),
        ("_BOOT_ID", boot * 32),
        ("_HOSTNAME", "h-1"),
    )
    out = b""
    for name, value in (*head, *fields):
        data = value.encode() if isinstance(value, str) else value
        if b"\n" in data or not data.isascii() or b"\1" in data:
            out += name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
        else:
            out += name.encode() + b"=" + data + b"\n"
    return out + b"\n"


KERNEL = (
    ("_TRANSPORT", "kernel"),
    ("SYSLOG_FACILITY", "0"),
    ("SYSLOG_IDENTIFIER", "kernel"),
    ("PRIORITY", "5"),
)
ENTRIES = b"".join(
    (
        entry(0, (*KERNEL, ("MESSAGE", BPF), ("_SOURCE_MONOTONIC_TIMESTAMP", "13195318"))),
        entry(1, (*KERNEL, ("MESSAGE", EVIL))),
        entry(2, (*KERNEL, ("MESSAGE", BINARY))),
        entry(
            3,
            (
                ("_TRANSPORT", "kernel"),
                ("SYSLOG_FACILITY", "1"),
                ("SYSLOG_IDENTIFIER", "Lockdown"),
                ("MESSAGE", "bash: hibernation is restricted; see man kernel_lockdown.7"),
            ),
        ),
        entry(
            4,
            (
                ("_TRANSPORT", "audit"),
                ("_AUDIT_TYPE", "1400"),
                ("SYSLOG_FACILITY", "4"),
                ("SYSLOG_IDENTIFIER", "audit"),
                ("_PID", "2443"),
                ("MESSAGE", AVC),
            ),
        ),
        entry(
            5,
            (
                ("_TRANSPORT", "syslog"),
                ("SYSLOG_IDENTIFIER", "foo"),
                ("SYSLOG_PID", "980"),
                ("MESSAGE", BPF),
            ),
        ),
        entry(
            6, (("_TRANSPORT", "journal"), ("SYSLOG_IDENTIFIER", "kernel"), ("MESSAGE", "x " + BPF))
        ),
        entry(7, (*KERNEL, ("MESSAGE", "Lifting lockdown")), boot="c"),
    )
)


@pytest.fixture(scope="session")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a real journal file of ENTRIES."""
    if not Path(REMOTE).exists() or not shutil.which("journalctl"):
        missing("systemd-journal-remote and journalctl")
    path = tmp_path_factory.mktemp("journal") / "x.journal"
    subprocess.run([REMOTE, "-o", path, "-"], input=ENTRIES, check=True, capture_output=True)
    return path


def journalctl(journal: Path, output: str, *more: str) -> bytes:
    command = ["journalctl", "--no-pager", "--file", str(journal), "-o", output, *more]
    return subprocess.run(command, check=True, capture_output=True).stdout


SECOND_US = 1_718_120_189_000_000
SHORT = {
    "short": (1_000_000, 1_781_192_189_000_000),
    "short-precise": (0, 1_781_192_189_082_983),
    "short-full": (1_000_000, SECOND_US),
    "short-iso": (1_000_000, SECOND_US),
    "short-iso-precise": (0, SECOND_US + 82_983),
    "short-unix": (0, SECOND_US + 82_983),
    "with-unit": (1_000_000, SECOND_US),
    "short-monotonic": (0, None),
    "short-delta": (0, None),
}


@pytest.mark.parametrize("output", SHORT)
def test_journalctls_short_formats(
    journal: Path, output: str, read: Callable[[bytes], list[Record]]
) -> None:
    """Every short format gives texts, times and hosts, joined lines and no forger's claim."""
    found = read(journalctl(journal, output))
    kernels = [r for r in found if r.fields["_TRANSPORT"] == "kernel" and recognise(r.text)]
    assert [r.text for r in kernels] == [BPF, EVIL, "Lifting lockdown"]
    error_us, time_us = SHORT[output]
    assert (kernels[0].time_us, kernels[0].time_error_us) == (time_us, error_us)
    assert {r.host.name for r in kernels} == {"h-1"}
    assert all(r.trust == "unverified" for r in kernels)
    if time_us is None:
        assert kernels[0].monotonic_us == 13_195_318
    assert (YEAR_TAKEN in kernels[0].warnings) == (output in {"short", "short-precise"})
    audit = [r for r in found if r.fields["_TRANSPORT"] == "audit"]
    assert [r.text for r in audit] == [AVC]
    others = [r for r in found if r not in kernels and r not in audit]
    assert not any(recognise(r.text) for r in others)


@pytest.mark.parametrize("output", ["json", "json-pretty", "json-sse", "json-seq", "export"])
def test_journalctls_whole_entries(
    journal: Path, output: str, read: Callable[[bytes], list[Record]]
) -> None:
    """JSON and export keep every field, undo what journald took apart, and tell forgers."""
    found = read(journalctl(journal, output))
    assert [(r.text, r.trust) for r in found] == [
        (BPF, "unverified"),
        (EVIL, "unverified"),
        (BINARY_TEXT, "unverified"),
        ("Lockdown: bash: hibernation is restricted; see man kernel_lockdown.7", "injected"),
        (AVC, "unverified"),
        ("x " + BPF, "injected"),
        ("Lifting lockdown", "unverified"),
    ]
    first = found[0]
    assert first.place.cursor
    assert first.fields["__CURSOR"] == first.place.cursor
    assert (first.monotonic_us, first.time_us) == (13_195_318, SECOND_US + 82_983 - 1_000_000)
    assert (first.host.name, first.host.boot_id) == ("h-1", "a" * 32)
    assert found[-1].host.boot_id == "c" * 32
    assert (
        found[3].fields["MESSAGE"] == "bash: hibernation is restricted; see man kernel_lockdown.7"
    )
    assert first.place.line == 1


def test_journalctl_without_a_host_name(
    journal: Path, read: Callable[[bytes], list[Record]]
) -> None:
    """--no-hostname leaves the message and its name; a program with a pid is no claim."""
    found = read(journalctl(journal, "short-iso", "--no-hostname"))
    assert [r.text for r in found if r.text == BPF] == [BPF]
    assert any(r.text.startswith("foo[980]: ") for r in found)


def test_journalctl_cat(journal: Path, read: Callable[[bytes], list[Record]]) -> None:
    """cat has no frame: all that looks like the kernel's is the kernel's, unverified."""
    texts = [r.text for r in read(journalctl(journal, "cat"))]
    assert BPF in texts
    assert BINARY_TEXT in texts
    assert AVC in texts


RING = (
    "<5>[    1.234567] Lockdown: systemd: BPF is restricted; see man kernel_lockdown.7\n"
    "<13>[   12.234567] Lockdown: bash: hibernation is restricted; see man kernel_lockdown.7\n"
    "<30>[   15.500000] systemd[1]: Lockdown: hello\n"
    "<5>[   16.500000][    T1] Lifting lockdown\n"
    "<5>[   17.500000] Lockdown: e\x01\xe9: hibernation is restricted; see man kernel_lockdown.7\n"
)


@pytest.mark.parametrize("colour", ["--color=never", "--color=always"])
@pytest.mark.parametrize(
    "flags",
    [
        *("", "-T", "-x", "-d", "-e", "-t", "-xT", "-dT", "-xd", "-td", "-H", "-p", "-J", "-Jx"),
        *("-r", "--time-format=iso", "--time-format=ctime", "--time-format=delta"),
        *("-x --time-format=iso", "-x --time-format=ctime", "-x --time-format=reltime"),
    ],
)
def test_dmesg_with_every_flag(
    flags: str, colour: str, tmp_path: Path, read: Callable[[bytes], list[Record]]
) -> None:
    """The real dmesg's output gives the messages, facilities and times it printed."""
    if not shutil.which("dmesg"):
        missing("dmesg")
    saved = tmp_path / "ring"
    saved.write_text(RING, encoding="utf-8")
    command = ["dmesg", "-P", "-F", str(saved), *flags.split()]
    if flags != "-r":  # which dmesg does not colour
        command.append(colour)
    printed = subprocess.run(command, capture_output=True, check=True)
    found = [r for r in read(printed.stdout) if recognise(r.text)]
    comms = [(finding := recognise(r.text)) and finding.comm for r in found]
    odd = "e\x01é" if "J" in flags else r"e\x01é"
    assert comms == ["systemd", "bash", None, odd]
    if flags.startswith(("-x", "-Jx", "-r")):
        assert [r.trust for r in found] == ["unverified", "injected", "unverified", "unverified"]
        assert found[1].fields["SYSLOG_FACILITY"] == "1"
        assert found[1].fields["SYSLOG_IDENTIFIER"] == "Lockdown"
    if flags in ("", "-x", "-d", "-xd", "-J", "-Jx", "-r", "-p"):
        assert [r.monotonic_us for r in found][:3] == [1_234_567, 12_234_567, 16_500_000]
    elif "T" in flags or "iso" in flags or "ctime" in flags:
        times = [r.time_us or 0 for r in found]
        assert times[1] - times[0] == 11_000_000


def test_dmesgs_own_line_breaks_are_joined(read: Callable[[str], list[Record]]) -> None:
    """dmesg indents the second line of a name with a newline to where the first began."""
    first, second = EVIL.split("\n")
    found = read(f"kern  :notice: [   13.000000] {first}\n{' ' * 30}{second}\n[ 14.0] {BPF}\n")
    assert [r.text for r in found] == [EVIL, BPF]


def test_only_an_exact_indent_is_joined(read: Callable[[str], list[Record]]) -> None:
    """A line that merely follows a torn one is a line of its own."""
    found = read(f"Feb 09 12:28:50 host kernel: Lockdown: evil: hib\n  {BPF}\n")
    assert [r.text for r in found] == ["Lockdown: evil: hib", BPF]


def test_a_foreign_month_does_not_break_the_join(read: Callable[[str], list[Record]]) -> None:
    """The indent may be counted in bytes or in columns; quotes stand before both."""
    first, second = EVIL.split("\n")
    for width in (
        len("кві 06 13:54:36 host kernel: "),
        len("кві 06 13:54:36 host kernel: ".encode()),
    ):
        text = f"> кві 06 13:54:36 host kernel: {first}\n> {' ' * width}{second}\n"
        assert [r.text for r in read(text)] == [EVIL]


# --- /dev/kmsg


def test_real_kmsg_files() -> None:
    """Facility 0 of real kernels is recognised, facility 1 is told as a process's."""
    folder = CORPUS / "kmsg-real"
    if not folder.exists():
        missing(f"the real lines of {folder}")
    for file in sorted(folder.glob("*.kmsg")):
        found = records(file)
        lines = [line for line in file.read_bytes().split(b"\n") if line[:1].isdigit()]
        expected = [line for line in lines if wanted(line)]
        assert len(found) == len(expected)
        for record, line in zip(found, expected, strict=True):
            prio, seq, usec = (int(part) for part in line.split(b",", 3)[:3])
            assert (record.place.seq, record.monotonic_us) == (seq, usec)
            assert (record.trust == "injected") == (prio >= 8)
            if line.count(b"Lockdown: ") and prio < 8:
                finding = recognise(record.text)
                assert finding
                assert finding.kind == "lockdown.denied"
        assert {"Lockdown: bash: hibernation is restricted; see man kernel_lockdown.7"} == {
            r.text for r in found if r.trust == "injected" and "bash" in r.text
        }


def test_kmsg_dictionary_lines_become_fields(read: Callable[[str], list[Record]]) -> None:
    """` SUBSYSTEM=` and ` DEVICE=` belong to the record before them."""
    found = read(f"5,1,2,-;{BPF}\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP\\x0a\n5,2,3,-;{BPF}\n")
    assert found[0].fields["_KERNEL_SUBSYSTEM"] == "acpi"
    assert found[0].fields["_KERNEL_DEVICE"] == "+acpi:PNP\n"
    assert [r.place.seq for r in found] == [1, 2]
    assert [r.place.line for r in found] == [1, 4]


def test_a_whole_message_of_a_process_stays_in_kmsg_text(
    read: Callable[[str], list[Record]],
) -> None:
    """The text keeps `ident[pid]: `, the fields have it apart, as journald does."""
    (record,) = read("13,347,1,-;foo[12]: Lockdown: bash\n")
    assert record.text == "foo[12]: Lockdown: bash"
    assert (record.fields["MESSAGE"], record.fields["SYSLOG_PID"]) == ("Lockdown: bash", "12")


# --- entries that are odd


def test_export_lengths_may_hold_newlines(read: Callable[[bytes], list[Record]]) -> None:
    """A length of ten is a newline byte; values may begin, end and consist of newlines."""
    odd = [(f"X_{n}", b"\n" * n) for n in (1, 9, 10, 11, 266, 2570, 2575)]
    text = entry(1, (*odd, *KERNEL, ("MESSAGE", EVIL))) + entry(2, (*KERNEL, ("MESSAGE", BPF)))
    found = read(text)
    assert [r.text for r in found] == [EVIL, BPF]
    assert found[0].fields["X_10"] == "\n" * 10


def test_a_huge_export_field_is_skipped_exactly(read: Callable[[bytes], list[Record]]) -> None:
    """A core dump of 3 MiB without a newline is passed over and the entry goes on."""
    for fill in (b"\0", b"\n", b"ab\n"):
        core = (fill * (3 << 20))[: 3 << 20] + b"\n"
        found = read(entry(1, (("COREDUMP", core), *KERNEL, ("MESSAGE", BPF))) + BPF.encode())
        assert [r.text for r in found] == [BPF, BPF]
        assert found[0].warnings
        assert len(found[0].fields["COREDUMP"]) == 65_536


def test_a_lying_export_length_gives_the_file_back(read: Callable[[bytes], list[Record]]) -> None:
    """An impossible length ends the entry; the lines after it are read as text."""
    text = b"__CURSOR=x\nMESSAGE\n" + b"\xff" * 8 + b"abc\n" + BPF.encode() + b"\n"
    assert [r.text for r in read(text)] == [BPF]


def test_a_cut_export_entry_is_kept_with_a_warning(read: Callable[[bytes], list[Record]]) -> None:
    """An entry that the end of the file cuts is a record, and says that it was cut."""
    whole = entry(1, (*KERNEL, ("MESSAGE", BPF)))
    for text in (whole[:-1], whole[:-2]):
        (record,) = read(text)
        assert record.text == BPF
        assert record.warnings


def test_json_arrays_null_and_numbers(read: Callable[[str], list[Record]]) -> None:
    """MESSAGE may be an array of bytes, several values or null; the first value counts."""
    base = {"_TRANSPORT": "kernel", "SYSLOG_FACILITY": "0", "X": [1, 2], "N": 5}
    lines = [
        {**base, "MESSAGE": list(BINARY)},
        {**base, "MESSAGE": [BPF, "no lockdown"]},
        {**base, "MESSAGE": [list(BINARY), "x"]},
        {**base, "MESSAGE": None},
        {**base, "MESSAGE": [76, 300]},
        {**base, "MESSAGE": {"a": "Lockdown: "}},
    ]
    found = read("\n".join(json.dumps(line, separators=(",", ":")) for line in lines))
    assert [r.text for r in found] == [BINARY_TEXT, BPF, BINARY_TEXT]
    assert found[0].fields["X"] == "\x01\x02"
    assert found[0].fields["N"] == "5"


@pytest.mark.parametrize(
    ("fields", "trust"),
    [
        ({"_TRANSPORT": "kernel"}, "unverified"),
        ({"_TRANSPORT": "kernel", "SYSLOG_FACILITY": "0"}, "unverified"),
        ({"_TRANSPORT": "kernel", "SYSLOG_FACILITY": "3"}, "injected"),
        (
            {"_TRANSPORT": "syslog", "SYSLOG_IDENTIFIER": "kernel", "SYSLOG_FACILITY": "0"},
            "injected",
        ),
        ({"_TRANSPORT": "stdout", "SYSLOG_IDENTIFIER": "kernel"}, "injected"),
        ({"_TRANSPORT": "audit", "_AUDIT_TYPE": "1400"}, "unverified"),
        ({"_TRANSPORT": "audit", "_AUDIT_TYPE": "1107"}, "injected"),
        ({"_TRANSPORT": "syslog", "SYSLOG_IDENTIFIER": "foo"}, None),
        ({"_TRANSPORT": "stdout"}, None),
        ({}, "unverified"),
        ({"SYSLOG_IDENTIFIER": "foo"}, None),
        ({"_TRANSPORT": "driver", "SYSLOG_IDENTIFIER": "systemd-journald"}, "unverified"),
    ],
)
def test_trust_of_whole_entries(
    fields: dict[str, str], trust: str | None, read: Callable[[str], list[Record]]
) -> None:
    """A saved entry is unverified at best; a process's claim is injected, other lines nothing."""
    found = read(json.dumps({**fields, "MESSAGE": BPF}))
    assert [r.trust for r in found] == ([trust] if trust else [])


def test_docker_json_and_text_around_objects(read: Callable[[str], list[Record]]) -> None:
    """Docker's own log is read; a stray brace costs nothing but a look at the next lines."""
    docker = json.dumps({"log": f"[    1.0] {BPF}\n", "time": "2024-06-11T15:36:29.082983Z"})
    found = read(f"{{\n{BPF}\n{{\n  {BPF}\n{docker}\n}}\n{BPF}\n")
    assert [r.text for r in found] == [BPF] * 4
    assert (found[2].time_us, found[2].place.line) == (SECOND_US + 82_983, 5)


# --- files


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "bz2": bz2.compress,
}


def test_packed_files_are_read_like_plain_ones(tmp_path: Path) -> None:
    """gzip, xz, zstd and bzip2 are recognised by content, also several members in one file."""
    text = (f"{BPF}\n" * 3).encode()
    for name, pack in PACKERS.items():
        path = tmp_path / name
        path.write_bytes(pack(text) + pack(text))
        assert len(records(path)) == 6


@pytest.mark.parametrize("name", ["gz", "xz", "zst"])
@pytest.mark.parametrize("harm", ["cut", "garbage", "flip"])
def test_what_stands_before_damage_is_read(name: str, harm: str, tmp_path: Path) -> None:
    """Records before a damaged spot are given; the failure names the file and what to do."""
    noise = "".join(f"{random.Random(n).random()} {n}\n" for n in range(60_000))
    text = f"{BPF}\n{noise}".encode()
    packed = PACKERS[name](text)
    middle = len(packed) * 3 // 4
    harmed = {
        "cut": packed[:middle],
        "garbage": packed + b"garbage!" * 10,
        "flip": packed[:middle]
        + bytes(b ^ 0x55 for b in packed[middle : middle + 64])
        + packed[middle + 64 :],
    }[harm]
    path = tmp_path / name
    path.write_bytes(harmed)
    reader = source(path, path)
    found = [r for batch in reader.read() for r in batch if isinstance(r, Record)]
    if harm == "flip" and name == "xz" and not found:
        pytest.skip("xz holds a whole block back")
    assert [r.text for r in found] == [BPF, BPF]
    if not (harm == "flip" and name == "zst"):  # its checksum is optional
        assert len(reader.failures) == 2
        assert "damaged" in str(reader.failures[0])
        assert reader.failures[0].file == str(path)


def test_every_failure_is_said_and_the_rest_is_read(tmp_path: Path) -> None:
    """A missing file, a directory and one without permission do not stop the others."""
    good, secret = tmp_path / "good", tmp_path / "secret"
    good.write_text(BPF)
    secret.write_text(BPF)
    secret.chmod(0)
    reader = source(tmp_path / "none", tmp_path, secret, "a\0b", good)
    found = [r for batch in reader.read() for r in batch]
    assert found[-1].place.file == str(good)
    said = {failure.file: failure.reason for failure in reader.failures}
    assert "no such file" in said[str(tmp_path / "none")]
    assert f"--journal-dir {tmp_path}" in said[str(tmp_path)]
    assert "a\0b" in said
    assert os.geteuid() == 0 or "permission denied" in said[str(secret)]
    assert all("\n" not in str(failure) for failure in reader.failures)


def test_standard_input_may_be_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """- is standard input, looked into as a file is; its place says so."""
    stdin = io.TextIOWrapper(io.BytesIO(gzip.compress(BPF.encode())))
    monkeypatch.setattr(sys, "stdin", stdin)
    (record,) = records("-")
    assert (record.text, record.place.file, record.place.line) == (BPF, "-", 1)


def test_a_named_pipe_is_read_once(tmp_path: Path) -> None:
    """Asking whether a pipe is a journal file takes nothing from it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert not is_journal_file(str(pipe))
    with subprocess.Popen(["/bin/sh", "-c", f"echo '{BPF}' > {pipe}"]):
        assert [r.text for r in records(pipe)] == [BPF]


def test_journal_files_are_told_by_their_content(journal: Path, tmp_path: Path) -> None:
    """A journal file is recognised; text, nothing and a directory are not."""
    assert is_journal_file(str(journal))
    (tmp_path / "a").write_text("LPK")
    assert not any(map(is_journal_file, (str(tmp_path / "a"), str(tmp_path), "/none", "a\0b")))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_other_encodings(encoding: str, read: Callable[[bytes], list[Record]]) -> None:
    """A byte order mark, and what PowerShell's > makes of a log, are read."""
    text = f"[    1.0] {BPF}\r\n" * 2
    raw = ("\ufeff" + text if encoding == "utf-16-be" else text).encode(encoding)
    assert [r.text for r in read(raw)] == [BPF, BPF]


def test_broken_utf8_stays_visible(read: Callable[[bytes], list[Record]]) -> None:
    """Bytes that are no UTF-8 are shown as \\xNN, and NULs before a line are no part of it."""
    found = read(
        b"\xff\xfe" + BPF.encode() + b"\n" + b"\0" * 999 + b"[ 1.0] " + BINARY + b"\0\0\r\n"
    )
    assert [r.text for r in found] == ["\\xff\\xfe" + BPF, BINARY_TEXT]


def test_an_endless_line_is_cut_with_a_warning(read: Callable[[bytes], list[Record]]) -> None:
    """Of a line of 5 MiB the first 64 KiB are read; the next line has its right number."""
    found = read(BPF.encode() + b"x" * (5 << 20) + b"\n" + BPF.encode() + b"\n")
    assert [r.place.line for r in found] == [1, 2]
    assert len(found[0].text) == 65_536
    assert "64 KiB" in found[0].warnings[0]
    assert found[1].warnings == ()


@pytest.mark.parametrize("name", ["gz", "xz", "zst", "plain"])
@pytest.mark.parametrize("unit", [b"\0", b"Lockdown: ", b"{\n", b"__CURSOR=\n"])
def test_bombs_stay_in_bounds(name: str, unit: bytes, tmp_path: Path) -> None:
    """256 MiB out of a small file need no more memory than any file."""
    path = tmp_path / "bomb"
    piece = unit * ((1 << 20) // len(unit))
    with _packing(name, path) as out:
        for _ in range(256 if unit == b"\0" else 2):
            out.write(piece)
    program = (
        "import sys; from watcher.sources.text import TextSource\n"
        "s = TextSource(sys.argv[1:], wanted=lambda b: b'ockdown' in b, now_us=lambda: 0)\n"
        "for batch in s.read(): assert len(batch) < 100_000\n"
        # Not ru_maxrss: that begins with the size of whoever forked.
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    ran = subprocess.run([sys.executable, "-c", program, path], capture_output=True, check=True)
    assert int(ran.stdout) < 300_000  # KiB; a batch of such records takes most of it


@contextmanager
def _packing(name: str, path: Path) -> Iterator[IO[bytes]]:
    with path.open("wb") as raw, ExitStack() as stack:
        if name == "gz":
            packer = gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1)
            yield stack.enter_context(cast("IO[bytes]", packer))
        elif name == "xz":
            yield stack.enter_context(lzma.LZMAFile(raw, "wb", preset=0))
        elif name == "zst":
            writer = zstandard.ZstdCompressor().stream_writer(raw, closefd=False)
            yield stack.enter_context(cast("IO[bytes]", writer))
        else:
            yield raw


def test_batches_come_along_the_way(tmp_path: Path) -> None:
    """A caller can show progress: batches come about every 10,000 lines, with a line count."""
    path = tmp_path / "long"
    path.write_text("nothing of interest\n" * 100_000)
    reader = source(path)
    counts = []
    for batch in reader.read():
        assert batch == []
        counts.append(reader.lines_read)
    assert reader.lines_read == 100_000
    assert 5 <= len(counts) <= 12


def test_line_numbers_and_counts(read: Callable[[str], list[Record]], tmp_path: Path) -> None:
    """Places count from 1, with or without a newline at the end, over block borders too."""
    filler = "x" * 77
    lines = [BPF if n % 5_000 == 0 else filler for n in range(1, 30_001)]
    for end in ("", "\n", "\r\n"):
        found = read("\n".join(lines) + end)
        assert [r.place.line for r in found] == list(range(5_000, 30_001, 5_000))
    path = tmp_path / "few"
    path.write_text(f"a\n\n{BPF}")
    reader = source(path)
    assert [r.place.line for batch in reader.read() for r in batch] == [3]
    assert reader.lines_read == 3


def test_a_file_of_foreign_programs_is_skipped_unparsed(tmp_path: Path) -> None:
    """A block without a wanted word is asked about once, not line by line."""
    path = tmp_path / "quiet"
    path.write_text("Feb 09 12:29:30 host foo[980]: all is well {here}\n" * 50_000)
    asked: list[int] = []

    def _wanted(raw: bytes) -> bool:
        asked.append(len(raw))
        return False

    reader = TextSource([str(path)], wanted=_wanted, now_us=lambda: 0)
    assert not any(reader.read())
    assert len(asked) < 50


def test_one_line_by_itself() -> None:
    """A line someone pastes is a record without a place."""
    record = record_of_line(f"> Feb 09 12:28:50 host kernel: {BPF}")
    assert record
    assert (record.text, record.place.line, record.host.name) == (BPF, None, "host")
    assert (record.time_us, record.warnings) == (None, ())
    assert record_of_line("") is None
    joined = record_of_line("Feb 09 12:28:50 host kernel: " + EVIL.replace("\n", "\n" + " " * 29))
    assert joined
    assert joined.text == EVIL


# --- anything at all

PIECES = st.sampled_from(
    [
        *(b"\n", b"{\n", b"}\n", b"},{\n", b"__CURSOR=a\n", b"MESSAGE\n", b"\x0a\0\0\0\0\0\0\0"),
        *(
            b"MESSAGE=Lockdown: x\n",
            b'{"MESSAGE":[76,1]}\n',
            b'"msg": "Lockdown: ",\n',
            b'"time": 1.5\n',
        ),
        *(
            b"Jun 11 15:36:29 host kernel: Lockdown: a\n",
            b" " * 29,
            b"5,1,2,-;Lockdown: \n",
            b" A=b\n",
        ),
        *(
            b'{"log":"Lockdown: "}\n',
            b"\x1e",
            b"data: ",
            b"[" * 2000,
            b'{"MESSAGE":"\\ud800 lockdown"}\n',
        ),
        *(
            b'{"MESSAGE":"lockdown","_TRANSPORT":"kernel","__REALTIME_TIMESTAMP":"9"}\n',
            b"\r",
            b"\0",
        ),
    ]
)


@given(st.lists(PIECES | st.binary(max_size=6), max_size=50).map(b"".join), st.integers(1, 64))
@settings(max_examples=800, deadline=None)
def test_no_text_raises(text: bytes, size: int) -> None:
    """Any mixture of lines, objects, entries and noise gives records that can be written out."""
    monkey = io.TextIOWrapper(io.BytesIO(text))
    before, sys.stdin = sys.stdin, monkey
    try:
        reader = source("-")
        for batch in reader.read():
            for record in batch:
                assert isinstance(record, Record)
                json.dumps(dict(record.fields)).encode()
                record.text.encode()
        assert not reader.failures or "damaged" in str(reader.failures[0])
    finally:
        sys.stdin = before
    parts = [text[i : i + size] for i in range(0, len(text), size)]
    put_together = b"\n".join(block for block, _ in blocks(iter(parts)))
    assert put_together == text.removesuffix(b"\n")


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b'{"MESSAGE":"lockdown',
        b'{"MESSAGE":[' + b"1," * 100,
        b"__CURSOR=lockdown",
        b"5,1,2,-;Lockdown: ",
        b"Jun 11 15:36:29 host kernel: Lockdown: a",
        b" " * 29 + b"lockdown",
        b'{"MESSAGE":' + b"[" * 3000,
    ],
)
def test_time_is_linear_in_the_file(line: bytes, read: Callable[[bytes], list[Record]]) -> None:
    """Twice as many hostile lines take about twice as long, not four times."""
    taken = []
    for count in (20_000, 40_000):
        count = min(count, (6 << 20) * count // 40_000 // len(line))  # noqa: PLW2901
        started = time.process_time()
        read((line + b"\n") * count)
        taken.append(time.process_time() - started)
    assert taken[1] < 3 * taken[0] + 0.5
