"""docs/rules.md: every rule in it loads, every command in it prints what it shows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from tests.journal.real import BOOT, MACHINE, Entry, build
from watcher.convert import TARGETS

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = (ROOT / "docs/rules.md").read_text("utf-8")
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS: Final = BLOCK.findall(PAGE)
COMMANDS: Final = [
    command for kind, text in BLOCKS if kind == "console"
    for command in re.findall(r"^\$ lockdown-watcher (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
]  # fmt: skip
ELSEWHERE: Final = [each for each in COMMANDS if each[0].startswith("rules convert ")]
"""Needs a converter: tests/agreement/test_converted.py."""
HERE: Final = [each for each in COMMANDS if each not in ELSEWHERE]

SAID: Final = (
    (21, "sshd-session", "Accepted password for root from 192.0.2.7 port 50022 ssh2"),
    (21, "sshd-session", "Accepted publickey for root from 192.0.2.7 port 50022 ssh2"),
    (21, "sudo", "alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls"),
    (22, "sudo", "mallory : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh"),
    (22, "editor", "Accepted password for root from 192.0.2.7 port 50022 ssh2"),
    (23, "sshd-session", "Accepted password for root from 192.0.2.9 port 50023 ssh2"),
    (23, "sshd", "Server listening on 0.0.0.0 port 22."),
)
"""The past of the page's machine: day of November 2026, who, what."""


def past() -> list[Entry]:
    """The entries of the page's machine."""
    entries: list[Entry] = []
    for day, who, text in SAID:
        at_us = int(datetime(2026, 11, day, 4, 3, tzinfo=UTC).timestamp() * 1e6)
        entries.append(
            [
                ("__REALTIME_TIMESTAMP", str(at_us)),
                ("__MONOTONIC_TIMESTAMP", str(day * 86_400_000_000)),
                ("_BOOT_ID", BOOT),
                ("_MACHINE_ID", MACHINE),
                ("_HOSTNAME", "web1"),
                ("_TRANSPORT", "syslog"),
                ("SYSLOG_IDENTIFIER", who),
                ("MESSAGE", text),
            ]
        )
    return entries


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files, and its journal."""
    folder = tmp_path_factory.mktemp("page")
    for _, text in BLOCKS:
        if text.startswith("# ") and (name := text.partition("\n")[0].removeprefix("# ")):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, "utf-8")
    (folder / "journal").mkdir()
    build(folder / "journal/system.journal", past())
    return folder


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the page there: its journal for the machine's, its config for the user's."""
    arguments = shlex.split(command)
    if arguments[0] == "scan" or arguments[:2] == ["rules", "test"]:
        arguments += ["--journal-dir", "journal"]
    if "check" not in arguments:
        arguments += ["-o", "human"]
    return subprocess.run(
        [sys.executable, "-m", "watcher", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TZ": "UTC", "COLUMNS": "200",
                          "LOCKDOWN_WATCHER_CONFIG": "config.toml"},
    )  # fmt: skip


def test_the_page_shows_commands() -> None:
    """The patterns above find them."""
    assert len(COMMANDS) == 9
    assert sum(kind == "yaml" for kind, _ in BLOCKS) == 6


@pytest.mark.parametrize(("command", "shown"), HERE)
def test_commands_print_what_the_page_shows(machine: Path, command: str, shown: str) -> None:
    """To the letter, on the page's machine."""
    done = run(machine, command)
    assert done.stdout == shown
    assert done.returncode == 0


def test_all_rules_of_the_page_load(machine: Path) -> None:
    """Those of the page's own folder, with the shipped ones they change."""
    shutil.copytree(machine / "rules", machine / "all", dirs_exist_ok=True)
    for file in (ROOT / "rules").glob("*.yml"):
        shutil.copy(file, machine / "all" / f"0_{file.name}")
    done = run(machine, "rules check all")
    count = len(list((ROOT / "rules").glob("*.yml")))
    assert done.stdout == f"{count + 2} rules, 0 faults\n"


def test_where_converters_are_missing() -> None:
    """The page names the package that was tried."""
    assert f"pip install {TARGETS['splunk'].install}`" in PAGE
