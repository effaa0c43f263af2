"""What the daemon remembers of its deaths: real ones, a full disk, files it may not open."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import missing
from watcher.daemon.faults import TIMES, Faults
from watcher.errors import StoreError

DIES = """
import os, signal, sys
from pathlib import Path
from watcher.daemon.faults import Faults
faults = Faults(Path(sys.argv[1]))
faults.reading("journal")
if sys.argv[2] == "later":
    faults.well("journal")
os.kill(os.getpid(), signal.SIGBUS)
"""


def die(folder: Path, when: str) -> None:
    """Die of SIGBUS while the journal is read, or later."""
    done = subprocess.run([sys.executable, "-c", DIES, folder, when], check=False)
    assert done.returncode == -signal.SIGBUS


def looked(folder: Path) -> tuple[object, set[str]]:
    """Give what the next start knows."""
    with contextlib.closing(Faults(folder)) as faults:
        return faults.last, faults.given_up()


@contextlib.contextmanager
def full_disk(folder: Path) -> Iterator[Path]:
    """Give a folder of a small ext4 on which, once `fill` was called, not a block is free."""
    if os.geteuid() != 0:
        missing("root")
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(4 << 20)
    (folder / "disk").mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", image, folder / "disk"], check=False)
    if mounted.returncode:
        missing("a loop device")
    try:
        yield folder / "disk"
    finally:
        subprocess.run(["umount", folder / "disk"], check=True)


def fill(disk: Path) -> None:
    """Leave no room."""
    for size in (4096, 512):
        with contextlib.suppress(OSError), (disk / "ballast").open("ab", buffering=0) as ballast:
            while True:
                ballast.write(b"x" * size)
        os.sync()


def test_a_death_is_counted_by_what_was_read(tmp_path: Path) -> None:
    """Three in a row give a log up; one is told, once."""
    for death in range(TIMES):
        die(tmp_path, "meanwhile")
        last, given_up = looked(tmp_path)
        assert last == ("journal", "Bus error")
        assert given_up == ({"journal"} if death == TIMES - 1 else set())
    assert looked(tmp_path) == (None, {"journal"})


def test_a_death_after_reading_gives_nothing_up(tmp_path: Path) -> None:
    """What kills in the store or a sink has nothing to do with the log read last."""
    for _ in range(TIMES):
        die(tmp_path, "later")
        assert looked(tmp_path) == ((None, "Bus error"), set())


def test_deaths_are_counted_on_a_full_disk(tmp_path: Path) -> None:
    """All that is written is written in place."""
    with full_disk(tmp_path) as disk:
        die(disk, "meanwhile")
        looked(disk)
        fill(disk)
        for _ in range(TIMES - 1):
            die(disk, "meanwhile")
            assert looked(disk)[0] == ("journal", "Bus error")
        assert looked(disk)[1] == {"journal"}


def test_a_disk_full_from_the_start_is_no_reason_to_stop(tmp_path: Path) -> None:
    """Then nothing is counted, and all is read."""
    with full_disk(tmp_path) as disk:
        fill(disk)
        with contextlib.closing(Faults(disk)) as faults:
            faults.reading("journal")
            faults.well("journal")


@pytest.mark.parametrize("name", ["fault", "reading", "faults.json"])
def test_a_file_that_may_not_be_opened_is_named(tmp_path: Path, name: str) -> None:
    """In one line, whoever it belongs to."""
    (tmp_path / name).mkdir()
    with pytest.raises(StoreError, match=f"{name}: cannot be opened: Is a directory"):
        Faults(tmp_path)


@pytest.mark.parametrize("text", ["", "x", "[]", '{"journal": null}', "\xff", "{" * 5000])
def test_odd_counts_are_none(tmp_path: Path, text: str) -> None:
    """Whoever edited it."""
    (tmp_path / "faults.json").write_text(text)
    assert looked(tmp_path) == (None, set())


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    """The others stay; the file is JSON for people to read and remove."""
    counts = {"journal a": TIMES, "journal b": TIMES, "journal c": 1}
    (tmp_path / "faults.json").write_text(json.dumps(counts))
    with contextlib.closing(Faults(tmp_path)) as faults:
        faults.forget({"journal a", "journal x"})
    assert looked(tmp_path) == (None, {"journal b"})
    left = json.loads((tmp_path / "faults.json").read_text())
    assert left == {"journal b": TIMES, "journal c": 1}
