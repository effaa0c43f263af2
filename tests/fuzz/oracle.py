"""What the process name in a denial is, said a second time in the simplest way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from watcher.lockdown import WORDINGS

_LONGEST: Final = max(len(wording.text) for wording in WORDINGS)
_KNOWN: Final = {wording.text.casefold() for wording in WORDINGS}
_WHOLE: Final = re.compile(r"[;,] see (?:man kernel_lockdown|https://)\S+\Z")


@dataclass(frozen=True)
class Denial:
    """A process name, None where there is none; `whole` if the line has its end."""

    comm: str | None
    whole: bool


def denial_in(text: str) -> Denial | None:
    """Read a denial in known words; None where `text` can be none.

    The last " is restricted" counts; before it the longest known words that begin the text or
    follow a colon and a space.
    """
    head, frame, tail = text.removeprefix("Lockdown: ").rpartition(" is restricted")
    if not frame or not text.startswith("Lockdown: "):
        return None
    for at in (0, *range(max(1, len(head) - _LONGEST), len(head))):
        begins = at == 0 or head[:at].endswith(": ")
        if begins and head[at:].casefold() in _KNOWN:
            return Denial(head[: at - 2] if at else None, _WHOLE.match(tail) is not None)
    return None
