"""scan of a journal against the tools one would use for it."""

from __future__ import annotations

from pathlib import Path

from tests.bench.journals import cached
from tests.bench.measure import Program, Series, side_by_side
from tests.bench.setting import Setting
from tests.bench.table import commands, comparison, seconds, table, verdict

TITLE = "Past: scan of a journal"
_WORDS = """\
Whole programs, from start to exit. All ask libsystemd for `_TRANSPORT=kernel`; ours asks besides
for SELinux denials, journald's "Missed" and forgers, as `our matches` does, and writes a whole
event for each hit, where the others print the line. Peak RSS counts the journal's own pages, which
libsystemd maps and the kernel may drop at any time; every row has them.
"""
_PER_ENTRY = """\
Per kernel entry, start-up taken out: the slope between {small:,} and {large:,} entries (median
wall times), divided by the kernel entries between them.
"""


def measure(setting: Setting) -> str:
    """Give the section of the page."""
    small, large = 500_000 // setting.smaller, 1_000_000 // setting.smaller
    mixed = _on(setting, small, small * 3 // 10, 500 // setting.smaller)
    twice = _on(setting, large, large * 3 // 10, 1000 // setting.smaller)
    rare = _on(setting, small, small // 50, 500 // setting.smaller)
    unlike = _on(setting, small, small * 3 // 10, 500 // setting.smaller, unlike=True)
    parts = [_WORDS, *(_section(setting, *each) for each in (mixed, twice, rare))]
    parts.append(_section(setting, *unlike, more=", no two lines alike"))
    extra = (large - small) * 3 // 10
    rows = [
        (a.program.name, seconds((b.median("wall") - a.median("wall")) / extra))
        for a, b in zip(mixed[1], twice[1], strict=True)
    ]
    words = _PER_ENTRY.format(small=small, large=large)
    return "\n".join([*parts, words, table(("program", "per kernel entry"), rows)])


_Sizes = tuple[int, int, int]


def _on(setting: Setting, *sizes: int, unlike: bool = False) -> tuple[_Sizes, list[Series]]:
    entries, kernel, hits = sizes
    directory = cached(setting.cache, entries, kernel, hits, unlike=unlike)
    series = side_by_side(_programs(setting, directory), setting.runs, setting.cache)
    return (entries, kernel, hits), series


def _programs(setting: Setting, directory: Path) -> list[Program]:
    peers = setting.peers
    return [
        peers.ours("scan", "--journal-dir", str(directory), "-o", "json"),
        *peers.journalctl(directory),
    ]


def _section(setting: Setting, sizes: _Sizes, series: list[Series], more: str = "") -> str:
    entries, kernel, hits = sizes
    what = f"{entries:,} entries, {kernel * 100 // entries} % of them the kernel's{more}"
    if len(series) > 1:
        setting.at_most(
            f"scan of {what}: time against journalctl -g", series[1].times(series[0]), 1
        )
    head = f"### {what}\n\n{kernel:,} of the kernel's, {hits:,} denials.\n"
    return "\n".join([head, comparison(series), verdict(series) + "\n", commands(series)])
