"""One share of the lines, run in a process of its own."""

from __future__ import annotations

import os
import random
import signal
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Final

from tests.fuzz import grammar
from tests.fuzz.checks import CHECKS
from tests.fuzz.rule_grammar import rule_file
from watcher.lockdown import WORDINGS

SHARE: Final = 2000
HANG_S: Final = 20
"""No single input takes this long."""

_FILE_LINES: Final = 500
_EVERY: Final = {"console": 16, "explain": 16, "kmsg": 4, "name": 8, "rules": 400}
"""A check that is slow, or for which few lines are fit, runs on every so many lines."""


@dataclass(frozen=True)
class Failure:
    """An input that broke a property, and how."""

    check: str
    data: bytes
    error: str
    where: str

    @property
    def key(self) -> tuple[str, str]:
        """Tell failures of one cause from those of another."""
        return self.error.partition(":")[0], self.where


def quiet() -> None:
    """Silence re2, which writes to stderr by itself for every pattern pySigma tries."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def run_share(task: tuple[int, int, int, frozenset[str]]) -> tuple[int, list[Failure]]:
    """Make and check lines for (seed, number, count, checks); give the count and failures."""
    seed, number, count, checks = task
    dice = random.Random(f"{seed}:{number}")
    signal.signal(signal.SIGALRM, _hangs)
    failures: dict[tuple[str, str], Failure] = {}
    for check, data in _cases(dice, count):
        failure = attempt(check, data) if check in checks else None
        if failure:
            failures.setdefault(failure.key, failure)
    return count, list(failures.values())


def attempt(check: str, data: bytes) -> Failure | None:
    """Run one check; give its failure, if it fails."""
    signal.alarm(HANG_S)
    try:
        CHECKS[check](data)
    except Exception as error:  # noqa: BLE001 - any exception is what this looks for
        at = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in at if "/watcher/" in frame.filename] or list(at)
        where = f"{ours[-1].filename.rpartition('/')[2]}:{ours[-1].name}"
        return Failure(check, data, f"{type(error).__name__}: {error}", where)
    finally:
        signal.alarm(0)
    return None


def _cases(dice: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    held: list[bytes] = []
    for at in range(count):
        line = grammar.line(dice)
        held.append(line)
        for check in ("recognise", "unframe", "record"):
            yield check, line
        for check, every in _EVERY.items():
            if at % every == 0:
                yield check, _input(check, line, dice)
        if len(held) == _FILE_LINES:
            yield "file", b"\n".join(held)
            held.clear()
    yield "file", b"\n".join(held)


def _input(check: str, line: bytes, dice: random.Random) -> bytes:
    if check == "name":
        return grammar.name(dice) + b"\0%d" % dice.randrange(len(WORDINGS))
    if check == "rules":
        return rule_file(dice)
    if check == "kmsg":
        return grammar.kmsg(line, dice) if dice.random() < 0.7 else line
    return line


def _hangs(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {HANG_S} s for one input")
