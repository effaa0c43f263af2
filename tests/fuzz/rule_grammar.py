"""Hostile rule files: YAML of random structure around the shape of a Sigma rule."""

from __future__ import annotations

import random
from typing import Any, Final

import yaml

_ID: Final = "11111111-1111-4111-8111-111111111111"
_WORDS: Final = (
    *(
        "Lockdown: ",
        "hibernation",
        "*",
        "?",
        "\\*",
        "",
        " is restricted",
        "\u0130",
        "a" * 300,
        "\0",
    ),
    *(
        "kernel",
        "0",
        "1 of x*",
        "all of them",
        "not",
        "(",
        "%user%",
        "10.0.0.0/8",
        "(?i)(",
        "a{1000}{1000}",
    ),
    *(
        "[[:alpha:]]",
        "(a+)+$",
        "\\1",
        "(?=a)",
        "\ud7ff",
        "\x1b[31m",
        "-",
        "1e999",
        "99999999999999999999",
    ),
)
_MODIFIERS: Final = (
    *(
        "contains",
        "startswith",
        "endswith",
        "all",
        "re",
        "re|i",
        "cased",
        "cidr",
        "gt",
        "lte",
        "exists",
    ),
    *(
        "base64",
        "base64offset",
        "wide",
        "utf16",
        "windash",
        "expand",
        "fieldref",
        "minute",
        "neq",
        "no such",
    ),
)
_FIELDS: Final = ("MESSAGE",) * 4 + ("_TRANSPORT", "SYSLOG_FACILITY", "PRIORITY", "", "x y")
_PLAIN: Final = (None, True, 0, -1, 10**30, 1.5, float("inf"), float("nan"))
_PATTERNS: Final = (
    "Lockdown: .* is",
    "(a+)+$",
    "[[:alpha:]]+",
    "^$",
    "(?i)x|y",
    "\\x00",
    ".{0,900}",
)
_NUMBERS: Final = (0, 5, -1, 10**30, 1.5)
_FITTING: Final[tuple[tuple[str, tuple[Any, ...]], ...]] = (
    *(("contains", _WORDS), ("startswith", _WORDS), ("endswith", _WORDS), ("", _WORDS)),
    *(("contains|all", _WORDS), ("cased", _WORDS), ("re", _PATTERNS), ("re|i", _PATTERNS)),
    *(
        ("gt", _NUMBERS),
        ("lte", _NUMBERS),
        ("exists", (True, False)),
        ("cidr", ("10.0.0.0/8", "::/0")),
    ),
    *(("fieldref", ("PRIORITY", "x")), ("fieldref|contains", ("PRIORITY",)), ("", _NUMBERS)),
)
_CONDITIONS: Final = (
    *(
        "a",
        "a and b",
        "not a",
        "1 of a*",
        "all of them",
        "a or",
        "",
        "((a",
        "a | count() > 3",
        "1 of them and",
    ),
    *(
        "not " * 300 + "a",
        "(" * 200 + "a" + ")" * 200,
        "a and " * 100 + "a",
        "missing",
        "kernel and not a",
    ),
)
_KEYS: Final = (
    "title",
    "id",
    "status",
    "level",
    "logsource",
    "detection",
    "watcher",
    "tags",
    "description",
)

Dice = random.Random


def rule_file(dice: Dice) -> bytes:
    """Give the text of a rule file."""
    documents = [_document(dice) for _ in range(dice.choice((1, 1, 1, 2)))]
    text = yaml.safe_dump_all(documents, allow_unicode=True).encode(errors="replace")
    for _ in range(dice.choice((0, 0, 0, 1, 3))):
        at = dice.randint(0, len(text))
        text = text[:at] + dice.choice(_DAMAGE) + text[at + dice.randrange(4) :]
    return text


