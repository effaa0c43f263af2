"""What the package has ready: a start with the shipped rules alone parses nothing.

REFRESH=1 rewrites rules/compiled.json; look at the diff before you commit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.parts import asked
from watcher import pack as packs
from watcher.rule_check import check

ROOT = Path(__file__).parent.parent


def test_it_is_current() -> None:
    """rules/compiled.json is what comes of rules/*.yml and this code."""
    texts, unread = packs.read_texts([packs.shipped()])
    assert unread == []
    made, file = packs.made_of(texts), packs.shipped() / packs.COMPILED
    if asked("REFRESH"):
        file.write_text(made, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == made, "run REFRESH=1 pytest tests/test_shipped.py"
    # Not equal as objects only: a tuple would be a list, once read.
    assert packs.made_before(texts) == json.loads(json.dumps(check(texts)[0]))


def test_a_changed_rule_counts() -> None:
    """A rule that a packager edited, added or took away is parsed; a user's own too."""
    texts, _ = packs.read_texts([packs.shipped()])
    first = next(iter(texts))
    assert packs.made_before(texts)
    assert not packs.made_before({**texts, first: texts[first] + "\n"})
    assert not packs.made_before({**texts, "/etc/lockdown-watcher/rules/mine.yml": ""})
    assert not packs.made_before({name: each for name, each in texts.items() if name != first})


LOADED = """
import atexit, os, sys
os.fork = lambda: sys.exit("it parses")
from watcher.__main__ import main
atexit.register(lambda: print(*{name.split(".")[0] for name in sys.modules}, file=sys.stderr))
main()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as pip lays it out, below a folder that cannot be written."""
    from hatchling.build import build_wheel

    folder = tmp_path_factory.mktemp("wheel")
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        wheel = folder / build_wheel(str(folder))
    finally:
        os.chdir(before)
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_an_installed_start_parses_nothing(installed: Path, tmp_path: Path) -> None:
    """From the wheel, with a home where nothing can be kept: no pySigma, no yaml, no child."""
    file = tmp_path / "dmesg.txt"
    file.write_text("Lockdown: x: hibernation is restricted; see man kernel_lockdown.7\n")
    home = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), "/proc/1")
    kept = {name: value for name, value in os.environ.items() if name != "CACHE_DIRECTORY"}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, "scan", str(file)],
        env={**kept, **home, "PYTHONPATH": str(installed)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kind"] == "lockdown.denied"
    loaded = set(done.stderr.splitlines()[-1].split())
    assert not loaded & {"sigma", "yaml", "pyparsing"}
    assert (installed / "watcher" / "shipped_rules" / packs.COMPILED).exists()
