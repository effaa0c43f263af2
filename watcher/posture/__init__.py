"""How this machine stands: locked down or not, how far, by what, and what does not fit.

`inspect` reads files and nothing else; it never tries anything, so it leaves no line in any log.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from watcher.lockdown.causes import CAUSE_NAMES
from watcher.posture.areas import Area, areas, blocked
from watcher.posture.boot_log import Announced, BootLog, Denial
from watcher.posture.contradictions import Contradiction, contradictions
from watcher.posture.firmware import Firmware, inspect_firmware
from watcher.posture.kernel import Kernel, inspect_kernel
from watcher.posture.process import Process, inspect_process
from watcher.posture.settings import Settings, inspect_settings
from watcher.posture.standing import PostureLevel, Standing, active, at_least, standing
from watcher.posture.tree import HERE, Tree, Unseen

__all__ = [
    "SECURITYFS", "Announced", "Area", "BootLog", "Contradiction", "Denial", "Firmware", "Kernel",
    "Posture", "PostureLevel", "Process", "Settings", "Standing", "Unseen", "at_least", "inspect",
]  # fmt: skip

SECURITYFS: Final = "sys/kernel/security/lockdown"


class Posture(NamedTuple):
    """All that was read, and what follows from it. `boot_us` is Epoch microseconds."""

    kernel: Kernel
    firmware: Firmware
    process: Process
    settings: Settings
    securityfs: str | None
    boot_us: int | None
    log: BootLog
    standing: Standing
    unseen: tuple[Unseen, ...] = ()

    @property
    def level(self) -> PostureLevel | None:
        """The level: what securityfs shows, or else the least that must hold."""
        return self.standing.level

    @property
    def blocked(self) -> tuple[str, ...]:
        """Ids of the reasons this kernel refuses now."""
        return blocked(self.level, self.kernel)

    @property
    def areas(self) -> tuple[Area, ...]:
        """What works and what does not, for people."""
        return areas(self.level, self.kernel)

    @property
    def contradictions(self) -> tuple[Contradiction, ...]:
        """What does not fit together."""
        return contradictions(self)

    @property
    def all_unseen(self) -> tuple[Unseen, ...]:
        """What could not be seen, the log included."""
        why = self.log.unseen
        return (
            (*self.unseen, Unseen("kernel log", self.log.source or "", why)) if why else self.unseen
        )

    def with_log(self, log: BootLog) -> Posture:
        """Give the same posture with what the log of this boot says."""
        again = standing(self.kernel, self.firmware, self.securityfs, log, self.boot_us)
        return self._replace(log=log, standing=again)

    def __str__(self) -> str:
        if self.level is None:
            why = next((u.why for u in self.unseen if u.where == f"/{SECURITYFS}"), "no known word")
            return f"whether this kernel is locked down cannot be seen (/{SECURITYFS}: {why})"
        if self.level == "none":
            return "this kernel is not locked down"
        how = "" if self.level == "locked" else f" ({self.level})"
        cause = self.standing.cause
        by = f", because {CAUSE_NAMES[cause]}" if cause and cause != "other" else ""
        return f"this kernel is locked down{how}{by}"


def inspect(root: str = HERE) -> Posture:
    """Read how the machine below `root` stands. Never raises, writes or provokes anything."""
    tree = Tree(root)
    securityfs = _securityfs(tree)
    if securityfs is not None and active(securityfs) is None:
        tree.miss("lockdown level", SECURITYFS, "it holds no level that is known")
    kernel = inspect_kernel(tree)
    firmware = inspect_firmware(tree)
    log, boot_us = BootLog(), _boot_us(tree)
    return Posture(
        kernel=kernel,
        firmware=firmware,
        process=inspect_process(tree),
        settings=inspect_settings(tree, kernel.version),
        securityfs=securityfs,
        boot_us=boot_us,
        log=log,
        standing=standing(kernel, firmware, securityfs, log, boot_us),
        unseen=tuple(tree.unseen),
    )


def _securityfs(tree: Tree) -> str | None:
    mounted = tree.names("sys/kernel/security")
    if mounted == []:
        tree.miss(
            "lockdown level", SECURITYFS, "securityfs is not mounted here (nor in most containers)"
        )
        return None
    return tree.text(SECURITYFS, "lockdown level")


def _boot_us(tree: Tree) -> int | None:
    """Read when the machine was booted (proc/stat, seconds since the Epoch)."""
    found = re.search(r"^btime (\d{1,12})$", tree.text("proc/stat") or "", re.MULTILINE)
    return int(found[1]) * 1_000_000 if found else None
