"""Side-by-side measurements: `python -m tests.bench [NAME...] [--quick]`.

All programs of one table run in one go, in turn (A B C A B C ...), so that what else happens on
the machine falls on all of them. Nothing asserts a time: the figures go into docs/bench.md.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    at_rest,
    deliver,
    journal_scan,
    kmsg_ring,
    latency,
    machine,
    many_rules,
    prefilter,
    rivals,
    startup,
    text_scan,
)
from tests.bench.page import page, write
from tests.bench.peers import Peers
from tests.bench.setting import Setting

BENCHES: dict[str, tuple[str, Callable[[Setting], str]]] = {
    "journal": (journal_scan.TITLE, journal_scan.measure),
    "rivals": (rivals.TITLE, rivals.measure),
    "startup": (startup.TITLE, startup.measure),
    "text": (text_scan.TITLE, text_scan.measure),
    "kmsg": (kmsg_ring.TITLE, kmsg_ring.measure),
    "rest": (at_rest.TITLE, at_rest.measure),
    "prefilter": (prefilter.TITLE, prefilter.measure),
    "rules": (many_rules.TITLE, many_rules.measure),
    "deliver": (deliver.TITLE, deliver.measure),
    "latency": (latency.TITLE, latency.measure),
}


def main() -> None:
    """Measure and write the page; exit with 1 if a section failed."""
    args = _arguments()
    # A user has neither: without .pyc files every start compiles all the imports anew.
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"):
        os.environ.pop(name, None)
    cache = args.cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    runs = args.runs or (2 if args.quick else 9)
    setting = Setting(cache, Peers(cache), runs, 20 if args.quick else 1)
    facts, start, failed = machine.facts(), time.monotonic(), list[str]()
    sections = [_section(name, setting, failed) for name in args.names or BENCHES]
    facts += [("took", f"{(time.monotonic() - start) / 60:.0f} min"), *_tools(setting)]
    command = shlex.join(["python", "-m", "tests.bench", *sys.argv[1:]])
    measured = page(setting, command, facts, sections)
    print(measured)
    if args.output:
        write(args.output, measured)
        print(f"written to {args.output}", file=sys.stderr)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*BENCHES, []])
    parser.add_argument("--quick", action="store_true", help="a twentieth of it, to see it run")
    parser.add_argument("--runs", type=int, help="rounds after the warm-up (9; quick: 2)")
    parser.add_argument("--cache", type=Path, default=_cache(), help="where built files are kept")
    parser.add_argument("--output", type=Path, help="docs/bench.md; quick or in part: only shown")
    args = parser.parse_args()
    if args.output is None and not args.quick and not args.names:
        args.output = Path("docs/bench.md")
    return args


def _cache() -> Path:
    temporary = os.environ.get("TMPDIR")
    return Path(temporary) / "lockdown-watcher-bench" if temporary else Path(".lab/bench")


def _section(name: str, setting: Setting, failed: list[str]) -> str:
    """Measure one; if it fails the others are not lost with it."""
    title, measure = BENCHES[name]
    print(f"{name}: {title}", file=sys.stderr)
    start = time.monotonic()
    try:
        text = measure(setting)
    except Exception:  # noqa: BLE001 - it is told, and the status says so
        traceback.print_exc()
        failed.append(name)
        text = "**Failed.**\n"
    print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    return f"## {title}\n\n{text}"


def _tools(setting: Setting) -> list[tuple[str, str]]:
    missing = ", ".join(sorted(setting.peers.missing)) or "none"
    return [("beside us", setting.peers.versions()), ("missing tools, left out", missing)]


main()
