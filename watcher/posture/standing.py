"""How far the kernel is locked down, by what and since when, and how we know. Pure."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from watcher.lockdown.causes import CauseId
from watcher.posture.boot_log import Announced, BootLog
from watcher.posture.firmware import Firmware
from watcher.posture.kernel import Kernel, Version

PostureLevel = Literal["none", "integrity", "confidentiality", "locked"]
"""locked: before 5.4 a kernel is locked down or not."""

From = Literal["securityfs", "kconfig", "command_line", "log", "inferred"]
_ORDER: Final[tuple[PostureLevel, ...]] = ("none", "locked", "integrity", "confidentiality")


class Standing(NamedTuple):
    """Level, cause and since when (Epoch microseconds), each with how it is known."""

    level: PostureLevel | None = None
    level_from: From | None = None
    cause: CauseId | None = None
    cause_from: From | None = None
    since_us: int | None = None


def at_least(level: PostureLevel | None, needed: PostureLevel) -> bool:
    """Tell whether a level reaches another; unseen reaches nothing."""
    return level is not None and _ORDER.index(level) >= _ORDER.index(needed)


def active(text: str | None) -> PostureLevel | None:
    """Read securityfs: the word in brackets, the highest of several (a proposed bitmap form).

    RHEL 8 has two words only, and Oracle's UEK three before 5.4.
    """
    found = [level for level in _ORDER if f"[{level}]" in (text or "")]
    return found[-1] if found else None


def standing(
    kernel: Kernel, firmware: Firmware, securityfs: str | None, log: BootLog, boot_us: int | None
) -> Standing:
    """Reconcile what securityfs, the configuration, the command line and the log say."""
    level, level_from = _level(kernel, firmware, securityfs, log)
    if level is None:
        return Standing()
    if level == "none":
        since = log.lifted.time_us if log.lifted and log.last_lift_holds else boot_us
        return Standing(level, level_from, since_us=since)
    if log.announced:
        last = log.announced[-1]
        return Standing(level, level_from, last.cause, "log", _when(last, boot_us))
    cause = _inferred_cause(kernel, firmware, level)
    since = None if cause in (None, "securityfs") else boot_us
    return Standing(level, level_from, cause, "inferred" if cause else None, since)


def _when(said: Announced, boot_us: int | None) -> int | None:
    """Give when a line was written; by the kernel's clock where its log has no dates."""
    if said.time_us is not None or boot_us is None or said.monotonic_us is None:
        return said.time_us
    return boot_us + said.monotonic_us


# --- level


def _level(
    kernel: Kernel, firmware: Firmware, securityfs: str | None, log: BootLog
) -> tuple[PostureLevel | None, From | None]:
    if seen := active(securityfs):
        return seen, "securityfs"
    if not _can_lock(kernel):
        return "none", "kconfig"
    if kernel.is_older:
        return _older(log)
    return _guessed(kernel, firmware, log)


def _older(log: BootLog) -> tuple[PostureLevel | None, From | None]:
    if log.last_lift_holds:
        return "none", "log"
    if log.announced or log.denials:
        return "locked", "log"
    return ("none", "log") if log.complete else (None, None)


def _guessed(
    kernel: Kernel, firmware: Firmware, log: BootLog
) -> tuple[PostureLevel | None, From | None]:
    """Give the least that must hold where securityfs cannot be read."""
    if log.confidential:
        return "confidentiality", "log"
    asked = [(level, source) for _, level, source in asked_for(kernel, firmware) if level]
    if log.announced or log.denials:
        asked.append(("integrity", "log"))
    if asked:
        return max(asked, key=lambda each: _ORDER.index(each[0]))
    return ("none", "log") if log.complete else (None, None)


def _can_lock(kernel: Kernel) -> bool:
    """Tell whether this kernel could be locked down at all, as far as its configuration tells."""
    if kernel.kconfig is None or not kernel.version:
        return True
    if kernel.is_older:
        return any("LOCK_DOWN" in name or "SECURELEVEL" in name for name in kernel.kconfig)
    if not kernel.built("SECURITY_LOCKDOWN_LSM"):
        return False
    early = kernel.built("SECURITY_LOCKDOWN_LSM_EARLY")
    return bool(early) or kernel.lsm is None or "lockdown" in kernel.lsm


# --- cause

Asked = tuple[CauseId, PostureLevel | None, From]


def asked_for(kernel: Kernel, firmware: Firmware) -> list[Asked]:
    """Give what asks for lockdown at boot and for how much, in the order the kernel obeys.

    Early LSMs start with the configured level, then parse_early_param() reads the command line,
    then setup_arch() looks at Secure Boot (distributions' patch).
    """
    return [
        ("kconfig", forced(kernel), "kconfig"),
        ("command_line", wanted(kernel), "command_line"),
        ("efi_secure_boot", _by_secure_boot(kernel, firmware), "inferred"),
    ]


def forced(kernel: Kernel) -> PostureLevel | None:
    """Give the level the configuration forces."""
    if kernel.built("LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY"):
        return "confidentiality"
    if kernel.built("LOCK_DOWN_KERNEL_FORCE_INTEGRITY"):
        return "integrity"
    return "locked" if kernel.is_older and kernel.built("LOCK_DOWN_MANDATORY") else None


def wanted(kernel: Kernel) -> PostureLevel | None:
    """Give the level the command line asks for; any other word the kernel refuses."""
    word = (kernel.command_line or {}).get("lockdown")
    if kernel.is_older:
        return "locked" if word is not None else None
    return next((level for level in _ORDER[2:] if level == word), None)


def locks_under_secure_boot(kernel: Kernel) -> bool | None:
    """Tell whether this kernel locks itself down under Secure Boot; mainline never does."""
    if kernel.kconfig is not None:
        return bool(
            kernel.built("LOCK_DOWN_IN_EFI_SECURE_BOOT")
            or kernel.built("EFI_SECURE_BOOT_LOCK_DOWN")
        )
    return True if kernel.family in _LOCKING else None


_LOCKING: Final = frozenset({"fedora", "debian", "ubuntu", "suse", "rhel", "rhel-8", "uek"})


def _by_secure_boot(kernel: Kernel, firmware: Firmware) -> PostureLevel | None:
    if not (firmware.enforces and locks_under_secure_boot(kernel)):
        return None
    if kernel.is_older:
        return "locked"
    return "confidentiality" if _was_strict(kernel) else "integrity"


def _was_strict(kernel: Kernel) -> bool:
    """Debian 5.4.1 to 5.6.3 and Fedora 5.4.5 to 5.5.9 took confidentiality under Secure Boot."""
    until: dict[str, Version] = {"debian": (5, 6, 4), "fedora": (5, 5, 10)}
    return (5, 4) <= kernel.version < until.get(kernel.family or "", ())


def _inferred_cause(kernel: Kernel, firmware: Firmware, level: PostureLevel) -> CauseId | None:
    for cause, given, _ in asked_for(kernel, firmware):
        if given and at_least(given, "locked" if level == "locked" else level):
            return cause
    known = None not in (kernel.kconfig, kernel.command_line, firmware.enforces)
    return "securityfs" if known and kernel.has_levels else None