_DAMAGE: Final = (
    *(
        b"\t",
        b"*x",
        b"&x ",
        b"!!python/object:os.system ",
        b"? ",
        b"- ",
        b": ",
        b"\n",
        b"{",
        b"[" * 50,
        b"\0",
    ),
    *(
        b"\xff",
        b"%YAML 9\n",
        b"---\n",
        b"<<: ",
        b"!!binary ",
        b"2026-99-99",
        b"0x",
        b"~",
        b"'",
        b'"',
        b"|\n",
    ),
)


def _document(dice: Dice) -> Any:
    """Give a rule in which each part is sound more often than not, so that some rules load."""
    if dice.random() < 0.05:
        return _value(dice, 3)
    rule: dict[Any, Any] = {
        "title": "A rule",
        "id": _ID,
        "status": _seldom(dice, ("test", "deprecated", "x"), "stable"),
        "level": _seldom(dice, ("low", "x"), "high"),
        "logsource": {"product": "linux", "service": "kernel"},
        "detection": _detection(dice),
    }
    if dice.random() < 0.3:
        rule["watcher"] = _watcher(dice)
    if dice.random() < 0.1:
        rule["filter"] = {"rules": ["any"], "selection": {"a": "b"}, "condition": "selection"}
        del rule["detection"]
    if dice.random() < 0.1:
        rule[dice.choice(_KEYS)] = _value(dice, 2)
    if dice.random() < 0.1:
        rule.pop(dice.choice(_KEYS), None)
    return rule


def _seldom(dice: Dice, odd: tuple[Any, ...], usual: Any) -> Any:
    return dice.choice(odd) if dice.random() < 0.1 else usual


def _detection(dice: Dice) -> dict[str, Any]:
    names = ("a", "b", "kernel")[: dice.choice((1, 1, 2, 3))]
    found = {name: _selection(dice) for name in names}
    condition = "a" if len(names) == 1 else "a and not b"
    return {**found, "condition": _seldom(dice, (*_CONDITIONS, ["a", "b"], None, 1), condition)}


def _selection(dice: Dice) -> Any:
    if dice.random() < 0.1:
        return _value(dice, 2)
    if dice.random() < 0.2:
        return [_word(dice), _word(dice)]
    return dict(_item(dice) for _ in range(dice.choice((1, 1, 2))))


def _item(dice: Dice) -> tuple[str, Any]:
    field = dice.choice(_FIELDS)
    modifiers, values = dice.choice(_FITTING)
    if dice.random() < 0.15:
        modifiers, values = "|".join(dice.choices(_MODIFIERS, k=2)), _WORDS
    chosen: Any = [dice.choice(values), dice.choice(values)] if dice.random() < 0.3 else None
    if chosen is None:
        chosen = _seldom(dice, _PLAIN, dice.choice(values))
    return f"{field}|{modifiers}" if modifiers else field, chosen


def _word(dice: Dice) -> str:
    return dice.choice(_WORDS)


def _watcher(dice: Dice) -> dict[str, Any]:
    odd: tuple[Any, ...] = ({"MESSAGE": _word(dice)}, 1, None, [])
    example = _seldom(dice, odd, "Lockdown: hibernation is restricted; see man kernel_lockdown.7")
    examples: Any = _seldom(
        dice, ({"match": example}, {"ignore": [example]}, {}), {"match": [example]}
    )
    return {
        "kind": _seldom(dice, ("lockdown.denied", "x"), None),
        "extract": dice.choice((None, "(?P<who>.*)", "(", "a{1000}{1000}", 1)),
        "examples": examples,
        **({"no such": 1} if dice.random() < 0.1 else {}),
    }


def _scalar(dice: Dice) -> Any:
    return _word(dice) if dice.random() < 0.7 else dice.choice(_PLAIN)


def _value(dice: Dice, depth: int) -> Any:
    if depth == 0 or dice.random() < 0.4:
        return _scalar(dice)
    if dice.random() < 0.5:
        return [_value(dice, depth - 1) for _ in range(dice.randrange(4))]
    return {str(_scalar(dice)): _value(dice, depth - 1) for _ in range(dice.randrange(4))}
