"""Measurements as markdown tables, and the plain words under them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.bench.measure import Series

_HEAD = ("program", "wall", "cpu", "peak RSS", "found")
CLOSE = 1.05
"""Ratios nearer to 1 than this count as equal."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a markdown table; all columns but the first are numbers."""
    marks = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, marks, *rows)) + "\n"


def comparison(series: Sequence[Series], units: tuple[str, int] | None = None) -> str:
    """Give a table of programs; the first is the one that the others are compared with.

    `units`: what each has done so many of, for a column with the time per unit.
    """
    head, rows = [*_HEAD, "wall against ours"], [[*_row(each, series[0])] for each in series]
    if units:
        head.append(f"wall per {units[0]}")
        for each, row in zip(series, rows, strict=True):
            row.append(seconds(each.median("wall") / units[1]))
    return table(head, rows)


def alone(series: Sequence[Series]) -> str:
    """Give a table of programs that are not compared."""
    return table(_HEAD, [_row(each, series[0])[:-1] for each in series])


def _row(each: Series, ours: Series) -> tuple[str, ...]:
    found = "" if each.found is None else f"{each.found:,}"
    ratio = "1" if each is ours else f"{ours.times(each):.2f}"
    wall, cpu = seconds(each.median("wall")), seconds(each.median("cpu"))
    rss = f"{each.median('rss') / 1024:.0f} MB"
    return each.program.name, wall, cpu, rss, found, ratio


def seconds(value: float) -> str:
    """Give a duration in the unit that suits it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def verdict(series: Sequence[Series]) -> str:
    """Say in words whom the first program beats and to whom it loses."""
    ratios = [(other.program.name, series[0].times(other)) for other in series[1:]]
    return verdict_of(ratios)


def verdict_of(ratios: Sequence[tuple[str, float]]) -> str:
    """Say it of names and how many times our time each took."""
    ahead = [f"{name} ({ratio:.1f} times our time)" for name, ratio in ratios if ratio > CLOSE]
    behind = [f"{name} (we take {1 / r:.1f} times its time)" for name, r in ratios if r < 1 / CLOSE]
    equal = [name for name, ratio in ratios if 1 / CLOSE <= ratio <= CLOSE]
    told = [("We are faster than", ahead), ("We lose to", behind), ("Level with", equal)]
    return " ".join(f"{words} {', '.join(names)}." for words, names in told if names)


def commands(series: Sequence[Series]) -> str:
    """Give the exact commands."""
    return "```sh\n" + "\n".join(each.program.command for each in series) + "\n```\n"
