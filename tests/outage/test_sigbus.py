"""A journal file that cannot be read without dying (SIGBUS): three deaths, then it is left out."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.real import START_US, build, line, lockdown_line, need_root
from tests.outage.parts import Daemon, until
from watcher.daemon.faults import TIMES
from watcher.host import now_us

PAGE = 4096


@contextlib.contextmanager
def failing_disk(folder: Path) -> Iterator[Path]:
    """Give a file system whose holes cannot be read: a full tmpfs has no page for them."""
    need_root()
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> None:
    """Leave no room at all."""
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(b"\1" * PAGE)


def punch(file: Path, first: int, length: int) -> None:
    """Make a hole, as a disk that has lost these bytes."""
    where = ("--offset", str(first), "--length", str(length))
    subprocess.run(["fallocate", "--punch-hole", *where, file], check=True)


@pytest.mark.timeout(120)
def test_a_file_that_kills_is_left_out(tmp_path: Path) -> None:
    """The daemon dies three times of it, says so at each start, and then reads the others."""
    at_us = now_us() - START_US - 60_000_000
    with failing_disk(tmp_path / "remote") as folder:
        many = (line(lockdown_line(f"a{n}"), at_us + n) for n in range(600))
        bad = build(folder / "remote-a.journal", many)
        build(folder / "remote-b.journal", [line(lockdown_line("b1"), at_us + 5_000_000)])
        punch(bad, 60 * PAGE, 8 * PAGE)  # of 73 that hold something
        fill(folder)
        with Daemon(tmp_path, f'[source]\njournal_dir = "{folder}"\n') as daemon:
            for death in range(TIMES):
                assert daemon.wait(20) == -signal.SIGBUS, daemon.log.read_text()
                if death:
                    assert "Bus error" in daemon.log.read_text()
                daemon.start()
            until(lambda: daemon.recorded("b1:"), "the other file", why=daemon.log.read_text)
            until(lambda: "is left out" in daemon.log.read_text(), "the word about it")
            assert any("is left out" in gap for gap in daemon.gaps())
            assert daemon.stop() < 5
