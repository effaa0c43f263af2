"""`boots`: one row a boot of a real journal file, and what changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.journal.real import BOOTED_US, START_US, Entry, build, line
from watcher.boots import boots

TREE: Final = Path(__file__).parents[1]
DAY: Final = 86_400_000_000
DEBIAN: Final = (
    "Linux version 6.1.0-{} (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0)) #1 SMP"
)
LOCKED: Final = "Kernel is locked down from EFI Secure Boot; see man kernel_lockdown.7"
SECURE: Final = "secureboot: Secure boot {}"
HOSTILE: Final = "Lockdown: <script>\x1b[2J: hibernation is restricted; see man kernel_lockdown.7"


def boot_id(number: int) -> str:
    """The id of a boot."""
    return f"{number:032x}"


def lines(number: int, *texts: str, at_start: bool = True) -> list[Entry]:
    """The kernel lines of one boot, a day after the one before; the first of them at time 0."""
    found = []
    for index, text in enumerate(texts):
        at = number * DAY + index * 1000
        late = START_US + at - BOOTED_US if at_start else 0
        found.append(line(text, at, boot=boot_id(number + 1), late_us=late))
    return found


@pytest.fixture
def journal(tmp_path: Path) -> str:
    """Six boots: locked, the same, without Secure Boot, confidential, lifted on Fedora, cut."""
    fedora = "Linux version 5.2.15-200.fc30.x86_64 (mockbuild@bkernel04.phx2.fedoraproject.org) #1"
    from_fedora = "Kernel is locked down from EFI secure boot; see man kernel_lockdown.7"
    entries = [
        *lines(0, DEBIAN.format("25-amd64"), LOCKED, SECURE.format("enabled"), HOSTILE),
        *lines(1, DEBIAN.format("25-amd64"), LOCKED, SECURE.format("enabled"), HOSTILE, HOSTILE),
        *lines(2, DEBIAN.format("26-amd64"), SECURE.format("disabled")),
        *lines(3, DEBIAN.format("26-amd64"), "Command line: ro lockdown=confidentiality pw=hunter2",
               "Kernel is locked down from command line; see man kernel_lockdown.7",
               "Lockdown: bpftrace: use of bpf to read kernel RAM is restricted; see man"
               " kernel_lockdown.7", "lockdown_is_locked_down: 51 callbacks suppressed"),
        *lines(4, fedora, from_fedora, "Lifting lockdown"),
        *lines(5, "Lockdown: dd: /dev/mem,kmem,port is restricted; see man kernel_lockdown.7",
               at_start=False),
    ]  # fmt: skip
    build(tmp_path / "a.journal", entries)
    return str(tmp_path)


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """Run `boots` as a program."""
    return subprocess.run(
        [sys.executable, "-m", "watcher", "boots", *args],
        env=os.environ | {"PYTHONPATH": str(TREE)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_each_boot_has_its_row(journal: str) -> None:
    """Kernel, level, cause, Secure Boot and counts, from the lines of that boot alone."""
    rows = boots(journal)
    assert [row.id for row in rows] == [boot_id(n) for n in range(1, 7)]
    assert [row.level for row in rows] == [
        "integrity", "integrity", "none", "confidentiality", "none", "integrity",
    ]  # fmt: skip
    assert [row.cause for row in rows] == [
        "efi_secure_boot", "efi_secure_boot", None, "command_line", None, None,
    ]  # fmt: skip
    assert [row.secure_boot for row in rows][:4] == ["enabled", "enabled", "disabled", None]
    assert rows[1].log.reasons == {"hibernation": 2}
    assert rows[3].log.suppressed == 51
    assert rows[4].log.lifted


def test_what_changed_stands_out(journal: str) -> None:
    """Nothing to say of a boot like the one before; a boot without Secure Boot is called out."""
    changes = [row.changes for row in boots(journal)]
    assert changes[:2] == [(), ()]
    assert changes[2][0] == "booted without Secure Boot, unlike before"
    assert "lockdown level none, before integrity" in changes[2]
    assert "lockdown was lifted at run time" in changes[4]


def test_a_boot_whose_beginning_is_gone_says_so(journal: str) -> None:
    """Vacuumed: what is left proves a level, but not that there was no announcement."""
    last = boots(journal)[-1]
    assert not last.log.complete
    assert (
        "its beginning is not in the journal" in run("--journal-dir", journal, "-o", "human").stdout
    )


def test_hostile_names_stay_text(journal: str) -> None:
    """No escape sequence reaches the terminal, no secret of the command line any output."""
    for output in ("human", "json"):
        text = run("--journal-dir", journal, "-o", output).stdout
        assert "\x1b" not in text
        assert "hunter2" not in text


def test_json_is_a_line_a_boot(journal: str) -> None:
    """For fleets."""
    found: list[dict[str, Any]] = [
        json.loads(each) for each in run("--journal-dir", journal, "-o", "json").stdout.splitlines()
    ]
    assert [each["denials"] for each in found][-1] == {"dev_mem": 1}
    assert found[2]["changes"]


def test_no_journal_is_told_in_one_line(tmp_path: Path) -> None:
    """Status 1 for none there, 3 for none readable."""
    done = run("--journal-dir", str(tmp_path))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert run("--journal-dir", str(tmp_path / "absent")).returncode == 3
