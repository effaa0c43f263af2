"""scan of text files against grep and the two correlators."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import zstandard

from tests.bench.journals import dmesg, syslog
from tests.bench.measure import Program, number, side_by_side
from tests.bench.setting import Setting
from tests.bench.table import commands, comparison, verdict

TITLE = "Past: scan of text"
_WORDS = """\
Whole programs. `grep` only counts lines that hold a word; it is the floor for anything that has to
look at every byte. `-cE` is given as many wordings as anybody would type by hand. fail2ban-regex
reads a date off every line of the syslog file and is told that dmesg has none (else it looks for
one in vain, at length).
"""
_PACKED = """\
The same text packed. `zgrep` and `zstdgrep` unpack in a second process, which the other core can
run.
"""
_NO_DATES = ("-d", "{NONE}")
_WORDINGS = (
    "Lockdown: .* is restricted[;,] see |Kernel is locked down from |Lifting lockdown"
    "|[0-9]+ callbacks suppressed"
)


def measure(setting: Setting) -> str:
    """Give the section of the page."""
    count, hits = 500_000 // setting.smaller, 500 // setting.smaller
    plain = _file(setting.cache / f"dmesg-{count}.txt", dmesg(count, hits))
    mixed = _file(setting.cache / f"syslog-{count}.txt", syslog(count, hits))
    return "\n".join(
        [
            _WORDS,
            _section(setting, plain, (count, hits), "dmesg, every line the kernel's", _NO_DATES),
            _section(
                setting, mixed, (count, hits), "a syslog file, 3 of 10 lines the kernel's", ()
            ),
            _packed(setting, mixed),
        ]
    )


def _section(
    setting: Setting, file: Path, sizes: tuple[int, int], what: str, dates: tuple[str, ...]
) -> str:
    peers = setting.peers
    programs = [
        peers.ours("scan", str(file), "-o", "json"),
        Program("grep -c", ("grep", "-c", "Lockdown:", str(file)), number),
        Program("grep -cE", ("grep", "-cE", _WORDINGS, str(file)), number),
        *peers.sec(file),
        *peers.fail2ban(str(file), *dates),
    ]
    series = side_by_side(programs, setting.runs, setting.cache)
    mb = file.stat().st_size / 1e6
    head = f"### {what[0].upper()}{what[1:]}\n"
    words = f"{sizes[0]:,} lines ({mb:.0f} MB), {sizes[1]:,} denials.\n"
    return "\n".join([head, words, comparison(series), verdict(series) + "\n", commands(series)])


def _packed(setting: Setting, file: Path) -> str:
    parts = ["### Packed\n", _PACKED]
    for ending, pack, tool in ((".gz", _gzip, "zgrep"), (".zst", _zstd, "zstdgrep")):
        packed = _packed_file(file, ending, pack)
        programs = [setting.peers.ours("scan", str(packed), "-o", "json", name=f"scan {ending}")]
        if setting.peers.available(tool):
            programs.append(Program(f"{tool} -c", (tool, "-c", "Lockdown:", str(packed)), number))
        series = side_by_side(programs, setting.runs, setting.cache)
        parts += [comparison(series), verdict(series) + "\n", commands(series)]
    return "\n".join(parts)


def _file(path: Path, lines: Iterable[str]) -> Path:
    if not path.exists():
        print(f"  writing {path.name}", file=sys.stderr)
        part = path.with_suffix(".part")
        with part.open("w", encoding="ascii") as file:
            file.writelines(lines)
        part.rename(path)
    return path


def _packed_file(file: Path, ending: str, pack: Callable[[bytes], bytes]) -> Path:
    packed = file.with_name(file.name + ending)
    if not packed.exists():
        packed.write_bytes(pack(file.read_bytes()))
    return packed


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 6)


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(3).compress(data)
