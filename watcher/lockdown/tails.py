"""The ends of lockdown's lines: where the kernel sends people to read on."""

from __future__ import annotations

import re
from typing import Final, Literal

_KNOWN: Final = (
    "; see man kernel_lockdown.7",
    "; see https://wiki.debian.org/SecureBoot",
)
_SEE: Final = re.compile(r"[;,]\s*see\s*\S.*", re.DOTALL)
_SPACE: Final = re.compile(r"\s+")


def tail_state(tail: str) -> Literal["whole", "cut"] | None:
    """Tell whether `tail` ends a line of lockdown, whole or cut off; None: it is something else.

    Man page (kernel_lockdown.7 itself shows a comma, kernels print a semicolon) and Debian's
    wiki are known; any other "see ..." counts as whole.
    """
    # A mailer's soft line break leaves "=" (quoted-printable).
    text = "; " + _SPACE.sub(" ", tail).lstrip(";, ").rstrip(" =")
    if any(known != text and known.startswith(text) for known in _KNOWN):
        return "cut"
    return "whole" if _SEE.fullmatch(tail) else None
