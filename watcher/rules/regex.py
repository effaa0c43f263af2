"""Regular expressions of rules, by google-re2: linear time, whatever the rule or the line holds.

Imported when a rule first needs it, for the shipped pack does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

_WILD: Final = {0: ".*", 1: "."}


class PatternError(ValueError):
    """A pattern that re2 refuses, with its reason."""


def compiled(pattern: str, flags: str = "") -> Any:
    """Compile `pattern`; raises PatternError where re2 refuses it."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(f"(?{flags}){pattern}" if flags else pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise PatternError(f"{text} in the pattern {pattern!r}") from error


def search(pattern: str, flags: str) -> Callable[[str], bool]:
    """Give a test that is true where `pattern` occurs (Sigma's re is not anchored)."""
    find = compiled(pattern, flags).search
    return lambda text: find(text) is not None


def glob(parts: list[Any]) -> Callable[[str], bool]:
    """Give a test for parts with ? among them (1), * (0) and literals in the text's case."""
    pattern = "".join(re.escape(part) if isinstance(part, str) else _WILD[part] for part in parts)
    match = compiled(pattern, "s").fullmatch
    return lambda text: match(text) is not None
