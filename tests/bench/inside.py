"""Parts of this process measured side by side: interleaved rounds, median time of one unit."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Something to time; `work` tells how many units it did."""

    name: str
    work: Callable[[], int]


@dataclass(frozen=True)
class Timed:
    """Seconds a unit in each round."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Give the median over the rounds."""
        return statistics.median(self.seconds)

    def times(self, other: Timed) -> float:
        """Give how many times as much `other` took: the median over the rounds."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(b / a for a, b in pairs)


def in_turn(parts: Sequence[Part], runs: int) -> list[Timed]:
    """Run all parts in turn, `runs` times after a warm-up."""
    rounds = [[_once(part) for part in parts] for _ in range(runs + 1)]
    columns = zip(*rounds[1:], strict=True)
    return [Timed(part.name, tuple(column)) for part, column in zip(parts, columns, strict=True)]


def _once(part: Part) -> float:
    gc.collect()
    start = time.perf_counter()
    units = part.work()
    return (time.perf_counter() - start) / max(units, 1)
