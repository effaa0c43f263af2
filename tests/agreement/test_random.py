"""Random rules and events: what nobody thought to ask."""

from __future__ import annotations

import json
import os
import random
import uuid
from pathlib import Path
from typing import Any, Final

import pytest

from tests.agreement import judges
from tests.agreement.probes import rule_text

RULES: Final = 400
EVENTS: Final = 300
SEEDS: Final = os.environ.get("SEED", "1 2 3 4").split()
"""Set others to look further."""

# Few letters, so that rules and events meet; no numbers and no literals of Tenzir's (_, "", /a/):
# its types are another matter (docs/agreement.md).
_PIECES: Final = ("a", "b", "A", "ab", "b a", "a_b", "%", ".", "a/", "[", "b'a", 'a"b', "{", "-a")
_FIELDS: Final = ("X", "Y", "Z")
_MODIFIERS: Final = (
    *("", "", "|contains", "|startswith", "|endswith", "|contains|all", "|re", "|re|i"),
    *("|cased", "|contains|cased", "|startswith|cased", "|endswith|cased"),
)
_PATTERNS: Final = ("a", "^a", "b$", "a.b", "a*b", "[ab]+", "(a|b)b", "a?b", "^$", "[^a]", "a{2}")


def _text(chance: random.Random, most: int) -> str:
    return "".join(chance.choice(_PIECES) for _ in range(chance.randint(1, most)))


def _value(chance: random.Random, modifier: str) -> Any:
    if "|re" in modifier:
        return chance.choice(_PATTERNS)
    if not modifier and chance.random() < 0.1:
        return chance.choice([None, ""])
    text = _text(chance, 3)
    if chance.random() < 0.4:
        at = chance.randint(0, len(text))
        text = text[:at] + chance.choice("**?") + text[at:]
    return text


def _selection(chance: random.Random) -> Any:
    items = {}
    for field in chance.sample(_FIELDS, chance.choice((1, 1, 2))):
        modifier = chance.choice(_MODIFIERS)
        several = "all" in modifier or chance.random() < 0.3
        values = [_value(chance, modifier) for _ in range(2 if several else 1)]
        # "null cannot be part of a list of field values" (chapter "Null").
        values = [each for each in values if each is not None] or [""] if several else values
        items[field + modifier] = values if several and len(values) > 1 else values[0]
    return items


def _condition(chance: random.Random, names: list[str], depth: int) -> str:
    kind = chance.choice(("name", "not", "and", "or", "of") if depth else ("name",))
    if kind == "name":
        return chance.choice(names)
    if kind == "of":
        return chance.choice(("1 of s*", "all of s*", "1 of them", "all of them"))
    if kind == "not":
        return f"not ({_condition(chance, names, depth - 1)})"
    sides = (_condition(chance, names, depth - 1) for _ in range(2))
    return "(" + f" {kind} ".join(sides) + ")"


def _detection(chance: random.Random) -> str:
    names = ["s1", "s2", "t"][: chance.randint(1, 3)]
    detection = {
        name: [_selection(chance), _selection(chance)]
        if chance.random() < 0.15
        else _selection(chance)
        for name in names
    }
    # JSON is YAML.
    return json.dumps({**detection, "condition": _condition(chance, names, 2)})


def _event(chance: random.Random) -> dict[str, str]:
    values = {field: chance.choice(("", _text(chance, 4), _text(chance, 4))) for field in _FIELDS}
    return {name: text for name, text in values.items() if chance.random() < 0.7}


@pytest.mark.parametrize("seed", SEEDS)
def test_random_rules_and_events(seed: str, tmp_path: Path) -> None:
    """All three engines answer the same to every pair."""
    chance = random.Random(seed)
    found = [_detection(chance) for _ in range(RULES)]
    detections = {str(uuid.UUID(int=n, version=4)): each for n, each in enumerate(found)}
    rules = {name: rule_text(name, text) for name, text in detections.items()}
    events = [_event(chance) for _ in range(EVENTS)]
    ours = judges.ours(rules, events)
    assert ours.refused == {}
    assert RULES * EVENTS / 20 < len(ours.pairs) < RULES * EVENTS * 0.8
    for judge in (judges.tenzir(rules, events, tmp_path), judges.sqlite(rules, events)):
        assert judge.refused == {}
        differ = sorted(ours.pairs ^ judge.pairs)
        if differ:
            told = "\n".join(
                f"{detections[rule]} {events[n]}: here {(rule, n) in ours.pairs}"
                for rule, n in {rule: (rule, n) for rule, n in differ}.values()
            )
            pytest.fail(f"SEED={seed}: {len(differ)} of {RULES * EVENTS} pairs differ:\n{told}")
