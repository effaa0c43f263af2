"""From the text of a rule file to pySigma's objects, a document at a time, with every fault."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import yaml
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaConditionError, SigmaError
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections, SigmaYAMLLoader
from sigma.rule.base import check_alias_expansion
from sigma.types import SigmaString

from watcher.rules.faults import Fault, documents, line_of, line_of_key, one_line
from watcher.rules.items import ERRORS, item_faults
from watcher.rules.tree import Expand

_DEEPEST: Final = 64


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file; in `text` the lines before it are empty, so that lines count.

    `made` is what it says as plain data, and then pySigma's object of that.
    """

    file: str
    text: str
    made: Any

    def fault(self, what: str | Exception, key: str | None = None) -> Fault:
        """Say what is wrong, and where: with a key, or what pySigma's exception is about."""
        said = one_line(what) if isinstance(what, Exception) else what
        part = line_of_key(self.text, key) if key else _line_of_part(self.text, what)
        if key or isinstance(what, SigmaConditionError):  # which quotes what stands elsewhere too
            return Fault(self.file, said, part)
        return Fault(self.file, said, line_of(self.text, str(what), after=part or 1) or part)


_PARTS: Final = {
    "Condition": "condition",
    "CorrelationRule": "correlation",
    "FalsePositives": "falsepositives",
    "Identifier": "id",
    "Tag": "tags",
} | {
    each.capitalize(): each
    for each in (
        *("author", "date", "description", "detection", "fields", "filter", "level", "license"),
        *("logsource", "modified", "name", "references", "related", "scope", "status", "taxonomy"),
        "title",
    )
}
"""The keys that pySigma's exceptions are named after."""


def _line_of_part(text: str, what: object) -> int | None:
    names = (each.__name__[len("Sigma") : -len("Error")] for each in type(what).__mro__)
    keys = (_PARTS[name] for name in names if name in _PARTS)
    return line_of_key(text, key) if (key := next(keys, None)) else None


def read(name: str, text: str, expand: Expand, faults: list[Fault]) -> list[Document]:
    """Read the documents of a file; give the sound ones, and what is wrong into `faults`."""
    plain = _plain(name, text)
    if isinstance(plain, Fault):
        faults.append(plain)
        return []
    if not plain:
        faults.append(Fault(name, "holds no rule"))
    parts = zip(documents(text, len(plain)), plain, strict=True)
    found = (_document(Document(name, *each), expand, faults) for each in parts)
    return [each for each in found if each]


# --- YAML


class _Loader(SigmaYAMLLoader):
    """pySigma's, which also says where it was that something is no YAML of a rule."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise _marked("a merge key (<<): write its items out", key)
            text = self.construct_object(key, deep=True)
            if not isinstance(text, str):
                raise _marked(f"a key must be text, not {text!r}: write it in quotes", key)
            if text in seen:
                raise _marked(f"the key {text!r} stands here twice", key)
            seen.add(text)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # a date that is none, a number too long for int()
            raise _marked(str(error), node) from error


def _marked(problem: str, node: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _plain(name: str, text: str) -> list[Any] | Fault:
    """Give what the documents of a file say as plain data; empty ones are left out."""
    try:
        _bound_depth(text)
        return [each for each in yaml.load_all(text, _Loader) if each is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        return Fault(name, f"not YAML: {error.problem}", mark.line + 1 if mark else None)
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position]
        return Fault(name, f"not YAML: {error.reason}", before.count(b"\n") + 1)
    except UnicodeEncodeError as error:
        return Fault(name, f"not YAML: {error}")


def _bound_depth(text: str) -> None:
    """Refuse what would exhaust the stack: libyaml's composer calls itself, in C."""
    depth = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise _marked(f"nested deeper than {_DEEPEST} levels", event)


# --- one document


