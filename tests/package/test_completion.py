"""Completion in real shells: click writes the scripts, the packages ship them."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.package.parts import TREE, need

# How each shell starts without anybody's own settings, and how it takes a script.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source {}"),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -u -D; source {}"),
}
LINES = [
    ("lockdown-watcher exp", "lockdown-watcher explain"),
    ("lockdown-watcher explain hibern", "lockdown-watcher explain hibernation"),
    ("lockdown-watcher why hib", "lockdown-watcher why hibernation"),
    ("lockdown-watcher scan story-o", "lockdown-watcher scan story-of-a-day.txt"),
    ("lockdown-watcher daemon --config story-o", "--config story-of-a-day.txt"),
    ("lockdown-watcher scan --journal-dir some-j", "--journal-dir some-journal"),
    ("lockdown-watcher scan --fail-on crit", "--fail-on critical"),
    ("lockdown-watcher rules ch", "lockdown-watcher rules check"),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a file and a folder to complete, and lockdown-watcher on its PATH."""
    (tmp_path / "story-of-a-day.txt").touch()
    (tmp_path / "some-journal").mkdir()
    (tmp_path / "some-jottings.txt").touch()
    program = tmp_path / "bin" / "lockdown-watcher"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={TREE} exec {sys.executable} -m watcher "$@"\n')
    program.chmod(0o755)
    return tmp_path


def environment(place: Path) -> dict[str, str]:
    """A plain terminal's."""
    path = f"{place / 'bin'}:{os.environ['PATH']}"
    home = {"HOME": str(place), "XDG_CONFIG_HOME": str(place), "XDG_DATA_HOME": str(place)}
    return {"PATH": path, "TERM": "dumb", "LC_ALL": "C.UTF-8", "PS1": "> ", **home}


def script(shell: str, place: Path) -> Path:
    """The script that click writes for a shell."""
    file = place / f"completion.{shell}"
    env = {**environment(place), "_LOCKDOWN_WATCHER_COMPLETE": f"{shell}_source"}
    with file.open("w") as out:
        subprocess.run(["lockdown-watcher"], check=True, env=env, stdout=out)
    return file


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, argv: list[str], place: Path) -> None:
        self._ours, theirs = pty.openpty()
        self._shell = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=place, env=environment(place),
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def type(self, keys: str, wanted: str) -> str:
        """Press keys; give what the terminal shows, at the latest when `wanted` is there."""
        os.write(self._ours, keys.encode())
        shown, end = "", time.monotonic() + 20
        while wanted not in shown and time.monotonic() < end:
            if select.select([self._ours], [], [], 0.1)[0]:
                shown += os.read(self._ours, 65536).decode(errors="replace")
        return shown

    def close(self) -> None:
        """End the shell."""
        self._shell.kill()
        self._shell.wait()
        os.close(self._ours)


@pytest.mark.parametrize("shell", SHELLS)
def test_completes(shell: str, place: Path) -> None:
    """Commands, words, reasons, topics, files and folders are completed by a key."""
    need(shell)
    argv, take = SHELLS[shell]
    terminal = Terminal(argv, place)
    try:
        take = f"{take.format(script(shell, place))}; echo r'3'ady\n"
        assert "r3ady" in terminal.type(take, "r3ady")
        for keys, wanted in LINES:
            assert wanted in terminal.type(f"\x15{keys}\t", wanted), keys
    finally:
        terminal.close()


def test_fish(place: Path) -> None:
    """fish offers the same. It is asked, for it also draws what nobody has pressed a key for."""
    need("fish")
    for keys, wanted in LINES:
        ask = f"source {script('fish', place)}; complete -C {keys!r}"
        fish = ["fish", "--no-config", "-c", ask]
        run = subprocess.run(
            fish, check=True, cwd=place, env=environment(place), capture_output=True, text=True
        )
        offered = [line.split("\t")[0].removesuffix("/") for line in run.stdout.splitlines()]
        assert offered == [wanted.split()[-1]], keys
