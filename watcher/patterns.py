"""Patterns that are compiled when they are first used: a short command needs few of them."""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


class Late:
    """Stands for a pattern until one of its methods is asked for, which is then its own."""

    def __init__(self, pattern: str | bytes, flags: int) -> None:
        self.pattern = pattern
        self.flags = flags

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(self.pattern, self.flags), name)
        setattr(self, name, found)  # from now on it is found at once
        return found


def late(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Give a pattern whose compilation (0.1 to 1 ms) waits for its first use.

    It has all methods of re.Pattern, but re's own functions do not take it, and no match's `re` is
    it. A bad pattern raises re.error only then, so all of them are compiled by a test.
    """
    return cast("re.Pattern[AnyStr]", Late(pattern, flags))
