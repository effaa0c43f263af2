"""Turn a condition (tree.py) into plain functions: the reference every faster way must equal.

Semantics follow the Sigma specification 2.1: values are compared without regard to case, `*`
and `?` are wildcards, a field that is absent equals only null. journald's values are strings, so
numbers are compared by value. Every function runs in linear time in the length of the field.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from watcher.rules import regex

MANY: Final = 0
ONE: Final = 1
_WRAPPED: Final = 3
"""Parts of a `contains`: *, text, *."""


class Fields:
    """A record's fields as rules see them; lower-case forms are made once."""

    __slots__ = ("_lower", "values")

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self._lower: dict[str, str] = {}

    def lower(self, name: str) -> str | None:
        """Give a field in lower case, None if it is absent."""
        low = self._lower.get(name)
        if low is None and (value := self.values.get(name)) is not None:
            low = self._lower[name] = value.lower()
        return low


Matcher = Callable[[Fields], bool]
Test = Callable[[str], bool]


def matcher(node: list[Any]) -> Matcher:
    """Compile one node. Raises regex.PatternError for a pattern that re2 refuses."""
    name, *rest = node
    return _NODES[name](*rest)


def _and(nodes: list[Any]) -> Matcher:
    parts = [matcher(node) for node in nodes]
    return lambda fields: all(part(fields) for part in parts)


def _or(nodes: list[Any]) -> Matcher:
    found = [_contained(node) for node in nodes]
    if len(found) > 1 and len({field for field, _ in found}) == 1 and found[0][0]:
        return _any_in(found[0][0], [text for _, text in found])
    parts = [matcher(node) for node in nodes]
    return lambda fields: any(part(fields) for part in parts)


def _contained(node: list[Any]) -> tuple[str, str]:
    """Give field and text of a plain `contains`, ("", "") of anything else."""
    if node[0] == "string" and not node[3] and len(node[2]) == _WRAPPED:
        before, text, after = node[2]
        if before == after == MANY and isinstance(text, str):
            return node[1], text.lower()
    return "", ""


def _any_in(field: str, texts: list[str]) -> Matcher:
    # A list of texts, sixty in the shipped pack: one loop takes a fifth of a function for each.
    def test(fields: Fields) -> bool:
        low = fields.lower(field)
        return low is not None and any(text in low for text in texts)

    return test


def _not(node: list[Any]) -> Matcher:
    inner = matcher(node)
    return lambda fields: not inner(fields)


def _null(field: str) -> Matcher:
    return lambda fields: field not in fields.values


def _exists(field: str, wanted: bool) -> Matcher:  # noqa: FBT001 - the node's own order
    return lambda fields: (field in fields.values) is wanted


def _on_value(field: str, test: Test) -> Matcher:
    return lambda fields: (text := fields.values.get(field)) is not None and test(text)


def _regex(field: str, pattern: str, flags: str) -> Matcher:
    return _on_value(field, regex.search(pattern, flags))


# --- strings: literal parts with wildcards between them


def _string(field: str, parts: list[Any], cased: bool) -> Matcher:  # noqa: FBT001
    if cased:
        return _on_value(field, _pattern(parts))
    test = _pattern([part.lower() if isinstance(part, str) else part for part in parts])
    return lambda fields: (text := fields.lower(field)) is not None and test(text)


def _pattern(parts: list[Any]) -> Test:
    if ONE in parts:
        return regex.glob(parts)
    literals = [part for part in parts if part != MANY]
    if MANY not in parts:
        whole = "".join(literals)
        return lambda text: text == whole
    start = literals.pop(0) if parts[0] != MANY else ""
    end = literals.pop() if parts[-1] != MANY else ""
    if not start and not end and len(literals) == 1:
        only = literals[0]
        return lambda text: only in text
    return lambda text: _in_order(text, start, literals, end)


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


# --- numbers, networks, other fields

_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


def _number(field: str, name: str, want: float) -> Matcher:
    holds = _OPERATORS[name]

    def test(text: str) -> bool:
        have = _as_number(text)
        return have is not None and holds(have, want)

    return _on_value(field, test)


_MAX_DIGITS: Final = 4000
"""int() refuses more (sys.int_info.default_max_str_digits is 4300)."""


def _as_number(text: str) -> float | None:
    try:
        # int first: journald's 64-bit numbers do not fit a float.
        whole = text.lstrip("-").isdecimal() and len(text) < _MAX_DIGITS
        return int(text) if whole else float(text)
    except ValueError:
        return None


def _cidr(field: str, network: str) -> Matcher:
    import ipaddress

    wanted = ipaddress.ip_network(network)

    def test(text: str) -> bool:
        try:
            return ipaddress.ip_address(text) in wanted
        except ValueError:
            return False

    return _on_value(field, test)


def _reference(field: str, other: str, starts: bool, ends: bool) -> Matcher:  # noqa: FBT001
    holds: Callable[[str, str], bool] = operator.eq
    if starts and ends:
        holds = operator.contains
    elif starts or ends:
        holds = str.startswith if starts else str.endswith

    def test(fields: Fields) -> bool:
        left, right = fields.lower(field), fields.lower(other)
        return left is not None and right is not None and holds(left, right)

    return test


_NODES: Final[dict[str, Callable[..., Matcher]]] = {
    "and": _and,
    "or": _or,
    "not": _not,
    "null": _null,
    "exists": _exists,
    "string": _string,
    "regex": _regex,
    "number": _number,
    "cidr": _cidr,
    "reference": _reference,
}
