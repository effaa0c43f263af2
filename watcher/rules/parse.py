"""From the text of a rule file to rules, and every fault said with its line."""

from __future__ import annotations

import difflib
import re
import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaRule, SigmaYAMLLoader

from watcher.kinds import SEVERITIES, Kind, Severity
from watcher.rules import possible
from watcher.rules.pipeline import for_journal
from watcher.rules.rule import Example, RuleData, compile_rule
from watcher.rules.tree import Expand, UnsupportedError, tree

# The specification's name for what pySigma knows as its alias, `wide` (appendix "Modifiers").
modifier_mapping.setdefault("utf16le", modifier_mapping["wide"])

_FAULT_WIDTH: Final = 300
_DEEPEST: Final = 64
_GRAMMAR: Final = re.compile(r"Expected .*, found '(.*)' +\(at char \d+\)")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a rule file; `line` counts from 1 where it is known."""

    file: str
    text: str
    line: int | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.text}"


class _Examples(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    match: list[str | dict[str, str | int]] = []
    ignore: list[str | dict[str, str | int]] = []


class _WatcherKey(BaseModel):
    """The one key of ours in a Sigma rule (design: Contract, files and config)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Kind | None = None
    notify: bool = False
    extract: str | None = None
    examples: _Examples = _Examples()


def parse(
    texts: Mapping[str, str], expand: Expand | None = None
) -> tuple[list[RuleData], list[Fault]]:
    """Read rule files (name to text), in order; filter documents apply to all of them.

    `expand` says what placeholders stand for. A file with a fault gives no rule; every fault of
    every file is in the answer.
    """
    faults: list[Fault] = []
    parsed = {name: _documents(name, text, faults) for name, text in texts.items()}
    filters = [doc for docs in parsed.values() for doc in docs if isinstance(doc, SigmaFilter)]
    rules: list[RuleData] = []
    for name, documents in parsed.items():
        own: list[RuleData] = []
        for doc in documents:
            if not isinstance(doc, SigmaFilter):
                own += _rule(name, doc, (filters, expand or {}), texts[name], faults)
        faults += [Fault(name, f"two rules of the id {twice}") for twice in _twice(own)]
        rules += own
    return rules, faults


def _twice(rules: list[RuleData]) -> list[str]:
    """Give ids that one file holds twice: the later would silently replace the earlier."""
    return [each for each, count in Counter(rule["id"] for rule in rules).items() if count > 1]


