"""The store's file as a file: out of the way when damaged, and one daemon's at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from watcher.errors import StoreError


def set_aside(path: Path) -> str:
    """Move a damaged file out of the way, its log with it; give where it went."""
    number = 1
    while (target := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
    return str(target)


def locked(folder: Path) -> int:
    """Make sure that no other daemon writes here; the lock goes with the process."""
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StoreError(f"{folder}: cannot keep a store here: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        other = os.pread(lock, 20, 0).decode(errors="replace").strip()
        os.close(lock)
        raise StoreError(f"{folder}: another daemon (pid {other}) keeps its store here") from None
    # In place and always as long: on a full disk a new block is not to be had.
    os.pwrite(lock, f"{os.getpid():<20}\n".encode(), 0)
    return lock
