"""What a command does not load: each of these is felt at every start, or held for ever."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from watcher.cli import main as cli
from watcher.detect import judge
from watcher.lockdown import REASONS, WORDINGS
from watcher.patterns import Late
from watcher.sources.text import record_of_line

HEAVY = {"pydantic", "sigma", "asyncio", "ssl", "sqlite3", "email", "yaml"}
LOADED = """
import atexit, sys
from watcher.__main__ import main
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
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
    assert done.returncode == 0, done.stderr
    found = set(done.stderr.splitlines()[-1].split())
    assert {"click", "watcher.cli.main"} < found
    return found


def others(own: str) -> set[str]:
    """Give the modules of the commands but one."""
    return {f"watcher.cli.{name}" for name in cli.WHERE} - {f"watcher.cli.{own}"}


@pytest.mark.parametrize("cached", [False, True])
def test_a_scan_loads_little(tmp_path: Path, *, cached: bool) -> None:
    """Neither pydantic nor pySigma, not even at the first start: rules are parsed elsewhere."""
    file = tmp_path / "dmesg.txt"
    file.write_text("Lockdown: x: hibernation is restricted; see man kernel_lockdown.7\n")
    found = loaded(tmp_path, "scan", str(file))
    if cached:
        found = loaded(tmp_path, "scan", str(file))
    unused = {"convert", "config", "explain", "posture", "sources.journal", "delivery", "witness"}
    assert not found & (HEAVY | others("logs") | {f"watcher.{name}" for name in unused})


def test_a_scan_of_a_journal_reads_no_text(tmp_path: Path) -> None:
    """What takes pasted logs apart is a third of what a scan of text loads."""
    (tmp_path / "journal").mkdir()
    found = loaded(tmp_path, "scan", "--journal-dir", str(tmp_path / "journal"))
    text = {f"watcher.sources.{name}" for name in ("text", "frames", "frame_patterns", "stamps")}
    assert "watcher.sources.journal_files" in found
    assert not found & (HEAVY | text | others("logs"))


def test_a_witness_starts_the_command_first() -> None:
    """Whatever is loaded before that is time that `why -- CMD` takes from the command."""
    said = "import sys, watcher.__main__, watcher.witness; print(*sys.modules)"
    own = Path(cli.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-S", "-c", said], cwd=own, capture_output=True, text=True, check=True
    )
    found = set(done.stdout.split())
    assert "watcher.witness" in found
    assert not found & {"typing", "re", "dataclasses", "inspect", "pathlib", "contextlib"}


def test_explain_knows_a_reason_without_reading_lines(tmp_path: Path) -> None:
    """Its id is no line in any frame, and so is none of its wordings: see the next test."""
    found = loaded(tmp_path, "explain", "hibernation")
    assert not {name for name in found if name.startswith(("watcher.sources.", "watcher.rules"))}


def test_no_reason_is_a_line() -> None:
    """So `explain` may look for a reason first."""
    words = {*REASONS, *(w.text for w in WORDINGS), *(w.text.upper() for w in WORDINGS)}
    for text in words | {f"{each} is restricted" for each in words}:
        record = record_of_line(text)
        assert not record or judge(record) is None, text


def test_late_patterns_can_be_compiled() -> None:
    """All of them, wherever they are; what is late must not be wrong on somebody's machine."""
    package = Path(cli.__file__).parents[1]
    files = [file for file in package.rglob("*.py") if "import late" in file.read_text()]
    names = [".".join(file.relative_to(package.parent).with_suffix("").parts) for file in files]
    values = [value for name in names for value in vars(import_module(name)).values()]
    found = [value for value in values if isinstance(value, Late)]
    assert len(found) > 70
    assert all(isinstance(re.compile(each.pattern, each.flags), re.Pattern) for each in found)


def test_explain_loads_little(tmp_path: Path) -> None:
    """The same of the shortest command."""
    found = loaded(tmp_path, "explain", "hibernation")
    assert not found & (HEAVY | others("logs") | {"watcher.pack", "watcher.scan"})


def test_help_loads_the_commands_alone(tmp_path: Path) -> None:
    """All of them, for it says a word of each; nothing of what they do."""
    found = loaded(tmp_path, "--help")
    ours = {name.removeprefix("watcher.") for name in found if name.startswith("watcher.")}
    commands = {f"cli.{name}" for name in (*cli.WHERE, "main", "past", "terminal")}
    assert ours == commands | {"__main__", "cli", "convert", "errors", "hidden", "kinds", "sinks",
                               "sinks.plain"}  # fmt: skip


@pytest.mark.parametrize("module", cli.WHERE)
def test_a_command_is_where_it_is_looked_for(module: str) -> None:
    """What a module offers is what cli.py looks for in it, under the same name."""
    offered = import_module(f"watcher.cli.{module}").COMMANDS
    assert sorted(command.name for command in offered) == sorted(cli.WHERE[module])
    context = click.Context(cli.cli)
    for command in offered:
        assert cli.cli.get_command(context, command.name) is command
