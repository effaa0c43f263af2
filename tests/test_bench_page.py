"""The page of measurements (tests/bench/page.py)."""

from __future__ import annotations

from pathlib import Path

from tests.bench.page import KEPT, page, write
from tests.bench.peers import Peers
from tests.bench.setting import Setting

PAGE = Path(__file__).parents[1] / "docs/bench.md"


def test_what_is_kept_by_hand_outlives_a_measurement(tmp_path: Path) -> None:
    """`make bench` writes the whole page and leaves what stands below the mark."""
    file = tmp_path / "bench.md"
    write(file, "# First\n")
    file.write_text(f"{file.read_text()}\n## By hand\n")
    write(file, "# Second\n")
    assert file.read_text() == f"# Second\n\n{KEPT}\n\n## By hand\n"


def test_the_page_in_the_repository_has_its_mark() -> None:
    """Without it the next measurement would wipe what was written by hand."""
    assert PAGE.read_text().count(KEPT) == 1


def test_bars_come_first_and_say_which_was_missed(tmp_path: Path) -> None:
    """Nobody has to look for what fell short."""
    setting = Setting(tmp_path, Peers(tmp_path), 5, 1)
    setting.at_most("scan against grep", 1.21, 1)
    setting.at_least("jq against scan", 10.0, 10)
    text = page(setting, "make bench", [("date", "today")], [f"## A\n\nscan {tmp_path}/x\n"])
    assert "| scan against grep | at most 1 | 1.21 | **missed** |" in text
    assert "| jq against scan | at least 10 | 10.0 | met |" in text
    assert text.index("missed") < text.index("today") < text.index("scan $CACHE/x")
