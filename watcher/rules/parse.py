"""From the text of a rule file to rules, and every fault said with its line."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Mapping
from functools import reduce
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import (
    SigmaConditionError,
    SigmaDetectionError,
    SigmaError,
    SigmaFilterError,
    SigmaIdentifierError,
    SigmaLogsourceError,
    SigmaTagError,
)
from sigma.filters import SigmaFilter
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaRule, SigmaYAMLLoader

from watcher.kinds import SEVERITIES, Kind, Severity
from watcher.rules import possible
from watcher.rules.faults import Fault, documents, line_of, line_of_key, one_line
from watcher.rules.items import ERRORS, item_faults
from watcher.rules.parse_correlation import (
    CorrelationKey,
    Line,
    References,
    circles,
    correlation,
)
from watcher.rules.pipeline import for_journal
from watcher.rules.rule import Example, RuleData, RuleHead, compile_rule
from watcher.rules.tree import Expand, UnsupportedError, tree

# The specification's name for what pySigma knows as its alias, `wide` (appendix "Modifiers").
modifier_mapping.setdefault("utf16le", modifier_mapping["wide"])

_SHOWN: Final = 300
_DEEPEST: Final = 64


class _Examples(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    match: list[Line] = []
    ignore: list[Line] = []


class _WatcherKey(BaseModel):
    """The one key of ours in a Sigma rule (design: Contract, files and config)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Kind | None = None
    notify: bool = False
    extract: str | None = None
    examples: _Examples = _Examples()


def parse(
    texts: Mapping[str, str], expand: Expand | None = None, only: Collection[str] | None = None
) -> tuple[list[RuleData], list[Fault]]:
    """Read rule files (name to text), in order; filter documents apply to all of them.

    `expand` says what placeholders stand for. A file with a fault gives no rule; every fault of
    every file is in the answer. With `only`, the other files are there to be counted by the
    correlations of these, and nothing else in them has an effect.
    """
    faults: list[Fault] = []
    asked = texts.keys() if only is None else only
    parsed = {name: _documents(name, text, faults) for name, text in texts.items()}
    filters = [doc for name in asked for doc in parsed[name] if isinstance(doc, SigmaFilter)]
    around = filters, expand or {}, References(parsed, asked)
    rules: list[RuleData] = []
    for name, made in parsed.items():
        own: list[RuleData] = []
        for doc in made:
            if not isinstance(doc, SigmaFilter):
                own += _rule(name, doc, around, texts[name], faults)
        faults += [Fault(name, f"two rules of the id {twice}") for twice in _twice(own)]
        rules += own
    for each in circles({rule["id"]: rule for rule in rules}.values()):
        faults.append(Fault(each["file"], f"{each['title']}: the correlation counts its own hits"))
    return rules, faults


def _twice(rules: list[RuleData]) -> list[str]:
    """Give ids that one file holds twice: the later would silently replace the earlier."""
    return [each for each, count in Counter(rule["id"] for rule in rules).items() if count > 1]


