"""What only the running daemon knows: kept in memory, and in the store for other processes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from watcher.health.canary import CanaryVitals

FLEET: Final = "journal "
"""Logs that begin so are files of one folder, and told of as one: they may be thousands."""


@dataclass(frozen=True, slots=True)
class LogVitals:
    """How one log stands; times are Epoch microseconds.

    `line_us`: when the last line read was written; `read_us`: when it was read; `caught_up`:
    nothing was left to read then.
    """

    lines: int = 0
    line_us: int | None = None
    read_us: int = 0
    caught_up: bool = False

    def lag_s(self, started_us: int, now_us: int) -> float:
        """Give how late lines are read, in seconds: the last one, or while catching up the next.

        What was written before the daemon started was late by its absence, not by its pace.
        """
        if self.line_us is None:
            return 0.0
        if not self.caught_up:
            return max(0, now_us - self.line_us) / 1e6
        return max(0, self.read_us - max(self.line_us, started_us)) / 1e6


@dataclass(frozen=True, slots=True)
class Vitals:
    """All of it. `cause`: what this boot's announcement said; `rules`: title and seconds by id."""

    version: str = ""
    boot_id: str | None = None
    pid: int = 0
    started_us: int = 0
    kernel: str | None = None
    """The log in which the daemon sees kernel lines."""
    canary: CanaryVitals | None = None
    cause: str | None = None
    logs: Mapping[str, LogVitals] = field(default_factory=dict)
    rules: Mapping[str, tuple[str, float]] = field(default_factory=dict)

    def text(self) -> str:
        """Give it as the store keeps it."""
        return json.dumps(asdict(self))


def parsed(text: str | None) -> Vitals | None:
    """Read what `Vitals.text` gave; None for nothing, or what another version wrote."""
    try:
        found: dict[str, Any] = json.loads(text or "")
        logs = {name: LogVitals(**log) for name, log in found.pop("logs").items()}
        canary = CanaryVitals(**given) if (given := found.pop("canary")) else None
        return Vitals(**found, logs=logs, canary=canary)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
