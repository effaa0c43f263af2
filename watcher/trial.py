"""What rules would have matched in the past: counted by day, with a few samples; kept nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from watcher.detect import Detector, judge
from watcher.errors import SourceError
from watcher.record import Record
from watcher.rules import Pack, Rule
from watcher.rules.correlation import Correlator
from watcher.scan import Extent, Past, Progress, Tally, sources
from watcher.sources.journal_files import Where, values

SAMPLE_LETTERS: Final = 2000
"""Longest piece of an entry that is shown; 64 KiB may stand in one."""

UNDATED: Final = "undated"


@dataclass(frozen=True, slots=True)
class Sample:
    """One entry that matched: Epoch microseconds (None: undated), who wrote it, what it says."""

    time_us: int | None
    host: str | None
    identifier: str | None
    text: str


@dataclass
class Matches:
    """What one rule matched; `days` are of UTC, `2026-11-28` or UNDATED."""

    rule: Rule
    count: int = 0
    days: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    absent: str | None = None
    """Which log that it reads has no entry here."""

    def add(self, record: Record, most: int, said: str | None = None) -> None:
        """Take note of an entry that matches; the first `most` are kept as samples.

        `said` is what a correlation says, of which the entry completed a hit.
        """
        self.count += 1
        self.days[_day(record.time_us)] += 1
        if len(self.samples) < most:
            who = record.fields.get("SYSLOG_IDENTIFIER") if said is None else None
            text = (record.text if said is None else said)[:SAMPLE_LETTERS]
            self.samples.append(Sample(record.time_us, record.host.name, who, text))


@dataclass
class Trial:
    """What came of it: `entries` were looked through, `failures` say what could not be read."""

    rules: list[Matches]
    entries: int
    failures: list[str]


def run(extent: Extent, pack: Pack, asked: Collection[str], samples: int) -> Trial:
    """Hold the rules whose ids are `asked` against every entry of `extent`.

    The others of `pack` are there for correlations to count.
    """
    found = {rule.id: Matches(rule) for rule in pack.rules if rule.id in asked}
    correlations = {each for each, matches in found.items() if matches.rule.correlation}
    counting = Pack(tuple(_speaking(rule) for rule in pack.rules)) if correlations else Pack(())
    correlator, tally = Correlator(None), Tally()
    with Progress(tally) as progress:
        for open_source in sources(extent, pack):
            detector = Detector(counting, correlator=correlator)
            try:
                for record in _records(open_source(), tally, progress):
                    kind = judge(record)
                    for rule in pack.matching(record, kind.kind if kind else None):
                        if rule.id in found:
                            found[rule.id].add(record, samples)
                            tally.events += 1
                    for event in detector.events(record):
                        for hit in event.rules:
                            if hit.id in correlations:
                                found[hit.id].add(record, samples, event.message)
                                tally.events += 1
            except SourceError as error:
                tally.failures.append(str(error))
    rules = [*found.values()]
    if not extent.files and not tally.failures:
        _look_for_logs(rules, Where(extent.directory, (), extent.namespace))
    return Trial(rules, tally.lines, tally.failures)


def _speaking(rule: Rule) -> Rule:
    return replace(rule, silent=False) if rule.correlation else rule


def _look_for_logs(rules: list[Matches], where: Where) -> None:
    """Say of rules that matched nothing which log they read has never had an entry here."""
    transports, writers = values(where, "_TRANSPORT"), values(where, "SYSLOG_IDENTIFIER")
    for each in rules:
        rule = each.rule
        if each.count or rule.never:
            continue
        if rule.entries == {"audit"} and "audit" not in transports:
            each.absent = "it reads audit records, of which this journal has none"
        elif rule.writers and writers.isdisjoint(rule.writers):
            names = ", ".join(rule.writers)
            each.absent = f"it reads the log of {names}, which wrote nothing to this journal"


def _records(source: Past, tally: Tally, progress: Progress) -> Iterator[Record]:
    before = tally.lines
    for batch in source.read():
        for item in batch:
            if isinstance(item, Record):
                yield item
        tally.lines = before + source.lines_read
        progress()
    tally.failures += getattr(source, "failures", [])


def _day(time_us: int | None) -> str:
    if time_us is None:
        return UNDATED
    return datetime.fromtimestamp(time_us / 1e6, UTC).date().isoformat()
