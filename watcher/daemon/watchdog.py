"""What the daemon tells systemd: ready, alive, reloading, stopping, and in one line how it stands.

The main loop alone calls this, so that systemd hears nothing of a daemon whose reading hangs,
however well its other threads are. Where systemd did not start it, nothing is told.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Final

NEWS_S: Final = 5.0
"""What was read is told after so long: by then the sinks have it, and much is told at once."""
START_S: Final = 10.0
"""How often a start that gets on asks for more time."""
MORE_S: Final = 60
"""How much it asks for."""

Status = Callable[[], str]


class Watchdog:
    """Speaks by sd_notify(3); `due_s` and `alive` make the beat that WatchdogSec= expects."""

    def __init__(self) -> None:
        self._told = bool(os.environ.get("NOTIFY_SOCKET"))
        self._beat_s = _interval_s() / 2 if self._told else float("inf")
        self._due_s = time.monotonic() if self._told else float("inf")
        self._is_ready = False

    def due_s(self) -> float:
        """Give the seconds until `alive` has something to tell."""
        return max(0.0, self._due_s - time.monotonic())

    def news(self) -> None:
        """Have the status told soon, for it is another one now."""
        if self._told:
            self._due_s = min(self._due_s, time.monotonic() + NEWS_S)

    def alive(self, status: Status) -> None:
        """Tell that reading gets on, if that is due; `status` is asked only then."""
        now = time.monotonic()
        if now < self._due_s:
            return
        self._due_s = now + (self._beat_s if self._is_ready else START_S)
        beat = "WATCHDOG=1" if self._is_ready else f"EXTEND_TIMEOUT_USEC={MORE_S}000000"
        self._tell(beat, status)

    def ready(self, status: Status) -> None:
        """Tell, once and after each `reloading`, that all is well."""
        if not self._is_ready:
            self._is_ready = True
            self._due_s = time.monotonic() + self._beat_s
            self.news()  # what the start has read is not with the sinks yet
        self._tell("READY=1", status)

    def reloading(self) -> None:
        """Tell that a reload has begun; with the time, which Type=notify-reload wants."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", None)

    def stopping(self) -> None:
        """Tell that the end has begun."""
        self._tell("STOPPING=1", None)

    def _tell(self, state: str, status: Status | None) -> None:
        if not self._told:
            return
        from systemd.daemon import notify

        if status:
            state += f"\nSTATUS={status()}"
        with contextlib.suppress(OSError):  # it asks again, or ends us
            notify(state)


def _interval_s() -> float:
    """Give what WatchdogSec= of our unit is, in seconds; infinite without one."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return float("inf")
    usec = os.environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1_000_000 if usec.isdecimal() and int(usec) else float("inf")
