"""Each item of a detection by itself: pySigma stops at the first that is wrong, people mend all.

What pySigma would take and this engine would get wrong is refused here too, by name.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sigma.exceptions import SigmaError
from sigma.modifiers import (
    SigmaWideModifier,
    SigmaWindowsDashModifier,
    modifier_mapping,
    reverse_modifier_mapping,
)
from sigma.rule import SigmaDetectionItem
from sigma.types import SigmaCompareExpression, SigmaExpansion, SigmaString, SigmaTimestampPart

from watcher.rules.evaluate import Fields, holds
from watcher.rules.tree import Expand, UnsupportedError, leaf

# The specification's own name for it, which pySigma 2.0.1 lacks ("wide" is the alias).
modifier_mapping.setdefault("utf16le", SigmaWideModifier)


class Windash(SigmaWindowsDashModifier):
    """All five dashes stand for each other (spec); pySigma 2.0.1 starts from two of them."""

    def modify(self, val: SigmaString) -> SigmaExpansion:
        """Give the value with each kind of dash."""
        return super().modify(val.map_str_parts(lambda part: _LONG_DASH.sub("-", part)))


_LONG_DASH: Final = re.compile("\\B[\u2013-\u2015]\\b")
modifier_mapping["windash"] = Windash
reverse_modifier_mapping[Windash.__name__] = "windash"

ERRORS: Final = (SigmaError, ValueError, TypeError, AttributeError, KeyError, RecursionError)
"""What pySigma and this engine raise over a rule."""

_NO_ITEMS: Final = ("condition", "rules")


def item_faults(detection: object, expand: Expand) -> Iterator[tuple[str, Exception]]:
    """Give the key (field and modifiers) and the error of each item that is refused."""
    if isinstance(detection, Mapping):
        for name, definition in detection.items():
            if name not in _NO_ITEMS:
                yield from _faults(name, definition, expand)


def _faults(name: str, definition: object, expand: Expand) -> Iterator[tuple[str, Exception]]:
    if isinstance(definition, list):
        for each in definition:
            yield from _faults(name, each, expand)
    else:
        fields: Mapping[Any, Any]
        fields = definition if isinstance(definition, Mapping) else {None: definition}
        for key, value in fields.items():
            try:
                item = SigmaDetectionItem.from_mapping(key, value)
                _refuse(item, value)
                for each in item.value:
                    # Held against nothing, for what its making refuses.
                    holds(leaf(item.field, each, expand), Fields({}))
            except ERRORS as error:
                yield key or name, error


def _refuse(item: SigmaDetectionItem, value: Any) -> None:
    names = [reverse_modifier_mapping[each.__name__] for each in item.modifiers]
    if isinstance(value, list) and not value:
        raise UnsupportedError("an empty list of values")
    if "utf16" in names and not _BASE64.intersection(names):
        raise UnsupportedError("'utf16' without base64 or base64offset: its mark is no text")
    if item.field is None and (bound := _BOUND.intersection(names)):
        raise UnsupportedError(f"'{min(bound)}' needs a field: a keyword may stand anywhere")
    if "re" in names and (bound := _BOUND.intersection(names)):
        raise UnsupportedError(f"'{min(bound)}' behind re: say it in the pattern, by ^ or $")
    if {"cased", "fieldref"} <= set(names):
        raise UnsupportedError("'cased' with fieldref: fields are compared without regard to case")
    if "expand" in names and (late := set(_behind("expand", names)) - _AFTER_EXPAND):
        raise UnsupportedError(f"'{min(late)}' behind expand: placeholders are filled in last")
    for each in value if isinstance(value, list) else [value]:
        _refuse_plain(names, each)
    for each in item.value:
        _refuse_part(each)
        if "base64offset" in names and not all(map(_says, getattr(each, "values", (each,)))):
            raise UnsupportedError("too short for base64offset: it is not the same at any offset")


def _refuse_plain(names: list[str], value: Any) -> None:
    """Refuse values that pySigma makes others of."""
    if "re" in names and not isinstance(value, str):
        raise UnsupportedError(f"the modifier 're' does not take {value!r}: write it in quotes")
    if isinstance(value, float) and (unit := _UNITS.intersection(names)):
        raise UnsupportedError(f"the modifier '{min(unit)}' does not take {value!r}")


def _says(value: Any) -> bool:
    return any(isinstance(part, str) for part in value.s)


_BASE64: Final = {"base64", "base64offset"}
_BOUND: Final = {"startswith", "endswith"}
_AFTER_EXPAND: Final = {"all", "contains", "startswith", "endswith", "cased", "neq"}


def _behind(name: str, names: list[str]) -> Iterator[str]:
    return itertools.islice(names, names.index(name) + 1, None)


_RANGES: Final = {
    "MINUTE": (0, 59),
    "HOUR": (0, 23),
    "DAY": (1, 31),
    "WEEK": (1, 53),
    "MONTH": (1, 12),
}
_UNITS: Final = {"year", *map(str.lower, _RANGES)}


def _refuse_part(value: Any) -> None:
    number = value.number if isinstance(value, SigmaCompareExpression) else value
    if isinstance(number, SigmaTimestampPart) and (unit := number.timestamp_part.name) in _RANGES:
        least, most = _RANGES[unit]
        if not least <= number.number <= most:
            raise UnsupportedError(f"'{unit.lower()}' is between {least} and {most}")
