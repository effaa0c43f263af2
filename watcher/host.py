"""This machine: its name, ids and clocks, read once each."""

from __future__ import annotations

import os
import time
from pathlib import Path

from watcher.record import Host


def this_host() -> Host:
    """Give this machine's name and ids; an id that cannot be read is None.

    The boot id is written as journald writes it, 32 hexadecimal digits.
    """
    boot = _line("/proc/sys/kernel/random/boot_id")
    return Host(
        name=os.uname().nodename or None,
        machine_id=_line("/etc/machine-id"),
        boot_id=boot and boot.replace("-", ""),
    )


def _line(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def now_us() -> int:
    """Give the time now in Epoch microseconds."""
    return time.time_ns() // 1000


_JITTER_US = 1000
"""Two clocks cannot be read in one instant; no machine sleeps for less."""


class KernelClock:
    """Turns the kernel log's time into wall-clock time.

    printk stamps lines with a clock that stands still in suspend, so a line from before a
    suspend is older than it seems (util-linux#4066, systemd#33293). How long the machine slept
    since the last look is known exactly; when within that stretch is not, and is the error.
    """

    def __init__(self) -> None:
        self._offset_us = 0
        self._error_us = 0
        self._slept_us = 0

    def look(self) -> None:
        """Read the clocks; call it before each batch of lines."""
        monotonic, boottime = (
            time.clock_gettime_ns(clock) // 1000
            for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)
        )
        slept = max(0, boottime - monotonic)
        self._offset_us = now_us() - monotonic
        since_last = slept - self._slept_us
        self._error_us = since_last if since_last >= _JITTER_US else 0
        self._slept_us = slept

    def time_of(self, monotonic_us: int) -> tuple[int, int]:
        """Give Epoch microseconds and how far they may be off, for a line read after `look`."""
        return self._offset_us + monotonic_us, self._error_us
