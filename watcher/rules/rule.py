"""A rule ready to run, and the pack of all that run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypedDict

from watcher.kinds import Kind, Severity
from watcher.record import Record
from watcher.rules import regex
from watcher.rules.evaluate import Fields
from watcher.rules.generate import Matcher, matcher
from watcher.rules.needs import Equal, Needs, all_of, needs
from watcher.rules.prefilter import ENTRIES, Bare, Prefilter
from watcher.rules.select import Selection
from watcher.rules.windows import CorrelationData

Example = str | Mapping[str, str]


class RuleHead(TypedDict):
    """What every rule document has, a correlation's too."""

    id: str
    title: str
    level: Severity
    file: str
    status: str
    description: str
    tags: list[str]
    silent: bool


class RuleData(RuleHead):
    """A rule as plain data: what parsing gives and a cache keeps. `condition` is of tree.py.

    A correlation's condition is one that nothing matches, and its examples are sequences.
    """

    condition: list[Any]
    kind: Kind | None
    notify: bool
    extract: str | None
    match: list[Any]
    ignore: list[Any]
    entries: list[str]
    never: str | None
    writers: list[str] | None
    correlation: CorrelationData | None


def counted(rules: Iterable[RuleData]) -> dict[str, list[str]]:
    """Give, by a correlation's id, the ids of the rules it counts."""
    return {rule["id"]: rule["correlation"]["rules"] for rule in rules if rule["correlation"]}


def beneath(rule: str, counts: Mapping[str, Sequence[str]]) -> set[str]:
    """Give the ids of all that a correlation counts, by way of others or not."""
    found: set[str] = set()
    waiting = list(counts.get(rule, ()))
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += counts.get(each, ())
    return found


@dataclass(frozen=True, eq=False)
class Rule:
    """One Sigma rule, compiled when it is first a candidate.

    `kind` binds it to what the catalogue makes of a line (None: any line). `needs` is what every
    record has that it matches. `examples` is what it must match and what it must ignore. `entries`
    are the kinds of journal entries it may match (kernel, audit, process); empty for one that is
    bound to a `kind`, which only the kernel's lines and their forgeries have. `never` says why it
    cannot match any; `writers` are the lower-case identifiers of programs it asks for (None: it
    does not). A `silent` rule is there only for correlations (Sigma's `generate`) and makes no
    event by itself. A `correlation` counts matches. `compiled` makes its function.
    """

    id: str
    title: str
    level: Severity
    file: str
    status: str
    description: str
    tags: tuple[str, ...]
    kind: Kind | None
    notify: bool
    condition: list[Any]
    needs: Needs
    extract: Any
    examples: tuple[list[Any], list[Any]]
    entries: frozenset[str]
    never: str | None
    writers: tuple[str, ...] | None
    silent: bool
    correlation: CorrelationData | None
    compiled: Callable[[list[Any]], Matcher] = matcher

    @cached_property
    def matches(self) -> Matcher:
        """Give the rule's function. Raises regex.PatternError for a pattern that re2 refuses."""
        return self.compiled(self.condition)

    def match(self, fields: Fields) -> bool:
        """Tell whether it matches; compiles it the first time."""
        return self.matches(fields)

    def bare(self) -> Bare:
        """Give it as one that needs no text in MESSAGE."""
        return Bare(self.needs, self.match, self.entries or ENTRIES)

    @property
    def looked_up(self) -> Equal | None:
        """Give values of indexed fields one of which each entry has that it may match.

        The kernel's own lines are none of them: they are read anyway. None: any entry may match.
        """
        if not self.entries - _KERNEL:
            return frozenset()
        if self.needs.equal is None and "process" not in self.entries:
            return frozenset({("_TRANSPORT", "audit")})
        return self.needs.equal

    def captured(self, text: str) -> dict[str, str]:
        """Give what the rule's `extract` captures from `text`."""
        found = self.extract.search(text) if self.extract else None
        return {k: v for k, v in found.groupdict().items() if v is not None} if found else {}


_KERNEL: Final = frozenset({"kernel"})


def compile_rule(data: RuleData) -> Rule:
    """Make a rule ready to run. Raises regex.PatternError where re2 refuses its `extract`."""
    return Rule(
        id=data["id"],
        title=data["title"],
        level=data["level"],
        file=data["file"],
        status=data["status"],
        description=data["description"],
        tags=tuple(data["tags"]),
        kind=data["kind"],
        notify=data["notify"],
        condition=data["condition"],
        needs=needs(data["condition"]),
        extract=regex.compiled(data["extract"]) if data["extract"] else None,
        examples=(data["match"], data["ignore"]),
        entries=frozenset(data["entries"]),
        never=data["never"],
        writers=None if data["writers"] is None else tuple(data["writers"]),
        silent=data["silent"],
        correlation=data["correlation"],
    )


@dataclass(frozen=True)
class Pack:
    """The rules that run, in order of their files."""

    rules: tuple[Rule, ...]

    def with_counted(self, ids: Collection[str]) -> Pack:
        """Give the rules of these ids and all that the correlations among them count."""
        counts = {r.id: r.correlation["rules"] for r in self.rules if r.correlation}
        wanted = {*ids, *(inner for each in ids for inner in beneath(each, counts))}
        return Pack(tuple(rule for rule in self.rules if rule.id in wanted))

    @cached_property
    def _running(self) -> list[Rule]:
        return [rule for rule in self.rules if not rule.never]

    @cached_property
    def _select(self) -> Selection:
        return Selection([rule.needs for rule in self._running])

    def prefilter(self, *also: bytes) -> Prefilter:
        """Make what decides cheaply which lines are worth a look, those with `also` included."""
        sets = [rule.needs.literals for rule in self._running]
        bare = [rule.bare() for rule in self._running if rule.needs.literals is None]
        texts = [each for each in sets if each is not None]
        return Prefilter(texts, *also, bare=bare, equal=all_of(r.looked_up for r in self._running))

    def matching(self, record: Record, kind: str | None) -> list[Rule]:
        """Give the rules that match `record`, of which the catalogue says it is of `kind`."""
        fields = Fields(record.fields)
        candidates = (self._running[number] for number in self._select.of(fields))
        return [r for r in candidates if r.kind in (None, kind) and r.matches(fields)]
