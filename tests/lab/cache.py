"""What the lab keeps under .lab: things made once, and folders that are gone after their use."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LAB: Final = Path(__file__).parents[2] / ".lab"


@contextmanager
def once(home: Path) -> Iterator[Path | None]:
    """Give a folder to fill, that becomes `home` when all went well; None if `home` is there.

    Whoever comes second waits, also from another process. What failed leaves nothing.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name(f".{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.is_dir():
            yield None
            return
        part = home.with_name(f".{home.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        part.rename(home)


def forget(folder: Path, stem: str) -> None:
    """Remove what `once` made of that stem, whole or not, except what is being made now."""
    for lock in folder.glob(f".{stem}-*.lock"):
        with lock.open() as held:
            if _free(held.fileno()):
                shutil.rmtree(lock.with_suffix(".part"), ignore_errors=True)
                shutil.rmtree(folder / lock.stem.removeprefix("."), ignore_errors=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder of one's own, gone afterwards; what killed runs have left goes first."""
    home = LAB / "tmp"
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _sweep(home)
        folder = Path(tempfile.mkdtemp(dir=home))
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)  # for as long as it is in use
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _sweep(home: Path) -> None:
    for left in home.glob("*/"):
        fd = os.open(left, os.O_RDONLY)
        if _free(fd):
            shutil.rmtree(left, ignore_errors=True)
        os.close(fd)


def _free(fd: int) -> bool:
    """Tell whether nobody holds the lock on this file, not even we by another descriptor."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
