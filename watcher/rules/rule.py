"""A rule ready to run, and the pack of all that run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from watcher.kinds import Kind, Severity
from watcher.record import Record
from watcher.rules import regex
from watcher.rules.evaluate import Fields, Matcher, matcher
from watcher.rules.prefilter import Literals, Prefilter, required

Example = str | Mapping[str, str]


class RuleData(TypedDict):
    """A rule as plain data: what parsing gives and a cache keeps. `condition` is of tree.py."""

    id: str
    title: str
    level: Severity
    file: str
    status: str
    description: str
    tags: list[str]
    condition: list[Any]
    kind: Kind | None
    notify: bool
    extract: str | None
    match: list[Example]
    ignore: list[Example]
    entries: list[str]
    never: str | None
    writers: list[str] | None


@dataclass(frozen=True)
class Rule:
    """One Sigma rule, compiled.

    `kind` binds it to what the catalogue makes of a line (None: any line). `literals` are
    lower-case texts one of which stands in MESSAGE whenever the rule matches (None: unknown).
    `examples` is what it must match and what it must ignore. `entries` are the kinds of journal
    entries it may match (kernel, audit, process); empty for one that is bound to a `kind`, which
    only the kernel's lines and their forgeries have. `never` says why it cannot match any;
    `writers` are the lower-case identifiers of programs it asks for (None: it does not).
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
    matches: Matcher
    literals: Literals | None
    extract: Any
    examples: tuple[list[Example], list[Example]]
    entries: frozenset[str]
    never: str | None
    writers: tuple[str, ...] | None

    def captured(self, text: str) -> dict[str, str]:
        """Give what the rule's `extract` captures from `text`."""
        found = self.extract.search(text) if self.extract else None
        return {k: v for k, v in found.groupdict().items() if v is not None} if found else {}


def compile_rule(data: RuleData) -> Rule:
    """Make a rule ready to run. Raises regex.PatternError for a pattern that re2 refuses."""
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
        matches=matcher(data["condition"]),
        literals=required(data["condition"]),
        extract=regex.compiled(data["extract"]) if data["extract"] else None,
        examples=(data["match"], data["ignore"]),
        entries=frozenset(data["entries"]),
        never=data["never"],
        writers=None if data["writers"] is None else tuple(data["writers"]),
    )


@dataclass(frozen=True)
class Pack:
    """The rules that run, in order of their files."""

    rules: tuple[Rule, ...]

    def prefilter(self, *also: bytes) -> Prefilter:
        """Make what decides cheaply which lines are worth a look, those with `also` included."""
        entries = frozenset().union(*(rule.entries for rule in self.rules))
        return Prefilter([rule.literals for rule in self.rules], *also, entries=entries)

    def matching(self, record: Record, kind: str | None) -> list[Rule]:
        """Give the rules that match `record`, of which the catalogue says it is of `kind`."""
        fields = Fields(record.fields)
        return [r for r in self.rules if r.kind in (None, kind) and r.matches(fields)]
