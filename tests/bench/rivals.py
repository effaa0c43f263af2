"""scan of a journal against pipes, tools and engines that people would take for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench.journals import cached
from tests.bench.measure import Program, Series, side_by_side
from tests.bench.setting import Setting
from tests.bench.table import commands, comparison

TITLE: Final = "Past: pipes, tools and other engines"
ASKED: Final = 10.0
_WORDS: Final = """\
All look for the lockdown denials among the kernel's entries of a journal, and must find the same
number. Ours runs the whole shipped pack and writes an event for each hit; the others print the line
or count it. What cannot read a journal gets it from `journalctl`, which runs beside it on the other
core.
"""
_PIPES: Final = """\
### What people type: {entries:,} entries, {kernel:,} of them the kernel's, {hits:,} denials

`sec` reads a file: it looks at a pipe ten times a second and would mostly wait. `fail2ban-regex`
and the Python loop read the journal by themselves, on the interpreter that runs ours.
"""
_ENGINES: Final = """\
### Sigma engines, {what}: {entries:,} entries, {kernel:,} of them the kernel's, {hits:,} denials

Each in an environment of its own (`tests/bench/environments.py`), run by the shortest script that
feeds it (`tests/bench/engines`). SQLite stands for Zircolite, which is no package that pip could
install: what it does, all events into a table in memory and then one query a rule, made by
pySigma's SQLite backend, without the rest of Zircolite.
"""
_ONE_RULE: Final = """\
title: Lockdown refused an operation
logsource: {product: linux, service: kernel}
detection:
    denial:
        _TRANSPORT: kernel
        SYSLOG_FACILITY: 0
        MESSAGE|startswith: 'Lockdown: '
    condition: denial
"""


def measure(setting: Setting) -> str:
    """Give the section of the page."""
    one = setting.cache / "denials.yml"
    one.write_text(_ONE_RULE, encoding="ascii")
    pack = sorted(Path("rules").glob("denied*.yml"))
    return "\n".join(
        [
            _WORDS,
            _pipes(setting, 1_000_000),
            _engines(setting, 500_000, "one rule", [one]),
            _engines(setting, 200_000, f"the pack's {len(pack)} rules on denials", pack),
        ]
    )


def _pipes(setting: Setting, full: int) -> str:
    journal, sizes = _journal(setting, full)
    peers = setting.peers
    programs = [
        *peers.pipes(journal),
        *peers.sec_journal(journal),
        *peers.fail2ban_journal(journal),
        peers.plain_loop(journal),
    ]
    return _section(setting, _PIPES.format(**sizes), sizes, _timed(setting, journal, programs))


def _engines(setting: Setting, full: int, what: str, rules: Sequence[Path]) -> str:
    journal, sizes = _journal(setting, full)
    series = _timed(setting, journal, setting.peers.engines(journal, rules, what))
    return _section(setting, _ENGINES.format(what=what, **sizes), sizes, series)


def _journal(setting: Setting, full: int) -> tuple[Path, dict[str, int]]:
    entries = full // setting.smaller
    sizes = {"entries": entries, "kernel": entries * 3 // 10, "hits": entries // 1000}
    return cached(setting.cache, *sizes.values()), sizes


def _timed(setting: Setting, journal: Path, programs: Sequence[Program]) -> list[Series]:
    ours = setting.peers.ours("scan", "--journal-dir", str(journal), "-o", "json")
    return side_by_side([ours, *programs], setting.runs, setting.cache)


def _section(setting: Setting, words: str, sizes: dict[str, int], series: list[Series]) -> str:
    for each in series:
        if each.found != sizes["hits"]:
            raise ValueError(f"{each.program.name} found {each.found} of {sizes['hits']}")
    for other in series[1:]:
        setting.at_least(f"{other.program.name}: time against scan", series[0].times(other), ASKED)
    shown = comparison(series, ("kernel entry", sizes["kernel"]))
    return "\n".join([words, shown, commands(series)])
