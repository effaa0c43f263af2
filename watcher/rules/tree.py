"""pySigma's parsed condition as plain data, which can be kept as JSON and needs no pySigma.

A node is a list whose first element names it:

    ["and", [node, ...]]  ["or", [node, ...]]  ["not", node]
    ["string", field, [part, ...], cased]   a part is a text, 0 for * or 1 for ?
    ["regex", field, pattern, flags]        flags are letters of "ims"
    ["number", field, operator, number]     eq, lt, lte, gt or gte
    ["part", field, unit, operator, number] unit: minute, hour, day, week, month, year
    ["cidr", field, network]  ["null", field]  ["exists", field, bool]
    ["reference", field, other, starts, ends]
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
    SigmaCondition,
)
from sigma.types import (
    CompareOperators,
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
)

from watcher.rules.values import joined

Node = list[Any]


class UnsupportedError(ValueError):
    """A rule uses something this engine does not evaluate; refused at load, never half done."""


Expand = Mapping[str, Sequence[str]]
"""What %name% stands for where a rule says expand: any of these, wildcards and all."""


def tree(conditions: Sequence[SigmaCondition], expand: Expand) -> Node:
    """Turn a rule's conditions, of which one must hold (spec, "Condition"), into data.

    Raises UnsupportedError for a value or condition this engine does not know.
    """
    made = _flat(["or", [_node(each.parsed, expand) for each in conditions]])
    if _depth(made) > DEEPEST:
        raise UnsupportedError(f"'condition' is nested deeper than {DEEPEST} levels")
    return made


DEEPEST: Final = 64
"""Levels of and, or and not; Python's own parser takes 200 brackets in one another."""


def _flat(node: Node) -> Node:
    """Take out what nesting does not mean: (a and (b and c)), not not a, one alternative."""
    name, first, *_ = node
    if name == "not":
        inner = _flat(first)
        return _flat(inner[1]) if inner[0] == "not" else ["not", inner]
    if name not in ("and", "or"):
        return node
    nodes: list[Node] = []
    for each in map(_flat, first):
        nodes += each[1] if each[0] == name else [each]
    return nodes[0] if len(nodes) == 1 else [name, nodes]


def _depth(node: Node) -> int:
    name, first, *_ = node
    if name == "not":
        return 1 + _depth(first)
    return 1 + max(map(_depth, first), default=0) if name in ("and", "or") else 0


def _node(node: Any, expand: Expand) -> Node:
    if isinstance(node, ConditionAND | ConditionOR):
        name = "and" if isinstance(node, ConditionAND) else "or"
        return [name, [_node(arg, expand) for arg in node.args]]
    if isinstance(node, ConditionNOT):
        return ["not", _node(node.args[0], expand)]
    if isinstance(node, ConditionFieldEqualsValueExpression):
        return leaf(node.field, node.value, expand)
    if isinstance(node, ConditionValueExpression):
        return leaf(None, node.value, expand)
    raise UnsupportedError(f"cannot evaluate {type(node).__name__}")


def leaf(field: str | None, value: Any, expand: Expand) -> Node:
    """Turn one value of a field into data; without a field it is a keyword."""
    values = _expanded(value, expand)
    nodes = [_value(field, each) if field else _keyword("MESSAGE", each) for each in values]
    return nodes[0] if len(nodes) == 1 else ["or", nodes]


def _keyword(field: str, value: Any) -> Node:
    # A keyword stands for "somewhere in the message" (spec, "Keywords").
    if isinstance(value, SigmaNumber):
        value = SigmaString(str(value))
    if isinstance(value, SigmaString):
        return ["string", field, [0, *_parts(value), 0], isinstance(value, SigmaCasedString)]
    if isinstance(value, SigmaRegularExpression):
        return _value(field, value)
    kind = type(value).__name__.removeprefix("Sigma").lower()
    raise UnsupportedError(f"cannot look for {kind} without a field")


def _expanded(value: Any, expand: Expand) -> list[Any]:
    """Give the values one stands for: those of its modifiers, and of its placeholders."""
    if isinstance(value, SigmaExpansion):
        return [deeper for each in value.values for deeper in _expanded(each, expand)]
    holds_some = isinstance(value, SigmaString | SigmaRegularExpression)
    if not holds_some or not value.contains_placeholder():
        return [value]
    if isinstance(value, SigmaRegularExpression):
        return _filled(value, expand)
    _refuse_many(value.s, expand)
    found: list[Any] = value.replace_placeholders(
        lambda placeholder: iter(map(SigmaString, expand[placeholder.name]))
    )
    if isinstance(value, SigmaCasedString):
        return [SigmaCasedString.from_sigma_string(each) for each in found]
    return found


