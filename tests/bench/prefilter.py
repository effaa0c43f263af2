"""The prefilter against other ways to find one of many literals in a line."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

from tests.bench.inside import Part, Timed, in_turn
from tests.bench.journals import kernel_lines
from tests.bench.setting import Setting
from tests.bench.table import seconds, table, verdict_of
from watcher.pack import load_pack
from watcher.rules import prefilter as inner
from watcher.rules.prefilter import Prefilter

TITLE = "Inside: the prefilter"
_WORDS = """\
Per line, in one process, on {lines:,} kernel lines of {mean:.0f} bytes on average, one of a
thousand about lockdown; the shipped pack asks for {literals} literals. Each is given what it gets
in real life: the line as bytes, to be lowered first where it compares bytes exactly. The empty
loop, with `lower()`, is not taken off. The journal calls `may`, and `wants` of what `may` lets
pass; the text source `wants`. All but `may` decide for certain; `may` lets a line pass too many.
"""
_MISSING = "Not importable here, so left out: {}.\n"

Test = Callable[[bytes], object]


def measure(setting: Setting) -> str:
    """Give the section of the page."""
    count = 100_000 // setting.smaller
    lines = [text.encode() for text in kernel_lines(count, count // 1000)]
    prefilter = load_pack().prefilter()
    literals = sorted(prefilter.literals or ())
    found, missing = _tests(prefilter, literals)
    parts = [Part(name, lambda test=test: _all(test, lines)) for name, test in found]  # type: ignore[misc]
    timed = in_turn(parts, setting.runs)
    mean = sum(map(len, lines)) / count
    words = [_WORDS.format(lines=count, mean=mean, literals=len(literals))]
    if missing:
        words.append(_MISSING.format(", ".join(missing)))
    hits = [str(sum(bool(test(line)) for line in lines)) for _, test in found]
    return "\n".join([*words, _table(timed, hits), _verdict(timed) + "\n"])


def _table(timed: list[Timed], hits: list[str]) -> str:
    rows = [
        (each.name, seconds(each.median), f"{timed[0].times(each):.2f}", count)
        for each, count in zip(timed, hits, strict=True)
    ]
    return table(("way", "per line", "against may", "lines let pass"), rows)


def _verdict(timed: list[Timed]) -> str:
    ratios = [(each.name, timed[0].times(each)) for each in timed if each.name != "empty loop"]
    return verdict_of(ratios[2:])


def _all(test: Test, lines: list[bytes]) -> int:
    for line in lines:
        test(line)
    return len(lines)


def _tests(prefilter: Prefilter, literals: list[bytes]) -> tuple[list[tuple[str, Test]], list[str]]:
    may, plain = prefilter.may, re.compile(b"|".join(map(re.escape, literals))).search
    stems = inner._any_of(map(inner._entered_at_rarest, inner.stems(set(literals))))
    found: list[tuple[str, Test]] = [
        ("may(line.lower())", lambda line: may(line.lower())),
        ("wants(line)", prefilter.wants),
        ("may without ahocorasick_rs", lambda line: stems(line.lower())),
        ("loop of `in`", lambda line: _loop(line.lower(), literals)),
        ("re, one plain alternation", lambda line: plain(line.lower())),
    ]
    missing = []
    for name, module, make in _ENGINES:
        try:
            found.append((name, make(importlib.import_module(module), literals)))
        except ImportError:
            missing.append(module)
    found.append(("empty loop", lambda line: not line.lower()))
    return found, missing


def _loop(low: bytes, literals: list[bytes]) -> bool:
    for literal in literals:  # noqa: SIM110 - any() with a generator is slower
        if literal in low:
            return True
    return False


def _re2(re2: Any, literals: list[bytes]) -> Test:
    search = re2.compile("|".join(re2.escape(text.decode()) for text in literals)).search
    return lambda line: search(line.lower()) is not None


def _aho_corasick(module: Any, literals: list[bytes]) -> Test:
    automaton = module.BytesAhoCorasick(literals)
    return lambda line: automaton.find_matches_as_indexes(line.lower())


_ENGINES: list[tuple[str, str, Callable[[Any, list[bytes]], Test]]] = [
    ("re2, one plain alternation", "re2", _re2),
    ("ahocorasick_rs, all literals", "ahocorasick_rs", _aho_corasick),
]
