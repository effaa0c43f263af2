"""README.md: nothing in it that a test has not run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from docs.man.commands import commands
from watcher.cli.main import cli

TREE = Path(__file__).parents[1]
README = (TREE / "README.md").read_text()
BLOCKS = [
    block for block in re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", README, re.MULTILINE)
    if re.match(r"    (?:make|apt|python3|lockdown-watcher|journalctl) ", block)
]  # fmt: skip
COMMANDS = [
    line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()
]
# What needs a machine of its own, and the test that has one.
ELSEWHERE = {
    "make run": "tests/package/test_newcomer.py",
    "make deb SUITE=bookworm": "tests/package/test_deb.py",
    "apt install ./dist/lockdown-watcher_*_amd64.deb": "tests/package/test_deb.py",
    "python3 -m venv /opt/lockdown-watcher": "tests/lab/full_image.py",
    "/opt/lockdown-watcher/bin/pip install '.[siem]'": "tests/lab/full_image.py",
    "/opt/lockdown-watcher/bin/lockdown-watcher units install": "tests/test_units.py",
    "systemctl daemon-reload && journalctl --update-catalog": "tests/lab/test_service.py",
    "systemctl enable --now lockdown-watcher": "tests/lab/test_service.py",
}
# 1: something grave was found; 3: this machine has no journal to read.
STATUS = {"lockdown-watcher scan --since yesterday --fail-on high": {0, 1, 3}}


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run a line as a reader would, with this tree's program."""
    program = f"{shlex.quote(sys.executable)} -m watcher"
    line = re.sub(r"\blockdown-watcher\b", lambda _: program, command)
    return subprocess.run(
        ["bash", "-c", line], cwd=TREE, capture_output=True, text=True, check=False, timeout=100
    )


def test_found() -> None:
    """The page has commands, and this test knows no other ones than the page has."""
    assert {"make run", "make demo"} < set(COMMANDS)
    assert set(ELSEWHERE) <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str) -> None:
    """A command of the page runs: here, or in the test that is named."""
    if command in ELSEWHERE:
        assert (TREE / ELSEWHERE[command]).is_file()
        return
    if command == "make demo":  # what make runs, without setting a checkout up anew
        makefile = (TREE / "Makefile").read_text()
        story = re.search(r"^STORY := (.*)$", makefile, re.MULTILINE)
        assert story
        command = f"lockdown-watcher {story[1]}"
    run = shell(command)
    assert run.returncode in STATUS.get(command, {0}), run.stderr
    assert "Traceback" not in run.stderr


def test_example() -> None:
    """The line that the page begins with becomes what the page says."""
    line = re.search(r"^    (\[ +2\.198433\] .*)$", README, re.MULTILINE)
    told = re.search(
        r"^    (2\.2 s after boot .*)\n        (.*)\n        (.*)\n", README, re.MULTILINE
    )
    assert line
    assert told
    run = shell(f"printf '%s\\n' {shlex.quote(line[1])} | lockdown-watcher scan -o human -v -")
    said = " ".join(run.stdout.split())
    for part in told.groups():
        assert " ".join(part.split()) in said


def test_words() -> None:
    """Every command and option in the table is one of the program's."""
    for words in re.findall(r"`lockdown-watcher ([a-z]+)", README):
        assert words in cli.list_commands(click.Context(cli)), words
    table = re.search(r"\| command \|.*?\n\n", README, re.DOTALL)
    assert table
    for name in re.findall(r"(?<![-\w])--[a-z][a-z-]*", table[0]):
        options = {o for _, command in commands() for p in command.params for o in p.opts}
        assert name in options, name


def test_links() -> None:
    """What the page links to in this tree is there."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (TREE / target).exists(), target
