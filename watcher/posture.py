"""How this kernel stands, read from files only: the lockdown level in securityfs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

SECURITYFS: Final = "sys/kernel/security/lockdown"
PostureLevel = Literal["none", "integrity", "confidentiality"]
_LEVELS: Final[tuple[PostureLevel, ...]] = ("none", "integrity", "confidentiality")


@dataclass(frozen=True, slots=True)
class Posture:
    """The level, or None and why it cannot be seen."""

    level: PostureLevel | None
    unseen: str | None = None

    def __str__(self) -> str:
        if self.level is None:
            return f"whether this kernel is locked down cannot be seen ({self.unseen})"
        if self.level == "none":
            return "this kernel is not locked down"
        return f"this kernel is locked down ({self.level})"


def inspect(root: str = "/") -> Posture:
    """Read the level. Never raises; writes nothing.

    The file names all levels with the active one in brackets; of several brackets (a proposed
    bitmap form) the highest counts.
    """
    try:
        text = Path(root, SECURITYFS).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return Posture(None, f"no /{SECURITYFS}: no lockdown in this kernel, or not mounted")
    except OSError as error:
        return Posture(None, f"/{SECURITYFS}: {error.strerror}")
    found = [level for level in _LEVELS if f"[{level}]" in text]
    if not found:
        return Posture(None, f"/{SECURITYFS} holds no level that is known")
    return Posture(found[-1])
