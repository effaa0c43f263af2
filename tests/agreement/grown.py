"""Events grown from a rule's condition: some that satisfy it, some that just miss.

A value is put together from the leaves that must hold of its field; what comes out is run through
the condition itself, so that a wrong guess is no event. Misses are hits with one thing taken away.
"""

from __future__ import annotations

import random
import re._constants as re_constants
import re._parser as re_parser
from collections.abc import Iterator, Mapping
from typing import Any, Final

from watcher.rules.evaluate import Fields
from watcher.rules.generate import matcher

Node = list[Any]
Event = dict[str, str]
Demands = dict[str, list[Node]]
"""What must hold of each field: leaves that are to be true."""

TRIES: Final = 200
FILLER: Final = " q "
"""Between the texts that a value must contain: no rule looks for it."""


def hits(condition: Node, count: int, seed: str) -> list[Event]:
    """Give up to `count` different events that satisfy `condition`; the same for the same seed."""
    chance = random.Random(seed)
    holds, found = matcher(condition), []
    for _ in range(TRIES):
        demands: Demands = {}
        _demand(condition, demands, chance, wanted=True)
        event = {field: value for field, leaves in demands.items()
                 if (value := _value(leaves)) is not None}  # fmt: skip
        if holds(Fields(event)) and event not in found:
            found.append(event)
            if len(found) == count:
                break
    return found


def misses(condition: Node, hit: Event) -> list[Event]:
    """Give events that differ from `hit` in one thing and do not satisfy `condition`."""
    holds = matcher(condition)
    return [event for event in _changed(hit) if not holds(Fields(event))]


def _changed(hit: Event) -> Iterator[Event]:
    for field, value in hit.items():
        yield {name: each for name, each in hit.items() if name != field}
        for changed in (value[:-1], value[1:], value.replace(value[:2], "q"), "qq", ""):
            yield {**hit, field: changed}


# --- what must hold


def _demand(node: Node, demands: Demands, chance: random.Random, *, wanted: bool) -> None:
    name, first, *_ = node
    if name == "not":
        _demand(first, demands, chance, wanted=not wanted)
    elif name in ("and", "or"):
        every = (name == "and") is wanted
        for each in first if every else [chance.choice(first)]:
            _demand(each, demands, chance, wanted=wanted)
    elif wanted:
        demands.setdefault(first, []).append(node)


def _value(leaves: list[Node]) -> str | None:
    """Put a value together of which all leaves may hold; None: the field is to be absent."""
    if any(leaf[0] == "null" or (leaf[0] == "exists" and not leaf[2]) for leaf in leaves):
        return None
    texts: list[Grown] = [_GROW[leaf[0]](leaf) for leaf in leaves]
    whole = [text for start, text, end in texts if not start and not end]
    if whole:
        return whole[0]
    first = [text for start, text, end in texts if not start]
    last = [text for start, text, end in texts if not end]
    between = dict.fromkeys(text for start, text, end in texts if start and end)
    return FILLER.join([*first[:1], *between, *last[:1]]) + ("" if last else FILLER)


Grown = tuple[bool, str, bool]
"""A text, and whether something may stand before and after it."""


def _of_string(leaf: Node) -> Grown:
    parts = list(leaf[2])
    before = bool(parts) and parts[0] == 0
    after = bool(parts) and parts[-1] == 0
    text = "".join(part if isinstance(part, str) else "" if part == 0 else "q" for part in parts)
    return before, text, after


def _of_regex(leaf: Node) -> Grown:
    return True, _sample(re_parser.parse(leaf[2])), True


def _of_number(leaf: Node) -> Grown:
    step = {"lt": -1, "gt": 1}.get(leaf[2], 0)
    return False, str(leaf[3] + step), False


def _of_network(leaf: Node) -> Grown:
    return False, leaf[2].partition("/")[0], False


_GROW: Final[Mapping[str, Any]] = {
    "string": _of_string,
    "regex": _of_regex,
    "number": _of_number,
    "cidr": _of_network,
    "exists": lambda _: (False, "q", False),
}


# --- a text that a pattern matches


def _sample(pattern: Any) -> str:
    return "".join(_OF[op](argument) for op, argument in pattern)


def _of_set(members: list[tuple[Any, Any]]) -> str:
    kind, argument = members[0]
    if kind is re_constants.NEGATE:
        taken = {argument for each, argument in members if each is re_constants.LITERAL}
        return next(each for each in "aq0 " if ord(each) not in taken)
    if kind is re_constants.CATEGORY:
        return _CATEGORY[argument]
    return chr(argument[0] if kind is re_constants.RANGE else argument)


_CATEGORY: Final = {
    re_constants.CATEGORY_DIGIT: "4",
    re_constants.CATEGORY_SPACE: " ",
    re_constants.CATEGORY_WORD: "w",
    re_constants.CATEGORY_NOT_SPACE: "q",
    re_constants.CATEGORY_NOT_DIGIT: "q",
    re_constants.CATEGORY_NOT_WORD: " ",
}
_OF: Final[Mapping[Any, Any]] = {
    re_constants.LITERAL: chr,
    re_constants.NOT_LITERAL: lambda code: "q" if code != ord("q") else "a",
    re_constants.ANY: lambda _: "q",
    re_constants.AT: lambda _: "",
    re_constants.IN: _of_set,
    re_constants.BRANCH: lambda argument: _sample(argument[1][0]),
    re_constants.SUBPATTERN: lambda argument: _sample(argument[-1]),
    re_constants.MAX_REPEAT: lambda argument: _sample(argument[2]) * max(1, argument[0]),
    re_constants.MIN_REPEAT: lambda argument: _sample(argument[2]) * max(1, argument[0]),
}
