"""What more rules cost on a log in which none of them matches."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.bench.inside import Part, Timed, in_turn
from tests.bench.journals import cached, kernel_lines
from tests.bench.measure import Program, side_by_side
from tests.bench.setting import Setting
from tests.bench.table import comparison, seconds, table
from watcher.rules import prefilter as inner
from watcher.rules.prefilter import Prefilter

TITLE = "Rules by the hundred"
COUNTS: Final = (1, 10, 100, 500)
_WORDS = """\
Besides the shipped pack, on logs without a hit. Each rule wants `_TRANSPORT: kernel` and one of
three texts of two made-up words in MESSAGE. Whole programs: `scan` of {entries:,} entries, 30 % of
them the kernel's, rules in the cache.
"""
_INSIDE = """\
Per line, in one process: `may` of the lowered line, with Aho-Corasick and with the ways that stand
in for it (one pattern of Python's up to 32 texts, re2 beyond).
"""
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"

Texts = list[list[str]]


def measure(setting: Setting) -> str:
    """Give the section of the page."""
    texts = _texts(COUNTS[-1])
    entries = 500_000 // setting.smaller
    journal = cached(setting.cache, entries, entries * 3 // 10, 0)
    programs = [_program(setting, count, texts[:count], journal) for count in COUNTS]
    whole = side_by_side(programs, setting.runs, setting.cache)
    setting.at_most("scan with 500 rules: time against 1 rule", whole[0].times(whole[-1]), 1.3)
    lines = [text.encode().lower() for text in kernel_lines(200_000 // setting.smaller, 0)]
    tables = (_inside(way, texts, lines, setting.runs) for way in (_library, inner.plain_finder))
    return "\n".join(
        [_WORDS.format(entries=entries), comparison(whole), _INSIDE, _side_by_side(*tables)]
    )


def _texts(count: int) -> Texts:
    """Make three texts for each rule, always the same ones."""
    chance = random.Random(1)
    words = ["".join(chance.choices(_LETTERS, k=chance.randint(4, 9))) for _ in range(5000)]
    return [[" ".join(chance.sample(words, 2)) for _ in range(3)] for _ in range(count)]


_RULE = """\
title: Rule {number}
id: {id}
level: low
logsource: {{product: linux, service: kernel}}
detection:
  s: {{_TRANSPORT: kernel, MESSAGE|contains: [{texts}]}}
  condition: s
"""


def _program(setting: Setting, count: int, texts: Texts, journal: Path) -> Program:
    folder = setting.cache / f"rules-{count}"
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    config = folder / "config.toml"
    config.touch(mode=0o600)
    for number, each in enumerate(texts):
        made = _RULE.format(number=number, id=uuid.UUID(int=number), texts=", ".join(each))
        (folder / "rules" / f"{number}.yml").write_text(made)
    name = f"{count} rule" + ("s" if count > 1 else "")
    ours = setting.peers.ours("scan", "--journal-dir", str(journal), "-o", "json", name=name)
    own = {"LOCKDOWN_WATCHER_CONFIG": os.path.relpath(config), "XDG_CACHE_HOME": str(folder)}
    return replace(ours, env={**ours.env, **own})


Way = Callable[[list[bytes]], Callable[[bytes], object]]


def _library(texts: list[bytes]) -> Callable[[bytes], object]:
    return Prefilter([frozenset(text.decode() for text in texts)]).may


def _inside(way: Way, texts: Texts, lines: list[bytes], runs: int) -> list[Timed]:
    parts = []
    for count in COUNTS:
        wanted = {text.encode() for each in texts[:count] for text in each}
        may = way(inner.stems(wanted))
        parts.append(Part(f"{count}", lambda may=may: _all(may, lines)))  # type: ignore[misc]
    return in_turn(parts, runs)


def _all(may: Callable[[bytes], object], lines: list[bytes]) -> int:
    for line in lines:
        may(line)
    return len(lines)


def _side_by_side(fast: list[Timed], plain: list[Timed]) -> str:
    rows = [
        (a.name, seconds(a.median), f"{fast[0].times(a):.2f}", seconds(b.median),
         f"{plain[0].times(b):.2f}")
        for a, b in zip(fast, plain, strict=True)
    ]  # fmt: skip
    return table(("rules", "Aho-Corasick", "against 1", "without it", "against 1"), rows)
