"""Time grows no faster than the line: the cost of a byte of a long line against a short one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.fuzz.checks import PREFILTER, check_file, check_record
from tests.fuzz.grammar import FRAGMENTS
from watcher.lockdown import recognise
from watcher.sources.frames import unframe
from watcher.sources.kmsg_record import parse_record

BOUND: Final = 20.0
SIZES: Final = ((10_000, 1_000_000), (2_000, 60_000))
"""Short and long; the second pair lies below the 64 KiB that frames are looked for in."""

_RUNS: Final = 5
_HEADS: Final = (
    *(
        "",
        "Lockdown: ",
        "Lockdown: x",
        "Kernel is locked down from ",
        "Kernel is locked down, ",
        "avc: ",
    ),
    *(
        "audit: type=1400 audit(",
        "[",
        "<",
        '<5>1 - - kernel - - [a b="',
        "Jun 11 15:36:29 ",
        "5,1,2,-;",
    ),
    *(
        '{"MESSAGE": "',
        '{"MESSAGE": [',
        "__CURSOR=1\nMESSAGE\n",
        "\x1b[",
        "kernel: ",
        "x is installing ",
    ),
)
_TAILS: Final = ("", " is restricted; see x", " due to lockdown", '"}', " tclass=lockdown")

Work = Callable[[bytes], object]
WORKS: Final[dict[str, Work]] = {
    "recognise": lambda data: recognise(data.decode(errors="backslashreplace")),
    "unframe": lambda data: unframe(data.decode(errors="backslashreplace")),
    "parse_record": parse_record,
    "prefilter": PREFILTER.wants,
    "record": check_record,
    "file": check_file,
}


@dataclass(frozen=True)
class Cost:
    """How many times as much a byte of a long line costs as one of a short line."""

    work: str
    shape: str
    ratio: float

    def __str__(self) -> str:
        return f"{self.work} is not linear: {self.shape}: {self.ratio:.0f} times the cost of a byte"


def costs(name: str) -> list[Cost]:
    """Measure one kind of work on lines of all shapes."""
    found = []
    for head, piece, tail in _shapes():
        for short, long in SIZES:
            lines = (_made(head, piece, tail, size) for size in (short, long))
            shape = f"{head!r} + {piece!r} * n + {tail!r}, {long:,} bytes"
            found.append(Cost(name, shape, _ratio(WORKS[name], *lines)))
    return found


def _shapes() -> Iterator[tuple[str, bytes, str]]:
    pieces = (*FRAGMENTS, b"a", b"0", b"a: ", b"[0", b"<a>", b'[a b="c"]', b"a b", b"1,", b": : ")
    for number, piece in enumerate(pieces):
        # Every head with every piece would take minutes; in turn, each meets a good many.
        for each in range(3):
            head = _HEADS[(number * 3 + each) % len(_HEADS)]
            yield head, piece, _TAILS[(number + each) % len(_TAILS)]
    for head in _HEADS:
        yield head, b" ", ""
        yield head, b"a", _TAILS[1]


def _made(head: str, piece: bytes, tail: str, size: int) -> bytes:
    return head.encode() + piece * (size // len(piece)) + tail.encode()


def _ratio(work: Work, short: bytes, long: bytes) -> float:
    """Give how much more a byte of `long` costs; measured again, and better, where it is near."""
    ratio = 0.0
    for runs in (1, _RUNS, _RUNS * 3):
        ratio = _best(work, long, runs) / len(long) / (_best(work, short, runs * 2) / len(short))
        if ratio < BOUND / 2:
            break
    return ratio


def _best(work: Work, data: bytes, runs: int) -> float:
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        work(data)
        best = min(best, time.perf_counter() - start)
    # Below that the clock and the call itself are all there is.
    return max(best, 2e-6)
