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
    startup,
    text_scan,
)
from tests.bench.peers import Peers
from tests.bench.setting import Setting

BENCHES: dict[str, tuple[str, Callable[[Setting], str]]] = {
    "journal": (journal_scan.TITLE, journal_scan.measure),
    "startup": (startup.TITLE, startup.measure),
    "text": (text_scan.TITLE, text_scan.measure),
    "kmsg": (kmsg_ring.TITLE, kmsg_ring.measure),
    "rest": (at_rest.TITLE, at_rest.measure),
    "prefilter": (prefilter.TITLE, prefilter.measure),
    "rules": (many_rules.TITLE, many_rules.measure),
    "deliver": (deliver.TITLE, deliver.measure),
    "latency": (latency.TITLE, latency.measure),
}
_HEAD = """\
# Measurements

Written by `{command}` (`make bench` writes all of it).
Whole programs are measured by wall clock, CPU time and peak memory (wait4), {runs} rounds after a
warm-up, all programs of a table in turn. A figure is the median over the rounds; a ratio is the
median of the ratios within each round, so above 1 means slower than ours. Peak memory below the
launcher's own (about 8 MB) cannot be seen. Files are warm in the page cache.
"""


def main() -> None:
    """Measure and write the page."""
    args = _arguments()
    # A user has neither: without .pyc files every start compiles all the imports anew.
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"):
        os.environ.pop(name, None)
    cache = args.cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    runs = args.runs or (2 if args.quick else 9)
    setting = Setting(cache, Peers(cache), runs, 20 if args.quick else 1)
    about, start = machine.facts(), time.monotonic()
    sections = [_section(name, setting) for name in args.names or BENCHES]
    page = _placeless(_page(setting, about, sections, time.monotonic() - start), cache)
    args.output.write_text(page, encoding="utf-8")
    print(page)
    print(f"written to {args.output}", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*BENCHES, []])
    parser.add_argument("--quick", action="store_true", help="a twentieth of it, to see it run")
    parser.add_argument("--runs", type=int, help="rounds after the warm-up (9; quick: 2)")
    parser.add_argument("--cache", type=Path, default=_cache(), help="where built files are kept")
    parser.add_argument("--output", type=Path, help="docs/bench.md; quick or in part: only shown")
    args = parser.parse_args()
    if args.output is None:
        whole = not args.quick and not args.names
        args.output = Path("docs/bench.md") if whole else Path(os.devnull)
    return args


def _cache() -> Path:
    temporary = os.environ.get("TMPDIR")
    return Path(temporary) / "lockdown-watcher-bench" if temporary else Path(".lab/bench")


def _section(name: str, setting: Setting) -> str:
    title, measure = BENCHES[name]
    print(f"{name}: {title}", file=sys.stderr)
    return f"## {title}\n\n{measure(setting)}"


def _page(
    setting: Setting, about: list[tuple[str, str]], sections: list[str], took_s: float
) -> str:
    command = shlex.join(["python", "-m", "tests.bench", *sys.argv[1:]])
    rows = [*about, ("took", f"{took_s / 60:.0f} min"), *_versions(setting)]
    facts = "\n".join(f"- {name}: {value}" for name, value in rows) + "\n"
    parts = [_HEAD.format(command=command, runs=setting.runs), facts, *sections]
    if setting.quick:
        parts.insert(1, "**A quick try: the sizes are a twentieth, the figures mean nothing.**\n")
    return "\n".join(parts).replace("\n\n\n", "\n\n")


def _placeless(page: str, cache: Path) -> str:
    """Leave out where on this machine things lie: commands as a reader would type them."""
    folder = f"{Path(sys.executable).parent}/"
    names = {str(cache): "$CACHE", sys.executable: "python", folder: "", f"{Path.cwd()}/": ""}
    for place, name in names.items():
        page = page.replace(place, name)
    return page


def _versions(setting: Setting) -> list[tuple[str, str]]:
    missing = ", ".join(sorted(setting.peers.missing)) or "none"
    return [("missing tools, left out", missing)]


main()
