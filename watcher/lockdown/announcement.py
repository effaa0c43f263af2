"""Announcements: "Kernel is locked down from cause; see ..." in every wording."""

from __future__ import annotations

from typing import Final

from watcher.lockdown.causes import CAUSE_NAMES, CAUSES, Cause, CauseId
from watcher.lockdown.denial import unknown
from watcher.lockdown.finding import CUT, Finding
from watcher.lockdown.other import match_line
from watcher.lockdown.tails import tail_state
from watcher.lockdown.templates import is_template

_FROM: Final = " from "
_LONGEST_TAIL: Final = 200
ANNOUNCED_4_9: Final = "Secure boot enabled and kernel locked down"
_BLOCKED: Final = (
    "From here on not even root may load unsigned modules, open /dev/mem, write MSRs, hibernate"
    " or start an unsigned kernel (before 5.4: nor use bpf() on many distributions)."
)


def announcement(text: str) -> Finding | None:
    """Read a text that begins like an announcement; None if it is an effect, or all cut off."""
    words, tail = _parted(text.removeprefix("Kernel is locked down"))
    whole = tail_state(tail) == "whole"
    if not words.startswith(_FROM):
        # "Kernel is locked down, parameter ..." is an effect and has a row of its own.
        return unknown(text) if whole and not match_line(text) else None
    words = words.removeprefix(_FROM)
    if not words or is_template(words):
        return None
    found = _announced(words, wiki="wiki.debian.org" in tail)
    if whole:
        return found
    # Without its end nobody can tell "command" from "command line", nor prose from the kernel.
    if not any(cause.startswith(words) for cause in CAUSES):
        return None
    return found._replace(cause=found.cause if words in CAUSES else None, warnings=(CUT,))


def _parted(rest: str) -> tuple[str, str]:
    """Part cause and tail: the tail begins at the last semicolon or comma that can begin one."""
    for at in range(len(rest) - 1, max(-1, len(rest) - _LONGEST_TAIL), -1):
        if rest[at] in ";," and tail_state(rest[at:]):
            return rest[:at], rest[at:]
    return rest.rstrip(" ="), ""


def _announced(words: str, *, wiki: bool) -> Finding:
    cause = CAUSES.get(words)
    cause_id: CauseId = cause.id if cause else "other"
    return Finding(
        kind="lockdown.enabled",
        row=f"enabled_{cause_id}",
        title=f"The kernel is locked down: {CAUSE_NAMES[cause_id]}",
        meaning=_BLOCKED,
        instead="On 5.4 and later the level (integrity or confidentiality) stands in"
        " /sys/kernel/security/lockdown. Ways on: lockdown-watcher explain hibernation, bpf, ...",
        text=words,
        cause=cause_id,
        lineage=_lineage(cause, wiki=wiki),
        read=cause.read if cause else None,
    )


def _lineage(cause: Cause | None, *, wiki: bool) -> str | None:
    if wiki:
        return "debian-4.19"
    return cause.lineage if cause else None


def announced_4_9() -> Finding:
    """Give the finding for Fedora 4.9 to 4.13, which announced both facts in one line."""
    found = _announced("EFI secure boot", wiki=False)
    return found._replace(
        text="Secure boot", lineage="fedora-4.9", secure_boot="enabled", read="FED@962ea4f04"
    )