def _documents(name: str, text: str, faults: list[Fault]) -> list[Any]:
    try:
        _bound_depth(text)
        plain = [_mapping(doc) for doc in yaml.load_all(text, SigmaYAMLLoader)]
        found = SigmaCollection.from_dicts(
            plain, collect_errors=True, collect_filters=True, resolve_references=False
        )
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        faults.append(Fault(name, f"not YAML: {error.problem}", mark.line + 1 if mark else None))
    except (SigmaError, yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:
        faults.append(Fault(name, _one_line(error), _line_of(text, error)))
    except RecursionError:
        faults.append(Fault(name, "nested too deeply"))
    else:
        if not found.rules and not found.filters and not found.errors:
            faults.append(Fault(name, "holds no rule"))
        faults += [Fault(name, _one_line(e), _line_of(text, e)) for e in found.errors]
        return [] if found.errors else [*found.rules, *found.filters]
    return []


def _bound_depth(text: str) -> None:
    """Refuse what would exhaust the stack: libyaml's composer calls itself, in C."""
    depth = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise SigmaError(f"nested deeper than {_DEEPEST} levels")


def _mapping(doc: object) -> dict[str, Any]:
    if not isinstance(doc, dict):
        raise SigmaError("a rule is a mapping with title, logsource and detection")
    if not isinstance(doc.get("id", ""), str):
        raise SigmaError(f"'id' must be a UUID in text, not {doc['id']!r}"[:_FAULT_WIDTH])
    return doc


Around = tuple[list[SigmaFilter], Expand]
"""What else makes a rule: the filter documents, and what placeholders stand for."""


def _rule(name: str, doc: Any, around: Around, text: str, faults: list[Fault]) -> list[RuleData]:
    filters, expand = around
    try:
        if isinstance(doc, SigmaCorrelationRule):
            raise UnsupportedError("correlation rules are not supported")
        filtered: SigmaRule = reduce(lambda r, f: f.apply_on_rule(r), filters, doc)
        data = _data(name, filtered, expand)
        _ = compile_rule(data).matches  # for its faults: a pattern that re2 refuses
    except ValidationError as error:
        faults += [
            Fault(name, _key_fault(each), _line_of(text, each["loc"])) for each in error.errors()
        ]
    except (SigmaError, ValueError, TypeError, AttributeError, KeyError) as error:
        faults.append(Fault(name, _one_line(error), _line_of(text, "condition")))
    except RecursionError:
        faults.append(Fault(name, "nested too deeply"))
    else:
        return [data]
    return []


def _data(name: str, doc: SigmaRule, expand: Expand) -> RuleData:
    key = _WatcherKey.model_validate(doc.custom_attributes.get("watcher", {}))
    if "watcher" in doc.custom_attributes and not key.examples.match:
        raise UnsupportedError("a rule with the key watcher needs watcher.examples.match")
    if doc.id is None:
        raise UnsupportedError("a rule needs an id (a UUID), which its events carry")
    if key.extract and "(?P<" not in key.extract:
        raise UnsupportedError("'extract' captures nothing: it needs a group (?P<name>...)")
    for_journal(doc)
    condition = tree(doc.detection.parsed_condition, expand)
    return RuleData(
        id=str(doc.id),
        title=doc.title,
        level=_level(doc),
        file=name,
        status=doc.status.name.lower() if doc.status else "",
        description=" ".join((doc.description or "").split()),
        tags=[str(tag) for tag in doc.tags],
        condition=condition,
        kind=key.kind,
        notify=key.notify,
        extract=key.extract,
        match=_plain(key.examples.match),
        ignore=_plain(key.examples.ignore),
        entries=[] if key.kind else sorted(possible.kinds(condition)),
        never=_never(doc, condition),
        writers=_writers(condition),
    )


def _writers(condition: list[Any]) -> list[str] | None:
    found = possible.demanded(condition, "SYSLOG_IDENTIFIER")
    return None if found is None else sorted(found)


def _never(doc: SigmaRule, condition: list[Any]) -> str | None:
    if doc.logsource.product not in {None, "linux"}:
        return f"is about {doc.logsource.product}"
    return possible.never(condition)


def _level(doc: SigmaRule) -> Severity:
    for severity in SEVERITIES:
        if doc.level is not None and doc.level.name.lower() == severity:
            return severity
    raise UnsupportedError("a rule needs a level, which its events get as severity")


def _plain(examples: list[str | dict[str, str | int]]) -> list[Example]:
    return [e if isinstance(e, str) else {k: str(v) for k, v in e.items()} for e in examples]


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if cut := _GRAMMAR.match(text):
        text = f"'condition' cannot be read from {cut[1]!r} on" if cut[1] else text
    return textwrap.shorten(text, _FAULT_WIDTH, placeholder="...")


def _key_fault(each: Any) -> str:
    path = ".".join(str(part) for part in ("watcher", *each["loc"]))
    if each["type"] != "extra_forbidden":
        return f"{path}: {each['msg']}"
    known = _Examples.model_fields if "examples" in each["loc"][:-1] else _WatcherKey.model_fields
    near = difflib.get_close_matches(str(each["loc"][-1]), known, n=1)
    return f"{path}: unknown key" + (f", did you mean {near[0]}?" if near else "")


def _line_of(text: str, what: Any) -> int | None:
    """Find the line a fault is about by the name it quotes; None where it names none."""
    words = [str(part) for part in what] if isinstance(what, tuple) else _quoted(str(what))
    for word in reversed(words):
        for number, line in enumerate(text.splitlines(), 1):
            if word and word in line:
                return number
    return None


def _quoted(text: str) -> list[str]:
    return text.split("'")[1::2] if "'" in text else [text]