def _document(at: Document, expand: Expand, faults: list[Fault]) -> Document | None:
    """Have pySigma read one document; None, and into `faults` all that is wrong with it."""
    wrong: list[Fault] = []
    try:
        plain = _rule_like(at.made)
        detection = plain.get("detection", plain.get("filter"))
        wrong += [*_of_items(at, detection, expand), *_of_conditions(at, detection)]
        if not isinstance(plain.get("id", ""), str):
            wrong.append(at.fault(f"'id' must be a UUID in text, not {plain.pop('id')!r}", "id"))
        if "filter" in plain and not all(isinstance(each, str) for each in _named(detection)):
            wrong.append(at.fault("'rules' of a filter must be ids or names in text", "rules"))
        found = SigmaCollection.from_dicts(
            [plain], collect_errors=True, collect_filters=True, resolve_references=False
        )
        errors: list[Exception] = [*found.errors]
        made: list[Any] = [*found.rules, *found.filters]
    except ERRORS as error:
        errors, made = [error], [None]
    told = {each.text for each in wrong}
    wrong += [each for each in map(at.fault, errors) if each.text not in told]
    faults += wrong
    return None if wrong else replace(at, made=made[0])


def _rule_like(plain: Any) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise SigmaError("a rule is a mapping with title, logsource and detection")
    check_alias_expansion(plain, SigmaError)
    if "action" in plain:
        raise SigmaError("'action': rule collections are no part of Sigma 2")
    if len(plain.keys() & {"detection", "correlation", "filter"}) > 1:
        raise SigmaError("'detection', 'correlation' and 'filter' are documents of their own")
    return plain


def _named(detection: object) -> list[Any]:
    """Give the rules that a filter names, where it has a list of them."""
    rules = detection.get("rules") if isinstance(detection, Mapping) else None
    return rules if isinstance(rules, list) else []


def _of_items(at: Document, detection: object, expand: Expand) -> Iterator[Fault]:
    seen: Counter[str] = Counter()
    for key, error in item_faults(detection, expand):
        yield Fault(at.file, one_line(error), line_of_key(at.text, key, seen[key]))
        seen[key] += 1


# --- conditions, whatever is wrong with the items they join

_LONGEST: Final = 10_000
"""Letters of a condition; SigmaHQ's longest for Linux has 93. pySigma takes 10 s for 100,000."""

_MOST: Final = 50_000
"""Values that a condition may ask for, those of a selection each time it is named: 5 s."""

_WORD: Final = re.compile(r"[\w*-]+")


def _of_conditions(at: Document, detection: object) -> Iterator[Fault]:
    if not isinstance(detection, Mapping) or "condition" not in detection:
        return
    given = detection["condition"]
    conditions = given if isinstance(given, list) else [given]
    sizes = {name: _size(each) for name, each in detection.items() if name != "condition"}
    words = " ".join(map(str, conditions))
    if len(words) > _LONGEST:
        yield at.fault(f"'condition' has more than {_LONGEST:,} letters", "condition")
    elif sum(_asked(word, sizes) for word in _WORD.findall(words)) > _MOST:
        yield at.fault(f"'condition' asks for more than {_MOST:,} values", "condition")
    else:
        for each in conditions:
            try:
                _read_condition(each, sizes)
            except ERRORS as error:
                yield at.fault(error, "condition")


def _read_condition(condition: object, names: Iterable[str]) -> None:
    """Have pySigma read a condition, with selections of these names."""
    if not isinstance(condition, str) or not condition.strip():
        raise SigmaConditionError(f"'condition' must be text, not {condition!r}")
    item = SigmaDetectionItem("x", [], [SigmaString("x")])
    if selections := {name: SigmaDetection([item]) for name in names}:
        _ = SigmaDetections(selections, [condition]).parsed_condition[0].parsed


def _size(value: object) -> int:
    inner: Iterable[object] = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    return 1 + sum(map(_size, inner))


def _asked(word: str, sizes: Mapping[str, int]) -> int:
    return sum(sizes.values()) if word == "them" or "*" in word else sizes.get(word, 0)
