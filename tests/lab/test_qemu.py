"""A guest that goes wrong ends its test in time, says its last words, and leaves nothing behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.lab.initrd import cpio
from tests.lab.kernels import Kernel, kernel
from tests.lab.parts import need_lab
from tests.lab.qemu import Guest, GuestFailed
from tests.lab.small_root import initramfs, program

pytestmark = pytest.mark.timeout(900)

MOUNTS: Final = Path("/proc/self/mountinfo")


@pytest.fixture(scope="module")
def debian() -> Kernel:
    """Bookworm's kernel."""
    need_lab()
    return kernel("bookworm-6.1")


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """A guest's folder; afterwards nothing may run that names it, and nothing be mounted."""
    before = MOUNTS.read_text()
    yield tmp_path
    assert running(tmp_path) == []
    assert MOUNTS.read_text() == before


def running(folder: Path) -> list[str]:
    """The command lines of all processes that name `folder`."""
    lines = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [line for line in lines if str(folder) in line]


def test_a_guest_that_hangs(debian: Kernel, work: Path) -> None:
    """Whoever waits for one that says nothing more gets its last lines, at the time set."""
    initrd = initramfs(debian, ["hang"], work / "initrd")
    with Guest(debian.vmlinuz, initrd, "lab.guest quiet", work=work) as guest:
        guest.wait_for("lab: hang", 60)
        started = time.monotonic()
        with pytest.raises(GuestFailed, match=r"its time is over\n(.*\n)*lab: hang"):
            guest.wait_end(2)
        assert 2 <= time.monotonic() - started < 4


def test_a_guest_beyond_its_deadline(debian: Kernel, work: Path) -> None:
    """However long the waits are that were asked for, all of it ends at the deadline."""
    initrd = initramfs(debian, ["hang"], work / "initrd")
    started = time.monotonic()
    with (
        Guest(debian.vmlinuz, initrd, "lab.guest quiet", work=work, deadline_s=3) as guest,
        pytest.raises(GuestFailed, match="its time is over"),
    ):
        guest.wait_for("no guest says this", 600)
    assert time.monotonic() - started < 6


def test_a_guest_that_panics(debian: Kernel, work: Path) -> None:
    """A kernel that finds no init panics: that ends every wait at once, and is told."""
    initrd = work / "initrd"
    initrd.write_bytes(cpio({}))
    with (
        Guest(debian.vmlinuz, initrd, "", work=work) as guest,
        pytest.raises(GuestFailed, match="panic - not syncing: VFS: Unable to mount root fs"),
    ):
        guest.read_line(60)


def test_a_guest_without_kernel(work: Path) -> None:
    """QEMU's own complaint is the last word of a guest that never ran."""
    need_lab()
    with (
        Guest(work / "none", work / "none", "", work=work) as guest,
        pytest.raises(GuestFailed, match=r"QEMU has ended\n(.*\n)*.*could not open kernel file"),
    ):
        guest.wait_for("Linux version", 60)


def test_nothing_is_provoked_here() -> None:
    """The program that provokes runs in a guest of the lab alone: on this machine it refuses."""
    need_lab()
    done = subprocess.run([program()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "it would harm this machine" in done.stderr


BEGUN: Final = """
import sys
from pathlib import Path
from tests.lab.qemu import Guest
vmlinuz, initrd, work = map(Path, sys.argv[1:])
with Guest(vmlinuz, initrd, "lab.guest quiet", work=work) as guest:
    guest.wait_for("lab: hang", 60)
    print(guest.pid, flush=True)
    guest.wait_end(600)
"""


def test_a_guest_dies_with_whoever_started_it(debian: Kernel, work: Path) -> None:
    """Killed outright, Python cannot clean up: QEMU ends all the same."""
    initrd = initramfs(debian, ["hang"], work / "initrd")
    argv = [sys.executable, "-c", BEGUN, *map(str, (debian.vmlinuz, initrd, work))]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as python:
        assert python.stdout
        guest = os.pidfd_open(int(python.stdout.readline()))
        python.send_signal(signal.SIGKILL)
    ended, _, _ = select.select([guest], [], [], 10)
    os.close(guest)
    assert ended
