"""How this kernel stands, from files alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.parts import missing
from watcher.posture import SECURITYFS, inspect


def tree(root: Path, text: str) -> str:
    """A root with that text as its lockdown file."""
    file = root / SECURITYFS
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return str(root)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("[none] integrity confidentiality\n", "none"),
        ("none [integrity] confidentiality\n", "integrity"),
        ("none integrity [confidentiality]\n", "confidentiality"),
        ("none [integrity]\n", "integrity"),
        ("none [integrity] [confidentiality]\n", "confidentiality"),
    ],
)
def test_levels(tmp_path: Path, text: str, level: str) -> None:
    """The word in brackets counts, the highest of several; RHEL 8 has but two words."""
    assert inspect(tree(tmp_path, text)).level == level


@pytest.mark.parametrize("text", ["", "none integrity\n", "[x]\n", "\xff"])
def test_what_is_not_known_is_said(tmp_path: Path, text: str) -> None:
    """No level is made up, and the reason is told."""
    seen = inspect(tree(tmp_path, text))
    assert seen.level is None
    assert "cannot be seen" in str(seen)


def test_no_securityfs(tmp_path: Path) -> None:
    """A root without the file says so."""
    posture = inspect(str(tmp_path))
    assert "cannot be seen (/sys/kernel/security/lockdown: there is no such file)" in str(posture)


def test_a_link_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    """A copied tree's absolute link would tell of this machine."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").symlink_to("/etc/os-release")
    assert inspect(str(tmp_path)).kernel.distribution is None


def test_what_would_hang_or_flood_does_not(tmp_path: Path) -> None:
    """A FIFO is not waited for, and a huge file is read in part."""
    (tmp_path / "proc").mkdir()
    os.mkfifo(tmp_path / "proc/cmdline")
    with (tmp_path / "proc/version").open("wb") as huge:
        huge.truncate(1 << 32)
    posture = inspect(str(tmp_path))
    assert any(each.where == "/proc/cmdline" for each in posture.unseen)


def status(*args: str, wrapper: tuple[str, ...] = ()) -> dict[str, Any]:
    """What `status -o json` gives, run as a program."""
    command = [*wrapper, sys.executable, "-m", "watcher", "status", "-o", "json", *args]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_as_nobody() -> None:
    """An unprivileged user gets an answer, and is told what he cannot see."""
    if os.geteuid() != 0:
        missing("root, to become nobody")
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    found = status(wrapper=nobody)
    assert found["process"]["capabilities"] == []
    assert found["process"]["uid"] == 65534


def test_in_an_empty_tree(tmp_path: Path) -> None:
    """Nothing to read: no level is made up, and all that is unseen is named."""
    found = status("--root", str(tmp_path))
    assert found["level"] is None
    assert found["cause"] is None
    assert found["blocked"] == []
    assert {each["what"] for each in found["unseen"]} >= {"lockdown level", "kernel version"}


def test_in_an_empty_container() -> None:
    """An interpreter, an empty /proc and /sys, no kernel log: no level, and nothing made up."""
    if os.geteuid() != 0:
        missing("root, to make name spaces")
    script = (
        "mount -t tmpfs none /sys; mount -t tmpfs none /proc; mount -t tmpfs none /var/log/journal"
        ' && mount --bind /dev/null /dev/kmsg; exec "$@"'
    )
    wrapper = ("unshare", "--mount", "sh", "-c", script, "sh")
    found = status(wrapper=wrapper)
    assert found["level"] is None
    assert found["kernel"] is None


def test_nothing_is_asked_that_lockdown_would_answer(tmp_path: Path) -> None:
    """Files whose mere reading writes a denial are never opened: strace sees every open."""
    if not shutil.which("strace"):
        missing("strace")
    trace = tmp_path / "trace"
    status(wrapper=("strace", "-f", "-qq", "-e", "trace=file", "-o", str(trace)))
    opened = trace.read_text()
    assert "sys/kernel/security" in opened
    provoking = (
        "/sys/power",
        "/dev/mem",
        "/dev/port",
        "/proc/kcore",
        "/sys/kernel/debug",
        "/dev/snapshot",
    )
    assert not [each for each in provoking if f'"{each}' in opened]
