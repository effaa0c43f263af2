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
from pathlib import Path
from typing import Final

TIMES: Final = 3
"""A log that was being read at so many deaths in a row is not read that way again."""


class Faults:
    """Counts deaths by the log that was being read; kept in `folder`, beside the store."""

    def __init__(self, folder: Path) -> None:
        self._counts_file = folder / "faults.json"
        self._counts = _counts(self._counts_file)
        self._fault = (folder / "fault").open("a+b", buffering=0)
        self._reading = os.open(folder / "reading", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.last = self._died()
        faulthandler.enable(self._fault.fileno())

    def _died(self) -> tuple[str, str] | None:
        """Take note of the last death: the log that was read, and what it was."""
        self._fault.seek(0)
        said = self._fault.readline(200).decode(errors="replace").strip()
        self._fault.truncate(0)
        if not said:
            return None
        name = os.pread(self._reading, 200, 0).decode(errors="replace").strip()
        self._counts[name] = self._counts.get(name, 0) + 1
        self._keep()
        return name, said.removeprefix("Fatal Python error: ")

    def reading(self, name: str) -> None:
        """Take note that `name` is about to be read."""
        os.ftruncate(self._reading, 0)
        os.pwrite(self._reading, name.encode(), 0)

    def well(self, name: str) -> None:
        """Take note that all of `name` was read."""
        if self._counts.pop(name, None):
            self._keep()

    def given_up(self) -> set[str]:
        """Give the logs at which it died too often."""
        return {name for name, count in self._counts.items() if count >= TIMES}

    def _keep(self) -> None:
        self._counts_file.write_text(json.dumps(self._counts))

    def close(self) -> None:
        """Stop taking notes."""
        faulthandler.disable()
        self._fault.close()
        os.close(self._reading)


def _counts(file: Path) -> dict[str, int]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(file.read_text())
        return {str(name): int(count) for name, count in found.items()}
    return {}
