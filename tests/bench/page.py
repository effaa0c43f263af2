"""docs/bench.md: what was measured, and what is kept by hand below a mark."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench.measure import SLOW_RUNS, SLOW_S
from tests.bench.setting import Setting
from tests.bench.table import table

KEPT: Final = "<!-- What follows is written by hand; `make bench` leaves it as it is. -->"
_HEAD: Final = """\
# Measurements

What was asked for, and what was measured. A bar that was missed says so.

{bars}
Whole programs are measured from start to exit by wall clock, CPU time of all their processes and
the peak memory of the largest one (wait4; less than the launcher's 8 MB cannot be seen). All
programs of a table run in turn, {runs} rounds after a warm-up ({slow_runs} for what takes more than
{slow_s:g} s); a figure is the median over the rounds, a ratio the median of the ratios within each
round: above 1 is slower than ours. Files are warm in the page cache.

{facts}
"""
_BARS: Final = ("what", "asked", "measured", "")
_QUICK: Final = "**A quick try: the sizes are a twentieth, the figures mean nothing.**\n"


def page(
    setting: Setting, command: str, facts: Sequence[tuple[str, str]], sections: Sequence[str]
) -> str:
    """Give all that was measured."""
    head = _HEAD.format(
        bars=table(_BARS, [bar.row for bar in setting.bars]),
        runs=setting.runs,
        slow_runs=min(SLOW_RUNS, setting.runs),
        slow_s=SLOW_S,
        facts="\n".join(
            f"- {name}: {value}" for name, value in [("made by", f"`{command}`"), *facts]
        ),
    )
    parts = [head, *([_QUICK] if setting.quick else []), *sections]
    return _placeless("\n".join(parts), setting.cache).replace("\n\n\n", "\n\n")


def write(file: Path, measured: str) -> None:
    """Write it; what stands below KEPT in the file stays."""
    old = file.read_text(encoding="utf-8") if file.is_file() else ""
    _, mark, kept = old.partition(KEPT)
    whole = f"{measured.rstrip()}\n\n{mark or KEPT}{kept or chr(10)}"
    file.write_text(whole, encoding="utf-8")


def _placeless(text: str, cache: Path) -> str:
    """Leave out where on this machine things lie: commands as a reader would type them."""
    folder = f"{Path(sys.executable).parent}/"
    names = {
        str(cache): "$CACHE",
        os.path.relpath(cache): "$CACHE",
        sys.executable: "python",
        folder: "",
        f"{Path.cwd()}/": "",
    }
    for place, name in names.items():
        text = text.replace(place, name)
    return text
