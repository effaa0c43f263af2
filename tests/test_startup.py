"""What a command does not load: each of these is felt at every start, or held for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"pydantic", "sigma", "asyncio", "ssl", "sqlite3", "email", "yaml"}
LOADED = """
import atexit, sys
from watcher.__main__ import main
atexit.register(lambda: print(*{name.split(".")[0] for name in sys.modules}, file=sys.stderr))
main()
"""


def loaded(tmp_path: Path, *arguments: str) -> set[str]:
    """Run a command of a user who has nothing yet; give the modules it loaded."""
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        env=os.environ | home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("cached", [False, True])
def test_a_scan_loads_little(tmp_path: Path, *, cached: bool) -> None:
    """Neither pydantic nor pySigma, not even at the first start: rules are parsed elsewhere."""
    file = tmp_path / "dmesg.txt"
    file.write_text("Lockdown: x: hibernation is restricted; see man kernel_lockdown.7\n")
    found = loaded(tmp_path, "scan", str(file))
    if cached:
        found = loaded(tmp_path, "scan", str(file))
    assert "click" in found
    assert not found & HEAVY


def test_explain_loads_little(tmp_path: Path) -> None:
    """The same of the shortest command."""
    assert not loaded(tmp_path, "explain", "hibernation") & HEAVY
