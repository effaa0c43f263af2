"""Hostile input on every door: `python -m tests.fuzz [--lines N] [--seconds S]` (make fuzz).

The same seed gives the same lines. A failure is made small and printed; then the status is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import islice
from pathlib import Path

from tests.fuzz import guided, memory, speed
from tests.fuzz.checks import CHECKS
from tests.fuzz.minimise import smallest
from tests.fuzz.work import SHARE, Failure, attempt, quiet, run_share

SEED = 20_261_123
_SHOWN = 400
_TOLD = 10
"""Failures of different cause that are made small and told."""


def main() -> int:
    """Run all of it; give the exit status."""
    args = _arguments()
    print(f"seed {args.seed}", flush=True)
    lines, failures = _run(args)
    for failure in failures[:_TOLD]:
        _tell(failure)
    faults = [] if args.lines_only else [*_memory(), *_speed(args.jobs)]
    faults += _guided(args.atheris_seconds)
    for fault in faults:
        print(f"FAULT {fault}")
    print(f"{lines:,} lines, {len(failures)} exceptions")
    return 1 if failures or faults else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="how many (1000000)")
    parser.add_argument("--seconds", type=float, help="stop after so long, whatever --lines says")
    parser.add_argument("--seed", type=int, default=SEED, help=f"({SEED})")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (all cores)")
    parser.add_argument(
        "--atheris-seconds", type=int, default=20, help="guided, in all (20); 0: not"
    )
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=CHECKS, help="these checks")
    parser.add_argument("--lines-only", action="store_true", help="no long lines, no endless ones")
    return parser.parse_args()


def _run(args: argparse.Namespace) -> tuple[int, list[Failure]]:
    start, told, done = time.monotonic(), time.monotonic(), 0
    failures: dict[tuple[str, str], Failure] = {}
    for count, found in _shares(args):
        done += count
        for failure in found:
            failures.setdefault(failure.key, failure)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{done:,} lines, {done / (told - start):,.0f} a second", flush=True)
    took = time.monotonic() - start
    print(f"{done:,} lines in {took:.0f} s, {done / took:,.0f} a second, {args.jobs} processes")
    return done, list(failures.values())


def _shares(args: argparse.Namespace) -> Iterator[tuple[int, list[Failure]]]:
    """Run all shares, few ahead of time; a worker that dies raises BrokenProcessPool."""
    deadline = time.monotonic() + (args.seconds or float("inf"))
    tasks = (
        (args.seed, number, min(SHARE, args.lines - at), frozenset(args.only))
        for number, at in enumerate(range(0, args.lines, SHARE))
    )
    with _pool(args.jobs) as pool:
        running = {pool.submit(run_share, task) for task in islice(tasks, 2 * args.jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            if time.monotonic() < deadline:
                running |= {pool.submit(run_share, task) for task in islice(tasks, len(done))}
            yield from (future.result() for future in done)


def _pool(jobs: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=quiet)


def _tell(failure: Failure) -> None:
    def fails(data: bytes) -> bool:
        again = attempt(failure.check, data)
        return again is not None and again.key == failure.key

    found = smallest(failure.data, fails)
    again = attempt(failure.check, found) or failure
    print(f"FAILURE {failure.check} at {failure.where}: {again.error[:500]}")
    print(f"  smallest input: {_shown(found)}", flush=True)


def _shown(data: bytes) -> str:
    if len(data) <= _SHOWN:
        return repr(data)
    kept = Path(".lab/fuzz") / f"{hashlib.sha256(data).hexdigest()[:16]}.bin"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(data)
    return f"{data[:100]!r} ... {data[-100:]!r}, {len(data):,} bytes, kept in {kept}"


def _memory() -> Iterator[str]:
    for head, grown in memory.growths():
        what = f"an endless line of {memory.LINE_MB} MB that begins {head!r}"
        print(f"{what}: {grown:.1f} MB more", flush=True)
        if grown > memory.BOUND_MB:
            yield f"{what} took {grown:.1f} MB more than an empty input"


def _speed(jobs: int) -> Iterator[str]:
    start, worst = time.monotonic(), 0.0
    with _pool(jobs) as pool:
        for found in pool.map(speed.costs, speed.WORKS):
            worst = max(worst, *(cost.ratio for cost in found))
            yield from (str(cost) for cost in found if cost.ratio > speed.BOUND)
    took = time.monotonic() - start
    print(f"long lines in {took:.0f} s: at worst {worst:.1f} times the cost of a byte", flush=True)


def _guided(seconds: int) -> Iterator[str]:
    if not seconds:
        return
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed, so nothing ran guided by coverage (pip install atheris)")
        if os.environ.get("CI") == "true":
            yield "atheris is missing, and CI=true"
        return
    yield from guided.run_all(seconds, Path(".lab/fuzz"))


if __name__ == "__main__":
    sys.exit(main())
