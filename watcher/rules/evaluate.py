"""A condition (tree.py) held against a record, node by node: what any faster way must equal.

Semantics follow the Sigma specification 2.1: values are compared without regard to case, `*`
and `?` are wildcards, a field that is absent equals only null. journald's values are strings, so
numbers are compared by value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watcher.rules import values
from watcher.rules.values import Test, fold


class _Low(dict[str, str | None]):
    """Fields folded, each made when it is first asked for."""

    __slots__ = ("_values",)

    def __init__(self, known: Mapping[str, str]) -> None:
        super().__init__()
        self._values = known

    def __missing__(self, name: str) -> str | None:
        value = self._values.get(name)
        low = self[name] = None if value is None else fold(value)
        return low


class Fields:
    """A record's fields as rules see them: `values`, and `low`, folded (None: absent)."""

    __slots__ = ("low", "values")

    def __init__(self, known: Mapping[str, str]) -> None:
        self.values = known
        self.low = _Low(known)


def holds(node: list[Any], fields: Fields) -> bool:
    """Tell whether a condition is true of a record. Raises regex.PatternError."""
    name, *rest = node
    if name in ("and", "or"):
        every = all if name == "and" else any
        return every(holds(each, fields) for each in rest[0])
    if name == "not":
        return not holds(rest[0], fields)
    return _leaf(name, fields, *rest)


def _leaf(name: str, fields: Fields, field: str, *rest: Any) -> bool:
    text = fields.values.get(field)
    if name in ("null", "exists"):
        return (text is not None) is (name == "exists" and rest[0])
    if name == "reference":
        other, starts, ends = rest
        compare = values.compared(starts=starts, ends=ends)
        return compare(fields.low[field], fields.low[other])
    if name == "string":
        return _string(fields, field, *rest)
    made: Test = _TESTS[name](*rest)
    return made(text)


def _string(fields: Fields, field: str, parts: list[Any], cased: bool) -> bool:  # noqa: FBT001
    if cased:
        return values.like(parts)(fields.values.get(field))
    return values.like(folded(parts))(fields.low[field])


def folded(parts: list[Any]) -> list[Any]:
    """Fold the texts among the parts of a string."""
    return [fold(part) if isinstance(part, str) else part for part in parts]


_TESTS: Any = {
    "regex": values.pattern,
    "number": values.number,
    "part": values.part,
    "cidr": values.network,
}
