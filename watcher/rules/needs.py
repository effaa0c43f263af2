"""What a record must have for a condition (tree.py) to be true of it: found out once, asked often.

All answers are on the safe side: a record without it cannot match, one with it may or may not.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from re import _constants as ops
from re import _parser
from typing import Any, Final, NamedTuple, TypeVar

Node = list[Any]
Literals = frozenset[str]
Equal = frozenset[tuple[str, str]]
Held = Equal
_Each = TypeVar("_Each")

LONG: Final = 8
"""Bytes that make a literal rare in a log."""

_EVERYWHERE: Final = ("_TRANSPORT", "_AUDIT_TYPE_NAME", "_AUDIT_TYPE", "_UID", "SYSLOG_FACILITY")

INDEXED: Final = (
    *("_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT", "UNIT", "SYSLOG_IDENTIFIER", "_COMM", "_EXE"),
    *("MESSAGE_ID", *_EVERYWHERE),
)
"""Fields of few values, which a journal can look up; those that part entries best come first."""

COMMON: Final = frozenset((*_EVERYWHERE, "PRIORITY", "_AUDIT_FIELD_ARCH", "_AUDIT_FIELD_NAMETYPE"))
"""Fields that have the same few values nearly everywhere: they part little."""


class Needs(NamedTuple):
    """What a record has if a condition is true of it. None: it cannot be said.

    `literals`: folded ASCII texts one of which MESSAGE holds. `equal`: pairs of an indexed field
    and a value, as the rule has it, one of which the record has. `held`, where there are no
    literals: pairs of a field and a folded ASCII text, one of which the record has in it.
    """

    literals: Literals | None
    equal: Equal | None
    held: Held | None

    def sought(self) -> tuple[Held, Equal] | None:
        """Give what parts records best, by texts or by values; None: nothing does."""
        if self.literals is not None:
            return frozenset(("MESSAGE", text) for text in self.literals), frozenset()
        if self.held is None or (self.equal and _parts(self.held) <= _parts(self.equal)):
            return None if self.equal is None else (frozenset(), self.equal)
        return self.held, frozenset()


def needs(condition: Node) -> Needs:
    """Find out what a condition needs."""
    found = literals(condition)
    return Needs(found, equal(condition), held(condition) if found is None else None)


# --- texts in a field


def literals(node: Node) -> Literals | None:
    """Give folded texts one of which MESSAGE holds if `node` is true; None: cannot tell."""
    found = held(node, "MESSAGE")
    return None if found is None else frozenset(text for _, text in found)


def held(node: Node, only: str | None = None) -> Held | None:
    """Give fields with a folded text, one of which is in its field if `node` is true.

    None: cannot tell, or not by the field `only`.
    """
    name, first, *rest = node
    if name == "and":
        known = [each for each in (held(inner, only) for inner in first) if each is not None]
        return max(known, key=_worth_of_held, default=None)
    if name == "or":
        return all_of(held(inner, only) for inner in first)
    if only not in (None, first):
        return None
    found = _of_pattern(rest[0]) if name == "regex" else None
    if name == "string":
        found = _longest(run for part in rest[0] if isinstance(part, str) for run in _runs(part))
    return None if found is None else frozenset((first, text) for text in found)


def _worth_of_held(found: Held) -> tuple[bool, tuple[int, int, int]]:
    return _parts(found), _worth(text for _, text in found)


def _parts(found: Held) -> bool:
    return all(field not in COMMON for field, _ in found)


def _worth(texts: Iterable[str]) -> tuple[int, int, int]:
    lengths = [len(text) for text in texts]
    shortest = min(lengths, default=LONG)
    return min(shortest, LONG), -len(lengths), shortest


def all_of(sets: Iterable[frozenset[_Each] | None]) -> frozenset[_Each] | None:
    """Give what is needed where any one of several may hold; None if one of them needs nothing."""
    found: set[_Each] = set()
    for each in sets:
        if each is None:
            return None
        found |= each
    return frozenset(found)


def _longest(runs: Iterable[str]) -> Literals | None:
    longest = max(runs, key=len, default="")
    return frozenset({longest.lower()}) if longest else None


def _runs(text: str) -> list[str]:
    # Bytes are folded as ASCII: only ASCII runs are sure to agree. What /dev/kmsg and
    # journalctl's formats write escaped (controls, backslash, quotes) ends a run, so that a
    # literal stands in the raw line as it does in the message.
    plain = "".join(c if " " <= c <= "~" and c not in '\\"' else "\n" for c in text)
    return plain.split("\n")


def _of_pattern(pattern: str) -> Literals | None:
    # Python's parser reads what re2 reads, but for classes in brackets ([[:alpha:]]).
    if "[:" in pattern or "[[" in pattern:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return _of_sequence(_parser.parse(pattern))
    except (re.error, Warning, RecursionError, OverflowError):
        return None


def _of_sequence(items: Iterable[Any]) -> Literals | None:
    run = ""
    runs: list[str] = []
    deeper: list[Literals | None] = []
    for name, what in items:
        if name is ops.LITERAL:
            run += chr(what)
            continue
        runs.append(run)
        run = ""
        deeper.append(_of_item(name, what))
    found = [_longest(part for each in (*runs, run) for part in _runs(each)), *deeper]
    return max((each for each in found if each is not None), key=_worth, default=None)


def _of_item(name: Any, what: Any) -> Literals | None:
    if name is ops.SUBPATTERN:
        return _of_sequence(what[-1])
    if name is ops.BRANCH:
        return all_of(map(_of_sequence, what[1]))
    if name in (ops.MAX_REPEAT, ops.MIN_REPEAT) and what[0] > 0:
        return _of_sequence(what[2])
    return None


# --- values of indexed fields


def equal(node: Node) -> Equal | None:
    """Give pairs of a field and a value, one of which a record has if `node` is true."""
    name, *rest = node
    if name == "and":
        known = [each for each in map(equal, rest[0]) if each is not None]
        return min(known, key=_rank, default=None)
    if name == "or":
        return all_of(map(equal, rest[0]))
    return _equal_leaf(name, *rest)


def _equal_leaf(name: str, *rest: Any) -> Equal | None:
    if rest[0] not in INDEXED:
        return None
    if name == "string" and all(isinstance(part, str) for part in rest[1]):
        return frozenset({(rest[0], "".join(rest[1]))})
    if name == "number" and rest[1] == "eq" and isinstance(rest[2], int):
        return frozenset({(rest[0], str(rest[2]))})
    return None


def _rank(found: Equal) -> tuple[int, int]:
    return max((INDEXED.index(field) for field, _ in found), default=-1), len(found)
