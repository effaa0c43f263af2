"""A marked entry through the journal and back: proof that what is logged here is read here.

The mark is a number nobody can guess, good for one journey, so that an entry somebody else made
proves nothing. It is no event and reaches no rule.
"""

from __future__ import annotations

import secrets
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from watcher.sources.journal_entry import CANARY, CANARY_ID

GRACE_S: Final = 15.0
"""A canary that is not back after so long is lost; the daemon notes it within 5 s of its return."""
AGAIN_S: Final = 30.0
"""How soon the next one is sent where the journal did not take this one."""
LEVEL: Final = 5
"""Notice, as the kernel's denials are: a journald that stores less (MaxLevelStore=) has none."""
JOURNAL: Final = Path("/run/systemd")


@dataclass(frozen=True, slots=True)
class CanaryVitals:
    """How canaries fare; `sent_s` and `seen_s` of the last ones are seconds of CLOCK_MONOTONIC.

    That clock stands still in suspend, as the daemon does, and nobody sets it.
    """

    every_s: int
    sent_s: float | None = None
    seen_s: float | None = None
    took_s: float | None = None
    trouble: str | None = None


class Canary:
    """Sends one every `every_s` seconds into the journal of `namespace` ("": this machine's)."""

    def __init__(self, every_s: int, namespace: str = "", run: Path = JOURNAL) -> None:
        self._socket = run / (f"journal.{namespace}" if namespace else "journal") / "socket"
        self.vitals = CanaryVitals(every_s)
        self._mark: str | None = None
        self._due_s = time.monotonic()

    def due_s(self) -> float:
        """Give the seconds until the next is to be sent."""
        return max(0.0, self._due_s - time.monotonic())

    def send(self) -> None:
        """Send one; what keeps it from the journal is noted."""
        self._mark = secrets.token_hex(16)
        now = time.monotonic()
        trouble = self._written(self._mark)
        every_s = self.vitals.every_s
        self._due_s = now + (min(every_s, AGAIN_S) if trouble else every_s)
        self.vitals = replace(self.vitals, sent_s=now, trouble=trouble)

    def _written(self, mark: str) -> str | None:
        entry = (
            f"MESSAGE={CANARY} {mark}\nMESSAGE_ID={CANARY_ID}\nPRIORITY={LEVEL}\n"
            "SYSLOG_IDENTIFIER=lockdown-watcher\n"
        )
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto(entry.encode(), str(self._socket))
        except BlockingIOError:
            return f"{self._socket}: it takes no entries: is systemd-journald hung?"
        except OSError as error:
            return f"{self._socket}: {error.strerror}"
        return None

    def heard(self, text: str) -> bool:
        """Take an entry that looks like a canary; tell whether it is the one on its way."""
        if self._mark is None or text != f"{CANARY} {self._mark}":
            return False
        self._mark = None
        now = time.monotonic()
        sent_s = self.vitals.sent_s
        took_s = None if sent_s is None else now - sent_s
        self.vitals = replace(self.vitals, seen_s=now, took_s=took_s, trouble=None)
        return True
