"""From a parsed Sigma correlation to data, and which rule is meant by a name or an id.

What cannot be told when a record arrives is refused here by name: that few matches came, or that
an average stays low, is known only when a window is over.
"""

from __future__ import annotations

import difflib
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from sigma.correlations import SigmaCorrelationCondition, SigmaCorrelationRule
from sigma.filters import SigmaFilter

from watcher.rules.event_fields import mistaken
from watcher.rules.rule import RuleData, beneath, counted
from watcher.rules.tree import UnsupportedError
from watcher.rules.windows import CorrelationData, microseconds

MOST: Final = 10_000
"""The largest count a condition may ask for: so many matches a group may have to remember."""
MOST_RULES: Final = 64
_SHOWN: Final = 200
LONGEST_S: Final = 10 * 366 * 86_400

_TYPES: Final = ("event_count", "value_count", "temporal", "temporal_ordered", "value_sum")
_KEYS: Final = ("type", "rules", "group-by", "timespan", "condition", "aliases", "generate")

Line = str | dict[str, str | int]


class Sequences(BaseModel):
    """Sequences of lines that are to be a hit, and that are not."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    match: list[list[Line]] = []
    ignore: list[list[Line]] = []


class CorrelationKey(BaseModel):
    """What the key `watcher` may hold in a correlation."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    notify: bool = False
    new_after: str | None = None
    examples: Sequences = Sequences()


