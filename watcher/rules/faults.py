"""What is wrong with rule files: one line each, in plain words, with the line of the file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_WIDTH: Final = 300
_GRAMMAR: Final = re.compile(r"Expected .*, found (?:end of text|'(.*)') +\(at char \d+\)")
_MISFIT: Final = re.compile(
    r"Modifier (?:Sigma)?(\w+?)(?:Modifier)? incompatible to value type of '(.*)'"
)
_OBJECT: Final = re.compile(r"<[\w.]*?\.?Sigma(\w+) object at \w+>|Sigma(\w+)\(.*\)")
_UNSUPPORTED: Final = re.compile(r"Unsupported .*type: <class '(?:datetime\.)?(\w+)'>")
_BYTES: Final = re.compile(r"(?<=: )b'(.*)'$")
_LONG: Final = re.compile(r"'([^']{80})[^']{20,}'")
_OF_A_FILTER: Final = re.compile(r"_filt_[a-z]{10}_")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a rule file; `line` counts from 1 where it is known."""

    file: str
    text: str
    line: int | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.text}"


def one_line(error: Exception) -> str:
    """Say in one line what pySigma or this engine has against a rule."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = " ".join(str(error).split()) or type(error).__name__
    if cut := _GRAMMAR.match(text):
        where = f"cannot be read from {cut[1]!r} on" if cut[1] else "ends too soon"
        text = f"'condition' {where}"
    if misfit := _MISFIT.match(text):
        shown = _OBJECT.fullmatch(misfit[2])
        value = _SHOWN.get(shown[1] or shown[2], "this") if shown else repr(misfit[2])
        text = f"the modifier '{_named(misfit[1])}' does not take {value}"
    if other := _UNSUPPORTED.match(text):
        text = f"{_KINDS.get(other[1], other[1])} is no value: write it in quotes, or elsewhere"
    text = _LONG.sub(r"'\1...'", _BYTES.sub(r"\1", _OF_A_FILTER.sub("", text)))
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."


_SHOWN: Final = {"Null": "null", "CompareExpression": "a comparison", "Expansion": "several"}
_KINDS: Final = {"dict": "a mapping", "date": "a date", "datetime": "a date", "list": "a list"}
_NAMES: Final = {
    "LessThan": "lt",
    "LessThanEqual": "lte",
    "GreaterThan": "gt",
    "GreaterThanEqual": "gte",
    "CaseSensitive": "cased",
    "WindowsDash": "windash",
    "RegularExpression": "re",
    "FieldReference": "fieldref",
    "RegularExpressionIgnoreCaseFlag": "i",
    "RegularExpressionMultilineFlag": "m",
    "RegularExpressionDotAllFlag": "s",
}


def _named(modifier: str) -> str:
    return _NAMES.get(modifier, modifier.removeprefix("Timestamp").lower())


def line_of(text: str, what: object, after: int = 1) -> int | None:
    """Find the line a fault is about by the name it quotes; None where it names none.

    `after` is the first line that it may be.
    """
    words = [str(part) for part in what] if isinstance(what, tuple) else _quoted(str(what))
    for word in filter(None, reversed(words)):
        whole = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
        for number, line in enumerate(text.splitlines(), 1):
            if number >= after and whole.search(line):
                return number
    return None


def _quoted(text: str) -> list[str]:
    return text.split("'")[1::2] if "'" in text else [text]


def line_of_key(text: str, key: str, nth: int = 0) -> int | None:
    """Find the line of the n-th key of that name, in block or flow style."""
    sought = re.compile(rf"(?:^|[\s{{,'\"-]){re.escape(key)}['\"]?\s*:")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if sought.search(line)]
    return lines[min(nth, len(lines) - 1)] if lines else None


_MARK: Final = re.compile(r"---(?:\s|$)")


def documents(text: str, count: int) -> list[str]:
    """Give each of `count` documents with the lines before it left empty, so that lines count.

    The whole text for each where they cannot be told apart.
    """
    parts = _parts(text)
    return parts if len(parts) == count else [text] * count


def document_of(text: str, rule: str) -> str:
    """Give the document of the rule of that id, as `documents` does."""
    return next((part for part in _parts(text) if rule in part.lower()), text)


def _parts(text: str) -> list[str]:
    lines = text.splitlines()
    # `---` at the start of a line parts documents wherever it stands (YAML 1.2, 9.1.2).
    marks = [0, *(number for number, line in enumerate(lines) if number and _MARK.match(line))]
    bounds = zip(marks, [*marks[1:], len(lines)], strict=True)
    parts = ((first, part) for first, last in bounds if _says(part := lines[first:last]))
    return ["\n" * first + "\n".join(part) for first, part in parts]


def _says(lines: list[str]) -> bool:
    return any(line.split("#")[0].removeprefix("---").strip() for line in lines)
