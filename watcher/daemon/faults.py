"""What this program died of while it read a log: SIGBUS, SIGSEGV, or SIGABRT by the watchdog.

libsystemd reads journal files through memory, so a failing disk, or before 255 a file cut short
under it, is a signal that kills (systemd PR 29456). faulthandler notes it from inside the signal;
an ordinary kill leaves nothing.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final, Self

from watcher.errors import StoreError

TIMES: Final = 3
"""A log that was being read at so many deaths in a row is not read that way again."""
_BLOCK: Final = 4096
_KEPT: Final = 64
"""Logs that are counted: as many as a block holds."""


class Faults:
    """Counts deaths by the log that was being read; kept in `folder`, beside the store.

    `last` is what was read at the last death (None: no log) and what it died of; None if it did
    not die. Raises StoreError.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "faults.json"
        with contextlib.ExitStack() as opened:
            kept, self._fault, self._reading = (
                opened.enter_context(_Block(folder / name))
                for name in (self.path.name, "fault", "reading")
            )
            self._kept, self._counts = kept, _counts(kept.text())
            self.last = self._died()
            faulthandler.enable(self._fault.fd)
            self._opened = opened.pop_all()

    def _died(self) -> tuple[str | None, str] | None:
        """Take note of the last death: the log that was read, and what it was."""
        said = self._fault.text().partition("\n")[0].strip()
        self._fault.write("")
        if not said:
            return None
        if name := self._reading.text():
            self._counts[name] = self._counts.get(name, 0) + 1
            self._keep()
        return name or None, said.removeprefix("Fatal Python error: ")

    def reading(self, name: str) -> None:
        """Take note that `name` is about to be read."""
        self._reading.write(name)

    def well(self, name: str) -> None:
        """Take note that all of `name` was read: what kills from now on is something else."""
        self._reading.write("")
        self.forget((name,))

    def given_up(self) -> set[str]:
        """Give the logs at which it died too often."""
        return {name for name, count in self._counts.items() if count >= TIMES}

    def counted(self) -> set[str]:
        """Give the logs at which it died at all."""
        return set(self._counts)

    def forget(self, names: Collection[str]) -> None:
        """Forget the deaths at these."""
        if gone := self._counts.keys() & set(names):
            for name in gone:
                del self._counts[name]
            self._keep()

    def _keep(self) -> None:
        self._counts = dict(list(self._counts.items())[-_KEPT:])
        self._kept.write(json.dumps(self._counts))

    def close(self) -> None:
        """Stop taking notes."""
        faulthandler.disable()
        self._opened.close()


class _Block:
    """A text in one block of a file, written in place: a full disk has the room already."""

    def __init__(self, path: Path) -> None:
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def text(self) -> str:
        with contextlib.suppress(OSError):
            return os.pread(self.fd, _BLOCK, 0).decode(errors="replace").strip(" \n\0")
        return ""

    def write(self, text: str) -> None:
        # New, or on a file system that copies what is written, it may fail after all: then a
        # death is not counted, which is no reason to read nothing.
        with contextlib.suppress(OSError):
            os.pwrite(self.fd, text.encode().ljust(_BLOCK), 0)


def _counts(text: str) -> dict[str, int]:
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return {str(name): int(count) for name, count in json.loads(text).items()}
    return {}
