"""The catalogue: what a kernel line about lockdown says, read from the kernel's format strings.

`recognise` takes the text of one line and tells which row of the catalogue it fits, if any.
The rows are in reasons.py (what is restricted), wordings.py (how it is worded), causes.py (why
the kernel is locked) and lines.py (everything around it). Pure: text in, finding out.
"""

from __future__ import annotations

from typing import Final

from watcher.lockdown.announcement import ANNOUNCED_4_9, announced_4_9, announcement
from watcher.lockdown.avc import avc
from watcher.lockdown.causes import CAUSES
from watcher.lockdown.denial import denial
from watcher.lockdown.finding import CUT, Finding
from watcher.lockdown.lines import LINES
from watcher.lockdown.other import match_line
from watcher.lockdown.reasons import REASONS, Reason
from watcher.lockdown.wordings import WORDINGS

__all__ = ["CAUSES", "CUT", "LINES", "REASONS", "WORDINGS", "Finding", "Reason", "recognise"]

MAX_TEXT: Final = 4096
"""Characters looked at; the kernel's own limit is 2048 bytes a record (printk, 6.3 and later)."""


def recognise(text: str) -> Finding | None:
    """Tell which row of the catalogue `text` fits: one, or None.

    Linear in the length of `text`; raises nothing, whatever the bytes were.
    """
    text = text[:MAX_TEXT].rstrip("\n")
    return _framed(text) or match_line(text)


def _framed(text: str) -> Finding | None:
    if text.startswith("Lockdown: "):
        return denial(text)
    if text.startswith("Kernel is locked down"):
        return announcement(text)
    if text == ANNOUNCED_4_9:
        return announced_4_9()
    return avc(text) if "lockdown" in text else None
