"""Correlations in few words: rules a, b, c and d stand for matches, without a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from watcher.rules.correlation import Correlator, Forgotten, Hit, Match
from watcher.rules.faults import Fault
from watcher.rules.parse import parse
from watcher.rules.rule import Rule, compile_rule

IDS: Final = {name: f"00000000-0000-4000-8000-00000000000{name}" for name in "abcdef"}
PLAIN: Final = "---\n".join(
    f"title: {name}\nname: {name}\nid: {IDS[name]}\nlogsource: {{product: linux}}\n"
    f"detection: {{s: {{X: {name}}}, condition: s}}\nlevel: low\n"
    for name in "abcd"
)
S: Final = 1_000_000


def text(correlation: str, *, head: str = "", name: str = "c1", number: int = 1) -> str:
    """Give a correlation as YAML; `correlation` is what stands in its braces."""
    return (
        f"---\ntitle: {name}\nname: {name}\nlevel: high\n"
        f"id: 11111111-0000-4000-8000-{number:012d}\n"
        f"{head}correlation: {{{correlation}}}\n"
    )


def rules(*correlations: str) -> list[Rule]:
    """Give the four rules and these correlations, compiled."""
    found, told = parse({"r.yml": PLAIN + "".join(correlations)})
    assert [str(each) for each in told] == []
    return [compile_rule(each) for each in found]


def faults(*correlations: str) -> list[Fault]:
    """Give what is wrong with these correlations."""
    return parse({"r.yml": PLAIN + "".join(correlations)})[1]


def correlator(*correlations: str) -> Correlator:
    """Give one that runs these correlations over the four rules."""
    made = Correlator()
    made.use(rules(*correlations))
    return made


def match(names: str, time_us: int | None, number: int, **fields: str) -> Match:
    """Give the match of some of the four rules (by letter) by record `number`."""
    return Match(f"m{number}", [IDS[each] for each in names], time_us, fields.get, "kernel")


Step = tuple[str, float, Mapping[str, str]]


def found(made: Correlator, steps: Iterable[tuple[str, float] | Step]) -> list[Hit | Forgotten]:
    """Give what comes of matches: letters of rules, seconds, and fields."""
    out: list[Hit | Forgotten] = []
    for number, (names, seconds, *fields) in enumerate(steps):
        out += made.take(match(names, round(seconds * S), number, **(fields[0] if fields else {})))
    return out


def hits(made: Correlator, steps: Iterable[tuple[str, float] | Step]) -> list[list[int]]:
    """Give, of each hit, the numbers of the matches it is made of; inner ones as -1."""
    return [
        [int(each[1:]) if each.startswith("m") else -1 for each in hit.ids]
        for hit in found(made, steps)
        if isinstance(hit, Hit)
    ]
