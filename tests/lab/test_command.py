"""What builds the lab ends in time and with whoever started it, and leaves nothing half made."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from tests.lab import cache
from tests.lab.cache import forget, once, scratch
from tests.lab.command import LabError, bound, run

BEGUN: Final = """
import sys
from tests.lab.command import run
run("sh", "-c", 'echo $$ > "$0.part" && mv "$0.part" "$0" && exec sleep 600', sys.argv[1])
"""
LATE: Final = """
import os, sys
from tests.lab.command import bound
argv = bound("touch", sys.argv[1])
argv[argv.index(str(os.getpid()))] = "1"  # as if whoever started it had gone meanwhile
os.execvp(argv[0], argv)
"""


def pid_in(file: Path) -> int:
    """Wait until a process has written its number, and give it."""
    until = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    return int(file.read_text())


def ends(process: int) -> bool:
    """Wait until a process is no more, 10 s at most."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    ended, _, _ = select.select([handle], [], [], 10)
    os.close(handle)
    return bool(ended)


def test_a_tool_dies_with_whoever_started_it(tmp_path: Path) -> None:
    """Killed outright, Python cannot clean up: what it had started ends all the same."""
    with subprocess.Popen([sys.executable, "-c", BEGUN, tmp_path / "pid"]) as python:
        tool = pid_in(tmp_path / "pid")
        python.send_signal(signal.SIGKILL)
    assert ends(tool)


def test_a_tool_whose_starter_is_gone_does_not_begin(tmp_path: Path) -> None:
    """Between fork and prctl there is a moment in which the starter's end goes unnoticed."""
    done = subprocess.run([sys.executable, "-c", LATE, tmp_path / "made"], check=False)
    assert done.returncode == 1
    assert not (tmp_path / "made").exists()
    subprocess.run(bound("touch", tmp_path / "made"), check=True)
    assert (tmp_path / "made").exists()


def test_a_tool_that_hangs_is_ended_with_all_its_children(tmp_path: Path) -> None:
    """Its time is over: it is killed, and so is what it has started."""
    command = 'sleep 600 & echo $! > "$0.part" && mv "$0.part" "$0"; wait'
    started = time.monotonic()
    with pytest.raises(LabError, match="not done after 2 s"):
        run("sh", "-c", command, tmp_path / "pid", timeout_s=2)
    assert time.monotonic() - started < 5
    assert ends(pid_in(tmp_path / "pid"))


def test_a_tool_that_fails_says_why() -> None:
    """The status and the end of what it said are in the error."""
    with pytest.raises(LabError, match="sh: status 7: no such luck"):
        run("sh", "-c", "echo no such luck >&2; exit 7")
    assert run("echo", "a", "b") == "a b\n"


def test_what_failed_leaves_nothing(tmp_path: Path) -> None:
    """A disk that was full is not still full at the next try."""
    home = tmp_path / "thing-1"
    with pytest.raises(LabError), once(home) as part:
        run("sh", "-c", 'echo half > "$0/disk"; exit 1', part or "")
    assert [file.name for file in tmp_path.iterdir()] == [".thing-1.lock"]


def test_what_is_old_is_forgotten(tmp_path: Path) -> None:
    """Finished things of one stem go, and what a killed run left of others; ours stays."""
    with once(tmp_path / "thing-1"):
        pass
    with once(tmp_path / "other-1"):
        pass
    (tmp_path / ".thing-2.lock").touch()
    (tmp_path / ".thing-2.part").mkdir()
    with once(tmp_path / "thing-3"):
        forget(tmp_path, "thing")
    left = sorted(file.name for file in tmp_path.iterdir() if file.is_dir())
    assert left == ["other-1", "thing-3"]


def test_scratch_folders_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in use stays, its own is gone in the end, and what a killed run left goes first."""
    monkeypatch.setattr(cache, "LAB", tmp_path)
    killed = tmp_path / "tmp" / "killed"
    killed.mkdir(parents=True)
    with scratch() as first:
        assert not killed.exists()
        with scratch() as second:
            assert first.is_dir()
            assert second.is_dir()
    assert [file.name for file in (tmp_path / "tmp").iterdir()] == [".lock"]