def _filled(pattern: SigmaRegularExpression, expand: Expand) -> list[Any]:
    """Fill in a pattern: there a value is itself, and its wildcards have no meaning."""
    _refuse_many(pattern.regexp.s, expand)
    choices = [
        map(re.escape, expand[part.name]) if isinstance(part, Placeholder)
        else [part if isinstance(part, str) else "*?"[_WILDCARDS[part]]]
        for part in pattern.regexp.s
    ]  # fmt: skip
    made = map("".join, itertools.product(*choices))
    return [SigmaRegularExpression(each, flags=pattern.flags) for each in made]


_MOST: Final = 10_000
"""Values of one with several placeholders, each of which stands for many."""


def _refuse_many(parts: Sequence[Any], expand: Expand) -> None:
    _refuse_escaped(parts)
    names = [part.name for part in parts if isinstance(part, Placeholder)]
    for name in names:
        if name not in expand:
            raise UnsupportedError(
                f"'%{name}%' stands for nothing: say for what in [rules.expand] of config.toml"
            )
    if math.prod(len(expand[name]) for name in names) > _MOST:
        raise UnsupportedError(f"the placeholders stand for more than {_MOST:,} values together")


def _refuse_escaped(parts: Sequence[Any]) -> None:
    """Refuse \\%name%, which the spec takes literally and pySigma does not."""
    for before, part in itertools.pairwise(parts):
        if isinstance(part, Placeholder) and isinstance(before, str) and before.endswith("\\"):
            raise UnsupportedError(f"an escaped placeholder (\\%{part.name}%) is not supported")


def _value(field: str, value: Any) -> Node:
    if isinstance(value, SigmaString):
        return ["string", field, _parts(value), isinstance(value, SigmaCasedString)]
    if isinstance(value, SigmaRegularExpression):
        flags = "".join(sorted(_FLAGS[flag.name] for flag in value.flags))
        return ["regex", field, value.regexp.to_plain_regex(), flags]
    return _presence(field, value) or _comparison(field, value)


def _presence(field: str, value: Any) -> Node | None:
    if isinstance(value, SigmaNull):
        return ["null", field]
    if isinstance(value, SigmaExists):
        return ["exists", field, bool(value)]
    if isinstance(value, SigmaBool):
        return ["string", field, [str(value).lower()], False]
    return None


def _comparison(field: str, value: Any) -> Node:
    if isinstance(value, SigmaNumber):
        return _number(field, "eq", value)
    if isinstance(value, SigmaCompareExpression) and value.op in _OPERATORS:
        return _number(field, _OPERATORS[value.op], value.number)
    if isinstance(value, SigmaCIDRExpression):
        return ["cidr", field, str(value.network)]
    if isinstance(value, SigmaFieldReference):
        return ["reference", field, value.field, value.starts_with, value.ends_with]
    raise UnsupportedError(f"cannot evaluate {type(value).__name__}")


_EXACT: Final = 1 << 53
"""Up to here a float has every whole number."""


def _number(field: str, operator: str, value: SigmaNumber) -> Node:
    if not math.isfinite(value.number):
        raise UnsupportedError(f"{field}: {value.number} is no number to compare with")
    if isinstance(value.number, float) and abs(value.number) > _EXACT:
        # pySigma has made a float of it, which is another number.
        raise UnsupportedError(f"{field}: a number beyond 2^53 is read as {value.number:.0f}:"
                               " write it in quotes")  # fmt: skip
    if isinstance(value, SigmaTimestampPart):
        return ["part", field, value.timestamp_part.name.lower(), operator, value.number]
    return ["number", field, operator, value.number]


_FLAGS: Final = {"IGNORECASE": "i", "MULTILINE": "m", "DOTALL": "s"}
_OPERATORS: Final = {
    CompareOperators.LT: "lt",
    CompareOperators.LTE: "lte",
    CompareOperators.GT: "gt",
    CompareOperators.GTE: "gte",
}
_WILDCARDS: Final = {SpecialChars.WILDCARD_MULTI: 0, SpecialChars.WILDCARD_SINGLE: 1}


def _parts(value: SigmaString) -> list[Any]:
    parts: list[Any] = []
    for part in value.s:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, SpecialChars):
            parts.append(_WILDCARDS[part])
        else:
            raise UnsupportedError(f"cannot evaluate {type(part).__name__} in a value")
    return joined(parts)
