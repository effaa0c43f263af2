"""From the text of rule files to rules, and every fault said with its line."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from functools import reduce
from itertools import takewhile
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError
from sigma.correlations import SigmaCorrelationRule
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule

from watcher.kinds import SEVERITIES, Kind, Severity
from watcher.rules import possible, regex
from watcher.rules.document import Document, read
from watcher.rules.faults import Fault
from watcher.rules.items import ERRORS
from watcher.rules.parse_correlation import (
    CorrelationKey,
    Line,
    References,
    circles,
    correlation,
)
from watcher.rules.pipeline import for_journal
from watcher.rules.rule import Example, RuleData, RuleHead, compile_rule
from watcher.rules.tree import Expand, tree


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
    parsed = {name: read(name, text, expand or {}, faults) for name, text in texts.items()}
    made = {name: [each.made for each in docs] for name, docs in parsed.items()}
    filters = [doc for name in asked for doc in made[name] if isinstance(doc, SigmaFilter)]
    around = Around(filters, expand or {}, References(made, asked))
    rules = [rule for docs in parsed.values() for rule in _rules(docs, around, faults)]
    faults += [
        Fault(each["file"], f"{each['title']}: the correlation counts its own hits")
        for each in circles({rule["id"]: rule for rule in rules}.values())
    ]
    broken = {fault.file for fault in faults}
    return [rule for rule in rules if rule["file"] not in broken], faults


class Around(NamedTuple):
    """What else makes a rule: filter documents, what placeholders stand for, the other rules."""

    filters: list[SigmaFilter]
    expand: Expand
    refer: References


def _rules(docs: list[Document], around: Around, faults: list[Fault]) -> Iterator[RuleData]:
    """Give the rules of a file; what is wrong goes into `faults`."""
    seen: set[str] = set()
    for doc in docs:
        if not isinstance(doc.made, SigmaFilter):
            wrong: list[Fault] = []
            data = _rule(doc, around, wrong)
            if data and data["id"] in seen:  # the later would silently replace the earlier
                wrong.append(doc.fault(f"two rules of the id {data['id']}", "id"))
            faults += wrong
            if data:
                seen.add(data["id"])
                yield data


def _rule(doc: Document, around: Around, faults: list[Fault]) -> RuleData | None:
    """Give the rule of a document; None, and into `faults` all that is wrong with it."""
    correlates = isinstance(doc.made, SigmaCorrelationRule)
    key = _key(doc, CorrelationKey if correlates else _WatcherKey, faults)
    # What is bound to the catalogue speaks for itself, whatever else counts it.
    silent = around.refer.silent(str(doc.made.id)) and getattr(key, "kind", None) is None
    faults += [doc.fault(said, "title") for said in _missing(doc.made, silent=silent)]
    if key is None or faults:
        return None
    make = _correlation if correlates else _detection
    try:
        data = make(doc, key, _head(doc, silent=silent), around)
        _ = compile_rule(data).matches  # for its faults: a pattern that re2 refuses
    except ERRORS as error:
        faults.append(doc.fault(error, "correlation" if correlates else "condition"))
        return None
    return data


def _missing(made: SigmaRule | SigmaCorrelationRule, *, silent: bool) -> Iterator[str]:
    if made.id is None:
        yield "a rule needs an id (a UUID), which its events carry"
    if _level(made) is None and not silent:
        yield "a rule needs a level, which its events get as severity"


def _head(doc: Document, *, silent: bool) -> RuleHead:
    made: SigmaRule | SigmaCorrelationRule = doc.made
    return RuleHead(
        id=str(made.id),
        title=made.title,
        level=_level(made) or "informational",
        file=doc.file,
        status=made.status.name.lower() if made.status else "",
        description=" ".join((made.description or "").split()),
        tags=[str(tag) for tag in made.tags],
        silent=silent,
    )


def _level(made: SigmaRule | SigmaCorrelationRule) -> Severity | None:
    name = made.level.name.lower() if made.level else None
    return next((each for each in SEVERITIES if each == name), None)


def _detection(doc: Document, key: _WatcherKey, head: RuleHead, around: Around) -> RuleData:
    filtered: SigmaRule = reduce(lambda rule, f: f.apply_on_rule(rule), around.filters, doc.made)
    for_journal(filtered)
    condition = tree(filtered.detection.parsed_condition, around.expand)
    return RuleData(
        **head,
        condition=condition,
        kind=key.kind,
        notify=key.notify,
        extract=key.extract,
        match=_plain(key.examples.match),
        ignore=_plain(key.examples.ignore),
        entries=[] if key.kind else sorted(possible.kinds(condition)),
        never=_never(filtered, condition),
        writers=_writers(condition),
        correlation=None,
    )


def _writers(condition: list[Any]) -> list[str] | None:
    found = possible.demanded(condition, "SYSLOG_IDENTIFIER")
    return None if found is None else sorted(found)


def _never(made: SigmaRule, condition: list[Any]) -> str | None:
    if made.logsource.product not in {None, "linux"}:
        return f"is about {made.logsource.product}"
    return possible.never(condition)


def _correlation(doc: Document, key: CorrelationKey, head: RuleHead, around: Around) -> RuleData:
    return RuleData(
        **head,
        condition=["or", []],
        kind=None,
        notify=key.notify,
        extract=None,
        match=[_plain(each) for each in key.examples.match],
        ignore=[_plain(each) for each in key.examples.ignore],
        entries=[],
        never=None,
        writers=None,
        correlation=correlation(doc.file, doc.made, key, around.refer),
    )


def _plain(examples: list[Line]) -> list[Example]:
    return [e if isinstance(e, str) else {k: str(v) for k, v in e.items()} for e in examples]


# --- the key of ours


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


_NO_EXAMPLE: Final = "a rule with the key watcher needs watcher.examples.match"
_NO_GROUP: Final = "'extract' captures nothing: it needs a group (?P<name>...)"


def _key(doc: Document, model: type[Any], faults: list[Fault]) -> Any:
    """Give the document's key `watcher`; None, and into `faults` all that is wrong with it."""
    attributes = doc.made.custom_attributes
    try:
        key = model.model_validate(attributes.get("watcher", {}))
    except ValidationError as error:
        faults += dict.fromkeys(_key_fault(doc, each) for each in error.errors())
        return None
    if "watcher" in attributes and not key.examples.match:
        faults.append(doc.fault(_NO_EXAMPLE, "watcher"))
    if extract := getattr(key, "extract", None):
        try:
            if not regex.compiled(extract).groupindex:
                faults.append(doc.fault(_NO_GROUP, "extract"))
        except regex.PatternError as error:
            faults.append(doc.fault(error, "extract"))
    return key


def _key_fault(doc: Document, each: Any) -> Fault:
    # A type of its own in the place is pydantic's word for one of several that it tried.
    loc = list(takewhile(lambda part: part != "str" and "[" not in str(part), each["loc"]))
    path = ".".join(str(part) for part in ("watcher", *loc))
    names = [part for part in ("watcher", *loc) if isinstance(part, str)]
    return doc.fault(f"{path}: {_key_words(each, loc)}", names[-1])


def _key_words(each: Any, loc: list[Any]) -> str:
    if len(loc) < len(each["loc"]):
        return "must be a message, or the fields of an entry"
    if each["type"] in ("model_type", "model_attributes_type"):
        return "must be a mapping"
    if each["type"] != "extra_forbidden":
        return str(each["msg"])
    keys = {**_WatcherKey.model_fields, **CorrelationKey.model_fields}
    known = _Examples.model_fields if "examples" in loc[:-1] else keys
    near = difflib.get_close_matches(str(loc[-1]), known, n=1)
    return "unknown key" + (f", did you mean {near[0]}?" if near else "")
