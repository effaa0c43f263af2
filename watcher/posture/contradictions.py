"""Where what the machine says does not fit together. Each one a small function. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from watcher.lockdown import REASONS
from watcher.posture.boot_log import BootLog
from watcher.posture.firmware import Firmware
from watcher.posture.kernel import Kernel
from watcher.posture.standing import (
    Standing,
    at_least,
    forced,
    locks_under_secure_boot,
    wanted,
)


class Facts(Protocol):
    """What a contradiction may look at."""

    @property
    def kernel(self) -> Kernel: ...  # noqa: D102
    @property
    def firmware(self) -> Firmware: ...  # noqa: D102
    @property
    def standing(self) -> Standing: ...  # noqa: D102
    @property
    def log(self) -> BootLog: ...  # noqa: D102


class Contradiction(NamedTuple):
    """Two things that cannot both be meant, and what to make of it."""

    id: str
    text: str


def contradictions(facts: Facts) -> tuple[Contradiction, ...]:
    """Give all that hold, the gravest first."""
    found = ((each.__name__.strip("_"), each(facts)) for each in _ALL)
    return tuple(Contradiction(name, text) for name, text in found if text)


def _lifted_at_run_time(facts: Facts) -> str | None:
    if not facts.log.last_lift_holds:
        return None
    return (
        "Lockdown was announced at boot and lifted since (SysRq-x): the protection is gone until"
        " the next boot. If nobody at the keyboard meant this, treat the machine as compromised."
    )


def _secure_boot_unlocked(facts: Facts) -> str | None:
    if not (facts.firmware.enforces and facts.standing.level == "none"):
        return None
    if facts.log.last_lift_holds:
        return None
    if locks_under_secure_boot(facts.kernel) is False:
        return (
            "Secure Boot is on, but this kernel is not built to lock itself down under it: root"
            " can still load unsigned code. Boot with lockdown=integrity if that is not wanted."
        )
    return (
        "Secure Boot is on, yet the kernel is not locked down: it may not have been started by"
        " the verified path, or the firmware's state was changed since boot. Compare mokutil"
        " --sb-state with the kernel's line about Secure boot."
    )


def _denial_above_level(facts: Facts) -> str | None:
    level = facts.standing.level
    if level is None or facts.standing.level_from == "log" or facts.log.last_lift_holds:
        return None
    above = sorted(r for r in facts.log.reasons if not _explained(r, facts))
    if not above:
        return None
    return (
        f"The log has denials ({', '.join(above)}) that a kernel at level {level} does not make:"
        " securityfs may be covered by another mount, or the lines come from elsewhere."
    )


def _explained(reason: str, facts: Facts) -> bool:
    needed = REASONS[reason].level if reason in REASONS else None
    level = facts.standing.level
    return needed is None or level == "locked" or at_least(level, needed)


def _shim_validation_off(facts: Facts) -> str | None:
    if not (facts.firmware.secure_boot and facts.firmware.shim_validation is False):
        return None
    return (
        "The firmware has Secure Boot on, but shim was told not to validate, so the kernel takes"
        " Secure Boot for off and does not lock down. mokutil --enable-validation and a reboot"
        " turn it on again."
    )


def _setup_mode(facts: Facts) -> str | None:
    if not (facts.firmware.secure_boot and facts.firmware.setup_mode):
        return None
    return (
        "Secure Boot says on, but the firmware is in setup mode, where anybody may enrol keys:"
        " the kernel takes it for off. Enrol a platform key to leave setup mode."
    )


def _command_line_ignored(facts: Facts) -> str | None:
    asked = wanted(facts.kernel)
    level = facts.standing.level
    if not asked or level is None or at_least(level, asked) or facts.log.last_lift_holds:
        return None
    why = "this kernel has no lockdown LSM, or it is not in its list (lsm=)"
    return f"The command line asks for lockdown={asked}, but the level is {level}: {why}."


def _command_line_malformed(facts: Facts) -> str | None:
    word = (facts.kernel.command_line or {}).get("lockdown")
    if word is None or not facts.kernel.has_levels or word in ("integrity", "confidentiality"):
        return None
    return (
        f"The command line has lockdown={word}, which the kernel refuses: it takes integrity or"
        " confidentiality only, and nothing on the command line lowers the level."
    )


def _command_line_overruled(facts: Facts) -> str | None:
    asked, force = wanted(facts.kernel), forced(facts.kernel)
    if asked != "integrity" or force != "confidentiality":
        return None
    return (
        "The command line asks for integrity, but the kernel was built to force confidentiality"
        " (CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY): the higher one holds."
    )


def _log_and_firmware_differ(facts: Facts) -> str | None:
    said, on = facts.log.secure_boot, facts.firmware.enforces
    if said not in ("enabled", "disabled") or on is None or (said == "enabled") == on:
        return None
    return (
        f"At boot the kernel took Secure Boot for {said}, the firmware's variables now say"
        f" {'on' if on else 'off'}: they were changed since, or shim told the kernel otherwise."
    )


_ALL: Final[tuple[Callable[[Facts], str | None], ...]] = (
    _lifted_at_run_time,
    _secure_boot_unlocked,
    _denial_above_level,
    _shim_validation_off,
    _setup_mode,
    _command_line_ignored,
    _command_line_malformed,
    _command_line_overruled,
    _log_and_firmware_differ,
)
