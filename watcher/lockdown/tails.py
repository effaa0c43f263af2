"""The ends of lockdown's lines: where the kernel sends people to read on."""

from __future__ import annotations

import re
from typing import Final, Literal

from watcher.patterns import late

_KNOWN: Final = (
    "; see man kernel_lockdown.7",
    "; see https://wiki.debian.org/SecureBoot",
)
# Pasted text loses blanks and underscores: "see mankernel_lockdown.7", "see man kernel lockdown.7".
_SEE: Final = late(
    r"[;,]\s*see\s*(?:man\s*kernel.?lockdown|https?://wiki\.debian\.org/SecureBoot).*", re.DOTALL
)
# What another kernel or distribution may send people to: one page, no prose.
_PAGE: Final = late(r"[;,] see (?:man [\w.()-]+|(?:https?://|Documentation/)\S+)\s*")
_SPACE: Final = late(r"\s+")


def tail_state(tail: str) -> Literal["whole", "cut"] | None:
    """Tell whether `tail` ends a line of lockdown, whole or cut off; None: it is something else.

    kernel_lockdown.7 itself shows a comma, kernels print a semicolon; Debian sent people to its
    wiki from 4.19.37 to 5.9.
    """
    # A mailer's soft line break leaves "=" (quoted-printable).
    text = "; " + _SPACE.sub(" ", tail).lstrip(";, ").rstrip(" =")
    if any(known != text and known.startswith(text) for known in _KNOWN):
        return "cut"
    return "whole" if _SEE.fullmatch(tail) else None


def names_a_page(tail: str) -> bool:
    """Tell whether `tail` sends people to one page, though to none that is known.

    That is enough for an end where the words before it are known.
    """
    return _PAGE.fullmatch(tail) is not None
