"""What the kernel's log of one boot says about lockdown, gathered from its records. Pure."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from watcher.lockdown import Finding
from watcher.lockdown.causes import CauseId
from watcher.lockdown.lines import SecureBootState

KEPT: Final = 500
"""Denials kept one by one; of a flood the latest, and all of it in the counts."""

_KEYS: Final = 2000
"""Different programs counted; whoever runs programs chooses their names."""


class Denial(NamedTuple):
    """One refusal as logged; `time_us` since the Epoch, `monotonic_us` since boot."""

    reason: str | None
    comm: str | None
    text: str
    time_us: int | None = None
    monotonic_us: int | None = None


class Announced(NamedTuple):
    """One announcement, "Kernel is locked down from ...": why and when."""

    cause: CauseId | None
    time_us: int | None = None
    monotonic_us: int | None = None


@dataclass
class BootLog:
    """What was read of a boot. `complete`: from its first line on; `source`: where, or None.

    Only lines that the kernel wrote, or that a text file holds, count; forged ones are counted.
    `signatures` are kind and text of what was said of a module's or a kernel image's.
    """

    source: str | None = None
    complete: bool = False
    unseen: str | None = None
    announced: list[Announced] = field(default_factory=list)
    lifted: Announced | None = None
    signatures: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=KEPT))
    secure_boot: SecureBootState | None = None
    confidential: bool = False
    denials: deque[Denial] = field(default_factory=lambda: deque(maxlen=KEPT))
    reasons: Counter[str] = field(default_factory=Counter)
    programs: Counter[tuple[str, str]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    suppressed: int = 0
    lost: int = 0
    gaps: int = 0

    def add(self, found: Finding, time_us: int | None, monotonic_us: int | None, text: str) -> None:
        """Take in what one line says."""
        self.kinds[found.kind] += 1
        at = Announced(found.cause, time_us, monotonic_us)
        if found.kind == "lockdown.enabled":
            self.announced.append(at)
            del self.announced[:-KEPT]
        elif found.kind == "lockdown.lifted":
            self.lifted = at
        elif found.kind == "lockdown.denied":
            self._deny(Denial(found.reason, found.comm, text, time_us, monotonic_us))
        elif found.kind == "lockdown.suppressed":
            self.suppressed += found.suppressed or 0
        elif found.kind in _SIGNATURES:
            self.signatures.append((found.kind, text))
        self.secure_boot = found.secure_boot or self.secure_boot
        if found.level == "confidentiality" and found.kind in _PROVES:
            self.confidential = True

    def lose(self, count: int | None) -> None:
        """Take in a stretch in which lines were lost."""
        self.gaps += 1
        self.lost += count or 0

    def _deny(self, denial: Denial) -> None:
        self.denials.append(denial)
        reason = denial.reason or "unknown"
        self.reasons[reason] += 1
        key = (reason, denial.comm or "")
        if key in self.programs or len(self.programs) < _KEYS:
            self.programs[key] += 1

    @property
    def last_lift_holds(self) -> bool:
        """Tell whether lockdown was lifted and not announced again since."""
        if self.lifted is None:
            return False
        later = self.lifted.monotonic_us or 0
        return not any((each.monotonic_us or 0) > later for each in self.announced)


_SIGNATURES: Final = frozenset({"module.signature", "kexec.signature"})
_PROVES: Final = frozenset({"lockdown.denied", "lockdown.effect"})
"""Kinds of line that only a kernel as locked as their level writes."""
