"""pySigma's parsed condition as plain data, which can be kept as JSON and needs no pySigma.

A node is a list whose first element names it:

    ["and", [node, ...]]  ["or", [node, ...]]  ["not", node]
    ["string", field, [part, ...], cased]   a part is a text, 0 for * or 1 for ?
    ["regex", field, pattern, flags]        flags are letters of "ims"
    ["number", field, operator, number]     eq, lt, lte, gt or gte
    ["cidr", field, network]  ["null", field]  ["exists", field, bool]
    ["reference", field, other, starts, ends]
"""

from __future__ import annotations

from typing import Any, Final

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.types import (
    CompareOperators,
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

Node = list[Any]


class UnsupportedError(ValueError):
    """A rule uses something this engine does not evaluate; refused at load, never half done."""


def tree(node: Any) -> Node:
    """Turn one node of pySigma's condition into data.

    Raises UnsupportedError for a value or condition this engine does not know.
    """
    if isinstance(node, ConditionAND):
        return ["and", [tree(arg) for arg in node.args]]
    if isinstance(node, ConditionOR):
        return ["or", [tree(arg) for arg in node.args]]
    if isinstance(node, ConditionNOT):
        return ["not", tree(node.args[0])]
    if isinstance(node, ConditionFieldEqualsValueExpression):
        return _value(node.field, node.value)
    if isinstance(node, ConditionValueExpression):
        return _keyword(node.value)
    raise UnsupportedError(f"cannot evaluate {type(node).__name__}")


def _keyword(value: Any) -> Node:
    # A keyword stands for "somewhere in the message" (spec, "Keywords").
    if not isinstance(value, SigmaString):
        return _value("MESSAGE", value)
    return ["string", "MESSAGE", [0, *_parts(value), 0], isinstance(value, SigmaCasedString)]


def _value(field: str, value: Any) -> Node:
    if isinstance(value, SigmaExpansion):
        return ["or", [_value(field, each) for each in value.values]]
    if isinstance(value, SigmaString):
        return ["string", field, _parts(value), isinstance(value, SigmaCasedString)]
    if isinstance(value, SigmaRegularExpression):
        flags = "".join(sorted(_FLAGS[flag.name] for flag in value.flags))
        return ["regex", field, value.to_plain(), flags]
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
    if isinstance(value, SigmaTimestampPart):
        raise UnsupportedError("the time modifiers (minute, hour, ...) are not supported")
    if isinstance(value, SigmaNumber):
        return ["number", field, "eq", value.number]
    if isinstance(value, SigmaCompareExpression):
        if isinstance(value.number, SigmaTimestampPart):
            raise UnsupportedError("the time modifiers (minute, hour, ...) are not supported")
        return ["number", field, _OPERATORS[value.op], value.number.number]
    if isinstance(value, SigmaCIDRExpression):
        return ["cidr", field, str(value.network)]
    if isinstance(value, SigmaFieldReference):
        return ["reference", field, value.field, value.starts_with, value.ends_with]
    raise UnsupportedError(f"cannot evaluate {type(value).__name__}")


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
            raise UnsupportedError("placeholders (the expand modifier) are not supported")
    return parts