def _documents(name: str, text: str, faults: list[Fault]) -> list[Any]:
    try:
        _bound_depth(text)
        plain = [_mapping(doc) for doc in yaml.load_all(text, SigmaYAMLLoader)]
        if not plain:
            faults.append(Fault(name, "holds no rule"))
        texts = documents(text, len(plain))
        found = [_document(name, *each, faults) for each in zip(plain, texts, strict=True)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        faults.append(Fault(name, f"not YAML: {error.problem}", mark.line + 1 if mark else None))
    except (*ERRORS, yaml.YAMLError) as error:
        faults.append(Fault(name, one_line(error), line_of(text, error)))
    except RecursionError:
        faults.append(Fault(name, "nested too deeply"))
    else:
        return [] if None in found else found
    return []


def _document(name: str, plain: dict[str, Any], text: str, faults: list[Fault]) -> Any:
    """Give pySigma's object of one document; None if anything is wrong with it."""
    wrong = _item_faults(name, plain, text)
    found = SigmaCollection.from_dicts(
        [plain], collect_errors=True, collect_filters=True, resolve_references=False
    )
    made = [*found.rules, *found.filters]
    errors: list[Exception] = list(found.errors)
    if not errors and made and isinstance(made[0], SigmaFilter):
        errors = _of_filter(made[0])
    told = {fault.text for fault in wrong}
    wrong += [
        Fault(name, said, _line_of_part(text, error))
        for error in errors
        if (said := one_line(error)) not in told
    ]
    faults += wrong
    return None if wrong or not made else made[0]


def _item_faults(name: str, plain: dict[str, Any], text: str) -> list[Fault]:
    seen: Counter[str] = Counter()
    found = []
    for key, error in item_faults(plain.get("detection", plain.get("filter"))):
        found.append(Fault(name, one_line(error), line_of_key(text, key, seen[key])))
        seen[key] += 1
    return found


def _of_filter(doc: SigmaFilter) -> list[Exception]:
    """Say what is wrong with a filter's condition, which pySigma looks at where it is applied."""
    try:
        for condition in doc.filter.parsed_condition:
            _ = condition.parsed
    except ERRORS as error:
        return [error]
    return []


_PARTS: Final = (
    (SigmaIdentifierError, "id"),
    (SigmaTagError, "tags"),
    (SigmaDetectionError, "detection"),
    (SigmaConditionError, "condition"),
    (SigmaLogsourceError, "logsource"),
    (SigmaFilterError, "filter"),
)


def _line_of_part(text: str, error: Exception) -> int | None:
    if not isinstance(error, SigmaConditionError) and (line := line_of(text, error)):
        return line
    keys = (key for kind, key in _PARTS if isinstance(error, kind))
    return line_of_key(text, key) if (key := next(keys, None)) else None


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
    detection = doc.get("detection")
    if isinstance(detection, dict) and not isinstance(detection.get("condition", ""), str | list):
        raise SigmaError(f"'condition' must be text, not {detection['condition']!r}"[:_SHOWN])
    if not isinstance(doc.get("id", ""), str):
        raise SigmaError(f"'id' must be a UUID in text, not {doc['id']!r}"[:_SHOWN])
    return doc


Around = tuple[list[SigmaFilter], Expand, References]
"""What else makes a rule: filter documents, what placeholders stand for, the other rules."""


def _rule(name: str, doc: Any, around: Around, text: str, faults: list[Fault]) -> list[RuleData]:
    filters, expand, refer = around
    try:
        if isinstance(doc, SigmaCorrelationRule):
            data = _correlation(name, doc, refer)
        else:
            filtered: SigmaRule = reduce(lambda r, f: f.apply_on_rule(r), filters, doc)
            data = _data(name, filtered, expand, refer)
        _ = compile_rule(data).matches  # for its faults: a pattern that re2 refuses
    except ValidationError as error:
        faults += [
            Fault(name, _key_fault(each), line_of(text, each["loc"])) for each in error.errors()
        ]
    except ERRORS as error:
        key = "correlation" if isinstance(doc, SigmaCorrelationRule) else "condition"
        line = _line_of_part(text, error) or line_of_key(text, key)
        faults.append(Fault(name, one_line(error), line))
    except RecursionError:
        faults.append(Fault(name, "nested too deeply"))
    else:
        return [data]
    return []


def _data(name: str, doc: SigmaRule, expand: Expand, refer: References) -> RuleData:
    key = _WatcherKey.model_validate(doc.custom_attributes.get("watcher", {}))
    if "watcher" in doc.custom_attributes and not key.examples.match:
        raise UnsupportedError("a rule with the key watcher needs watcher.examples.match")
    if key.extract and "(?P<" not in key.extract:
        raise UnsupportedError("'extract' captures nothing: it needs a group (?P<name>...)")
    # What is bound to the catalogue speaks for itself, whatever else counts it.
    silent = refer.silent(str(doc.id)) and key.kind is None
    for_journal(doc)
    condition = tree(doc.detection.parsed_condition, expand)
    return RuleData(
        **_head(name, doc, silent=silent),
        condition=condition,
        kind=key.kind,
        notify=key.notify,
        extract=key.extract,
        match=_plain(key.examples.match),
        ignore=_plain(key.examples.ignore),
        entries=[] if key.kind else sorted(possible.kinds(condition)),
        never=_never(doc, condition),
        writers=_writers(condition),
        correlation=None,
    )


def _writers(condition: list[Any]) -> list[str] | None:
    found = possible.demanded(condition, "SYSLOG_IDENTIFIER")
    return None if found is None else sorted(found)


def _never(doc: SigmaRule, condition: list[Any]) -> str | None:
    if doc.logsource.product not in {None, "linux"}:
        return f"is about {doc.logsource.product}"
    return possible.never(condition)


def _correlation(name: str, doc: SigmaCorrelationRule, refer: References) -> RuleData:
    key = CorrelationKey.model_validate(doc.custom_attributes.get("watcher", {}))
    if "watcher" in doc.custom_attributes and not key.examples.match:
        raise UnsupportedError("a correlation with the key watcher needs watcher.examples.match")
    return RuleData(
        **_head(name, doc, silent=refer.silent(str(doc.id))),
        condition=["or", []],
        kind=None,
        notify=key.notify,
        extract=None,
        match=[_plain(each) for each in key.examples.match],
        ignore=[_plain(each) for each in key.examples.ignore],
        entries=[],
        never=None,
        writers=None,
        correlation=correlation(name, doc, key, refer),
    )


def _head(name: str, doc: SigmaRule | SigmaCorrelationRule, *, silent: bool) -> RuleHead:
    if doc.id is None:
        raise UnsupportedError("a rule needs an id (a UUID), which its events carry")
    return RuleHead(
        id=str(doc.id),
        title=doc.title,
        level=_level(doc, silent=silent),
        file=name,
        status=doc.status.name.lower() if doc.status else "",
        description=" ".join((doc.description or "").split()),
        tags=[str(tag) for tag in doc.tags],
        silent=silent,
    )


def _level(doc: SigmaRule | SigmaCorrelationRule, *, silent: bool) -> Severity:
    for severity in SEVERITIES:
        if doc.level is not None and doc.level.name.lower() == severity:
            return severity
    if silent:
        return "informational"
    raise UnsupportedError("a rule needs a level, which its events get as severity")


def _plain(examples: list[Line]) -> list[Example]:
    return [e if isinstance(e, str) else {k: str(v) for k, v in e.items()} for e in examples]


def _key_fault(each: Any) -> str:
    path = ".".join(str(part) for part in ("watcher", *each["loc"]))
    if each["type"] in ("model_type", "model_attributes_type"):
        return f"{path}: must be a mapping"
    if each["type"] != "extra_forbidden":
        return f"{path}: {each['msg']}"
    keys = {**_WatcherKey.model_fields, **CorrelationKey.model_fields}
    known = _Examples.model_fields if "examples" in each["loc"][:-1] else keys
    near = difflib.get_close_matches(str(each["loc"][-1]), known, n=1)
    return f"{path}: unknown key" + (f", did you mean {near[0]}?" if near else "")
