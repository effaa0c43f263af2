"""Announcements: "Kernel is locked down from cause; see ..." in every wording."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from watcher.lockdown.causes import CAUSE_NAMES, CAUSES, Cause, CauseId
from watcher.lockdown.denial import unknown
from watcher.lockdown.finding import CUT, Finding
from watcher.lockdown.other import match_line

_FROM: Final = "Kernel is locked down from "
_SEE_AT: Final = re.compile(r"[;,] see ")
ANNOUNCED_4_9: Final = "Secure boot enabled and kernel locked down"
_BLOCKED: Final = (
    "From here on not even root may load unsigned modules, open /dev/mem, write MSRs, hibernate"
    " or start an unsigned kernel (before 5.4: nor use bpf() on many distributions)."
)


def announcement(text: str) -> Finding | None:
    """Read a text that begins like an announcement; None if it is an effect, or all cut off."""
    if not text.startswith(_FROM):
        # "Kernel is locked down, parameter ..." is an effect and has a row of its own.
        return None if match_line(text) else unknown(text)
    rest = text[len(_FROM) :]
    tail = None
    for tail in _SEE_AT.finditer(rest):  # noqa: B007 - the last one counts
        pass
    words = rest[: tail.start()] if tail else rest.split(";", 1)[0].rstrip()
    if not words:
        return None
    found = _announced(words, wiki=tail is not None and "wiki.debian.org" in rest[tail.end() :])
    if tail:
        return found
    # Without its end nobody can tell "command" from "command line".
    known = words in CAUSES
    return replace(found, cause=found.cause if known else None, warnings=(CUT,))


def _announced(words: str, *, wiki: bool) -> Finding:
    cause = CAUSES.get(words)
    cause_id: CauseId = cause.id if cause else "other"
    return Finding(
        kind="lockdown.enabled",
        row=f"enabled_{cause_id}",
        title=f"The kernel is locked down: {CAUSE_NAMES[cause_id]}",
        meaning=_BLOCKED,
        instead="The level (integrity or confidentiality) is in /sys/kernel/security/lockdown;"
        " lockdown-watcher explain hibernation, bpf, module and so on tell the ways on.",
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
    return replace(
        found, text="Secure boot", lineage="fedora-4.9", secure_boot="enabled", read="FED@962ea4f04"
    )
