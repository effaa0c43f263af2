"""Whole programs measured side by side: interleaved rounds, medians, and medians of ratios."""

from __future__ import annotations

import os
import re
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LAUNCH: Final = Path(__file__).with_name("launch.py")
SLOW_S: Final = 2.5
SLOW_RUNS: Final = 3
"""What takes longer than SLOW_S to warm up is run in so many rounds: ten of them tell no more."""


def lines(output: bytes) -> int | None:
    """Count what a program found that prints a line for each hit."""
    return output.count(b"\n")


def number(output: bytes) -> int | None:
    """Read what a program found that prints a bare count."""
    return int(output) if output.strip().isdigit() else None


def matched(output: bytes) -> int | None:
    """Read fail2ban-regex's own count."""
    found = re.search(rb"(\d+) matched", output)
    return int(found[1]) if found else None


def nothing(_output: bytes) -> int | None:
    """Give no count, for programs that look for nothing."""
    return None


@dataclass(frozen=True)
class Program:
    """A program to measure; `found` reads its output."""

    name: str
    argv: tuple[str, ...]
    found: Callable[[bytes], int | None] = lines
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """Give the command as one would type it."""
        settings = [f"{name}={value}" for name, value in self.env.items()]
        typed = self.argv[2] if self.argv[:2] == _SHELL else shlex.join(self.argv)
        return " ".join([*settings, typed])


_SHELL: Final = ("sh", "-c")


def shell(name: str, command: str, found: Callable[[bytes], int | None] = lines) -> Program:
    """Give a program that is a shell's line: a pipe."""
    return Program(name, (*_SHELL, command), found)


@dataclass(frozen=True)
class Sample:
    """One run: seconds, seconds, kibibytes, and what it found."""

    wall: float
    cpu: float
    rss: int
    found: int | None


@dataclass(frozen=True)
class Series:
    """All runs of one program, in the order of the rounds."""

    program: Program
    samples: tuple[Sample, ...]

    def median(self, what: str) -> float:
        """Give the median of wall, cpu or rss."""
        return float(statistics.median(getattr(sample, what) for sample in self.samples))

    def times(self, other: Series, what: str = "wall") -> float:
        """Give how many times as much `other` took: the median over the rounds both ran in."""
        pairs = zip(self.samples, other.samples, strict=False)
        return float(statistics.median(getattr(b, what) / getattr(a, what) for a, b in pairs))

    @property
    def found(self) -> int | None:
        """Give what it found; the same in every round, or ValueError."""
        (count,) = {sample.found for sample in self.samples}
        return count


def side_by_side(programs: Sequence[Program], runs: int, scratch: Path) -> list[Series]:
    """Run all programs in turn, `runs` times after a warm-up; the slow ones SLOW_RUNS times."""
    print("  warm-up", end="\r", file=sys.stderr, flush=True)
    slow = [run(program, scratch).wall > SLOW_S for program in programs]
    columns: list[list[Sample]] = [[] for _ in programs]
    for number_of in range(runs):
        print(f"  round {number_of + 1} of {runs}", end="\r", file=sys.stderr, flush=True)
        for program, column, is_slow in zip(programs, columns, slow, strict=True):
            if not is_slow or number_of < SLOW_RUNS:
                column.append(run(program, scratch))
    print(" " * 30, end="\r", file=sys.stderr)
    return [Series(p, tuple(column)) for p, column in zip(programs, columns, strict=True)]


def run(program: Program, scratch: Path) -> Sample:
    """Run a program once. Raises RuntimeError if it fails."""
    output = scratch / "stdout"
    told = subprocess.run(
        [sys.executable, "-I", "-S", str(LAUNCH), str(output), *program.argv],
        env={**os.environ, **program.env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split()
    wall, cpu, rss, code = float(told[0]), float(told[1]), int(told[2]), int(told[3])
    if code:
        raise RuntimeError(f"exit status {code}: {program.command}")
    return Sample(wall, cpu, rss, program.found(output.read_bytes()))