class References:
    """Every rule that can be meant, by id and by name; a name is one file's before the others'.

    Correlations in the files `own` decide which rules are silent.
    """

    def __init__(self, documents: Mapping[str, Sequence[Any]], own: Collection[str]) -> None:
        self._ids: set[str] = set()
        self._names: dict[str, dict[str, list[str]]] = defaultdict(dict)
        self._hushed: set[str] = set()
        self._said: set[str] = set()
        for file, docs in documents.items():
            for doc in docs:
                if doc.id is not None and not isinstance(doc, SigmaFilter):
                    self._ids.add(str(doc.id))
                    if doc.name:
                        self._names[doc.name].setdefault(file, []).append(str(doc.id))
        for file, doc in _correlations({file: documents[file] for file in own}):
            for each in doc.rules or ():
                known = self._found(file, each.reference)
                (self._said if doc.generate else self._hushed).update(known)

    def silent(self, rule: str) -> bool:
        """Tell whether a rule is there only for correlations (`generate` is false in all)."""
        return rule in self._hushed and rule not in self._said

    def find(self, file: str, reference: str) -> str:
        """Give the id of the rule that is meant in `file`. Raises UnsupportedError."""
        found = self._found(file, reference)
        if len(found) == 1:
            return found[0]
        if found:
            raise UnsupportedError(f"{reference!r} is the name of {len(found)} rules: use the id")
        near = difflib.get_close_matches(str(reference), self._names, n=1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise UnsupportedError(f"no rule has the id or name {reference!r}{hint}")

    def _found(self, file: str, reference: object) -> list[str]:
        by_file = self._names.get(str(reference), {})
        if file in by_file:
            return by_file[file]
        if by_file:
            return sorted({each for ids in by_file.values() for each in ids})
        known = _as_id(reference)
        return [known] if known in self._ids else []


def _correlations(
    documents: Mapping[str, Sequence[Any]],
) -> Iterator[tuple[str, SigmaCorrelationRule]]:
    for file, docs in documents.items():
        for doc in docs:
            off = doc.status is not None and doc.status.name == "DEPRECATED"
            if isinstance(doc, SigmaCorrelationRule) and not off:
                yield file, doc


def _as_id(reference: object) -> str:
    try:
        return str(uuid.UUID(str(reference)))
    except ValueError:
        return ""


def correlation(
    file: str, doc: SigmaCorrelationRule, key: CorrelationKey, refer: References
) -> CorrelationData:
    """Give the correlation as data. Raises UnsupportedError with what cannot be meant."""
    given = doc.custom_attributes.get("correlation", {})
    _known_keys(given)
    _named_fields(given)
    kind = doc.type.name.lower()
    if kind not in _TYPES:
        raise UnsupportedError(f"the correlation type {kind!r} is not supported: {_WHY_NOT}")
    rules = _rules(file, doc, refer)
    at_least, more = _condition(kind, doc.condition, rules)
    data = CorrelationData(
        type=kind,  # type: ignore[typeddict-item]
        rules=rules,
        group_by=list(dict.fromkeys(doc.group_by or ())),
        aliases=_aliases(file, doc, rules, refer),
        timespan_us=_timespan_s(doc) * 1_000_000,
        at_least=at_least,
        more=more,
        field=_field(kind, doc.condition),
        generate=doc.generate,
        new_after_us=_new_after_us(key.new_after, kind, at_least),
    )
    _known_fields([*data["group_by"], *data["field"]], data["aliases"])
    return data


_WHY_NOT: Final = "it is known only when a window is over, and records are judged as they arrive"


def _known_keys(given: Mapping[str, object]) -> None:
    for key in given:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise UnsupportedError(f"correlation: unknown key {key!r}{hint}")


def _named_fields(given: Mapping[str, Any]) -> None:
    """Refuse names of fields that pySigma would make of something else."""
    condition = given.get("condition")
    condition = condition if isinstance(condition, dict) else {}
    if "percentile" in condition:
        raise UnsupportedError("'percentile' in 'condition' is for a value_percentile")
    aliases = (mapping.values() for mapping in (given.get("aliases") or {}).values())
    for named in (given.get("group-by"), condition.get("field"), *map(list, aliases)):
        for each in named if isinstance(named, list) else [named]:
            if not isinstance(each, str) and named is not None:
                raise UnsupportedError(f"the name of a field is text, not {each!r}"[:_SHOWN])


def _rules(file: str, doc: SigmaCorrelationRule, refer: References) -> list[str]:
    found = [refer.find(file, each.reference) for each in doc.rules or ()]
    if not 0 < len(found) <= MOST_RULES:
        raise UnsupportedError(f"'rules' must name 1 to {MOST_RULES} rules")
    return found if doc.type.name == "TEMPORAL_ORDERED" else list(dict.fromkeys(found))


def _aliases(
    file: str, doc: SigmaCorrelationRule, rules: Collection[str], refer: References
) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for alias in doc.aliases:
        mapping = {refer.find(file, r.reference): str(f) for r, f in alias.mapping.items()}
        if strange := mapping.keys() - set(rules):
            raise UnsupportedError(
                f"the alias {alias.alias!r} is for a rule ({min(strange)}) that is not in 'rules'"
            )
        found[alias.alias] = mapping
    return found


def _timespan_s(doc: SigmaCorrelationRule) -> int:
    if doc.timespan.seconds > LONGEST_S:
        raise UnsupportedError(f"'timespan' {doc.timespan.spec} is longer than ten years")
    return doc.timespan.seconds


# --- the condition


def _condition(kind: str, given: object, rules: Sequence[str]) -> tuple[float, bool]:
    """Give what is to be reached, and whether it must be exceeded."""
    if not isinstance(given, SigmaCorrelationCondition):
        raise UnsupportedError("a 'condition' that is an expression over rules is not supported")
    name, count = given.op.name.lower(), given.count
    if name in {"lt", "lte", "neq"} or (name == "eq" and kind == "value_sum"):
        raise UnsupportedError(f"{name!r} in 'condition' cannot be told of a {kind}: {_WHY_NOT}")
    if kind == "value_sum":
        return count, name == "gt"
    if count != int(count):
        raise UnsupportedError(f"{count!r} in 'condition' is no whole number")
    return _reached(kind, int(count) + (name == "gt"), rules), False


def _reached(kind: str, count: int, rules: Sequence[str]) -> int:
    if not 0 < count <= MOST:
        raise UnsupportedError(f"'condition' must ask for 1 to {MOST}, not {count}")
    if kind == "temporal" and count > len(rules):
        raise UnsupportedError(f"'condition' asks for {count} rules of {len(rules)}")
    if kind == "temporal_ordered" and count != len(rules):
        raise UnsupportedError("'condition' of a temporal_ordered can only ask for all its rules")
    return count


def _field(kind: str, given: Any) -> list[str]:
    named = given.fieldref
    found = [named] if isinstance(named, str) else [str(each) for each in named or ()]
    if not kind.startswith("value_"):
        if found:
            raise UnsupportedError(f"'field' in 'condition' means nothing to a {kind}")
        return []
    if not found or (kind == "value_sum" and len(found) > 1):
        raise UnsupportedError(f"a {kind} needs one 'field' in its 'condition'")
    return found


def _new_after_us(given: str | None, kind: str, at_least: float) -> int | None:
    if given is None:
        return None
    found = microseconds(given)
    if found is None:
        raise UnsupportedError(f"watcher.new_after: {given!r} is no time like 30m, 12h or 1d")
    if kind != "event_count" or at_least != 1:
        raise UnsupportedError("'new_after' is for an event_count with the condition gte: 1")
    return found


def _known_fields(names: Iterable[str], aliases: Mapping[str, Mapping[str, str]]) -> None:
    real = [f for each in aliases.values() for f in each.values()]
    for name in [*(n for n in names if n not in aliases), *real]:
        if fault := mistaken(name):
            raise UnsupportedError(fault)


def circles(rules: Iterable[RuleData]) -> list[RuleData]:
    """Give correlations that, by way of others or not, count their own hits."""
    left = {rule["id"]: rule for rule in rules if rule["correlation"]}
    counts = counted(left.values())
    while ends := [each for each in left if not any(rule in left for rule in counts[each])]:
        for each in ends:
            del left[each]
    return [rule for each, rule in left.items() if each in beneath(each, counts)]
