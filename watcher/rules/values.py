"""What a rule's value is held against: text without regard to case, numbers, dates, networks.

Every test takes a field's text, None where it is absent, and runs in linear time in its length.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from watcher.rules import regex

Test = Callable[[str | None], bool]

MANY: Final = 0
ONE: Final = 1


# --- case


def fold(text: str) -> str:
    """Give `text` as it is compared: each letter folded by itself, so that no length changes.

    str.lower() makes two letters of one (U+0130) and looks around (a final sigma is another
    letter); this is Unicode's simple case folding, as re2's (?i) has it.
    """
    return text.lower() if text.isascii() else text.translate(_FOLDED)


class _Folded(dict[int, str]):
    def __missing__(self, code: int) -> str:
        letter = chr(code)
        folded = next(
            (each for each in (letter.casefold(), letter.lower()) if len(each) == 1), letter
        )
        if folded != letter:  # 1,400 of them; the others would be a million
            self[code] = folded
        return folded


_FOLDED: Final = _Folded()

FOLD_TO_ASCII: Final = {"k": "\u212a", "s": "\u017f"}
"""Letters beyond ASCII that are compared as ASCII: the Kelvin sign and the long s."""


# --- texts with wildcards between their parts


def like(parts: list[Any]) -> Test:
    """Give a test for parts: texts, 0 for any characters, 1 for one; in the text's own case."""
    parts = joined(parts)
    if ONE in parts:
        return _present(regex.glob(parts))
    literals = [part for part in parts if part != MANY]
    if MANY not in parts:
        whole = "".join(literals)
        return lambda text: text == whole
    start = literals.pop(0) if parts[0] != MANY else ""
    end = literals.pop() if parts[-1] != MANY else ""
    return lambda text: text is not None and _in_order(text, start, literals, end)


def joined(parts: list[Any]) -> list[Any]:
    """Make one text of those that stand side by side, as the values of placeholders do."""
    found: list[Any] = []
    for each in parts:
        if found and isinstance(each, str) and isinstance(found[-1], str):
            found[-1] += each
        else:
            found.append(each)
    return found


def _in_order(text: str, start: str, middle: list[str], end: str) -> bool:
    if not text.startswith(start) or not text.endswith(end):
        return False
    at, stop = len(start), len(text) - len(end)
    for part in middle:
        at = text.find(part, at, stop)
        if at < 0:
            return False
        at += len(part)
    return at <= stop


def _present(test: Callable[[str], bool]) -> Test:
    return lambda text: text is not None and test(text)


def pattern(expression: str, flags: str) -> Test:
    """Give a test that is true where a pattern occurs. Raises regex.PatternError."""
    return _present(regex.search(expression, flags))


# --- numbers and dates

_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_MAX_DIGITS: Final = 4000
"""int() refuses more (sys.int_info.default_max_str_digits is 4300)."""


def number(name: str, want: float) -> Test:
    """Give a test that compares numbers by value, for journald's are strings."""
    holds = _OPERATORS[name]

    def test(text: str | None) -> bool:
        have = None if text is None else _as_number(text)
        return have is not None and holds(have, want)

    return test


def _as_number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):  # Python's own would take "1_0", "nan" and other scripts
        return None
    # int first: journald's 64-bit numbers do not fit a float.
    whole = text.lstrip("+-").isdecimal() and len(text) < _MAX_DIGITS
    return int(text) if whole else float(text)


def canonical(text: str) -> str:
    """Give a whole number in its plainest spelling, any other text as it is."""
    have = _as_number(text)
    whole = have is not None and abs(have) < _LARGE and have == int(have)
    return str(int(have)) if have is not None and whole else text


_LARGE: Final = 10**40


def part(unit: str, name: str, want: float) -> Test:
    """Give a test for part of a date: minute, hour, day, week (ISO 8601), month or year."""
    holds = _OPERATORS[name]

    def test(text: str | None) -> bool:
        have = None if text is None else _part(text, unit)
        return have is not None and holds(have, want)

    return test


def _part(text: str, unit: str) -> int | None:
    moment = _moment(text)
    if moment is None:
        return None
    return moment.isocalendar().week if unit == "week" else int(getattr(moment, unit))


_EPOCH_DIGITS: Final = ((8, None), (11, 1), (14, 1_000), (17, 1_000_000), (20, 1_000_000_000))
"""So many digits are seconds, milli-, micro-, nanoseconds since the Epoch; few are no date."""

_LONGEST_DATE: Final = 40


def _moment(text: str) -> datetime | None:
    """Read a date: Epoch time, in UTC, or ISO 8601, by its own clock (spec: no time zones)."""
    if len(text) > _LONGEST_DATE:
        return None
    try:
        if text.isascii() and text.isdecimal():
            units = (per for most, per in _EPOCH_DIGITS if len(text) <= most)
            per_second = next(units, None)
            return datetime.fromtimestamp(int(text) // per_second, UTC) if per_second else None
        return datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None


# --- networks and other fields


def network(text: str) -> Test:
    """Give a test for addresses in a network (CIDR, IPv4 or IPv6)."""
    import ipaddress

    wanted = ipaddress.ip_network(text)
    return lambda text: (address := _address(text)) is not None and address in wanted


_LONGEST_ADDRESS: Final = 64
"""The longest IPv6 address has 45 letters; the name of an interface behind it, 15."""


def _address(text: str | None) -> Any:
    """Read an address; None if it is none: of a long text finding that out takes milliseconds."""
    return None if text is None or len(text) > _LONGEST_ADDRESS else _read_address(text)


@functools.lru_cache(256)
def _read_address(text: str) -> Any:
    import ipaddress

    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def compared(*, starts: bool, ends: bool) -> Callable[[str | None, str | None], bool]:
    """Give a test of two fields, folded: equal, or one begins with, ends with, holds the other."""
    holds: Callable[[str, str], bool] = operator.eq
    if starts and ends:
        holds = operator.contains
    elif starts or ends:
        holds = str.startswith if starts else str.endswith
    return lambda left, right: left is not None and right is not None and holds(left, right)
