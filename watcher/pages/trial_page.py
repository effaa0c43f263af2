"""What a trial of rules found: for people, or as one line of JSON a rule."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from watcher.event import rfc3339
from watcher.sinks.plain import plain
from watcher.trial import Matches, Sample, Trial

BAR: Final = 40
"""Letters of the longest bar."""

DAYS: Final = 31
"""Days shown to people; the busiest month of a year says enough."""


def render(trial: Trial, *, as_json: bool) -> Iterator[str]:
    """Give pieces of text, each without a newline at its end; what matched most comes first."""
    if as_json:
        yield from (json.dumps(_row(each, trial.entries)) for each in trial.rules)
        return
    busy = sorted((each for each in trial.rules if each.count), key=lambda each: -each.count)
    for each in busy:
        yield "\n".join(_told(each))
    yield from _silent([each for each in trial.rules if not each.count])
    matches = sum(each.count for each in busy)
    rules = f"{len(busy):,} of {len(trial.rules):,} rules"
    yield f"matches: {matches:,}, by {rules}, in {trial.entries:,} entries"


def _told(each: Matches) -> Iterator[str]:
    rule = each.rule
    yield f"{each.count:,}  {plain(rule.title)}  ({rule.level}, {_file(each)})"
    days = sorted(each.days.items())
    most = max(each.days.values())
    for day, count in days[-DAYS:]:
        yield f"    {day:10}  {'#' * max(1, count * BAR // most):{BAR}}  {count:,}"
    if len(days) > DAYS:
        yield f"    and {len(days) - DAYS:,} earlier days"
    yield from (f"    {_line(sample)}" for sample in each.samples)


def _file(each: Matches) -> str:
    return plain(Path(each.rule.file).name)


def _line(sample: Sample) -> str:
    parts = (rfc3339(sample.time_us), sample.host, sample.identifier, sample.text)
    return plain("  ".join(part for part in parts if part))


def _silent(rest: list[Matches]) -> Iterator[str]:
    for each in rest:
        if why := _why(each):
            yield f"0  {plain(each.rule.title)}  ({_file(each)}): {plain(why)}"
    if quiet := sum(1 for each in rest if not _why(each)):
        yield f"0  {quiet:,} {'rule' if quiet == 1 else 'rules'} that found nothing"


def _why(each: Matches) -> str | None:
    if each.rule.never:
        return f"can match nothing here: it {each.rule.never}"
    return each.absent


def _row(each: Matches, entries: int) -> dict[str, object]:
    rule = each.rule
    return {
        "id": rule.id,
        "title": rule.title,
        "level": rule.level,
        "file": rule.file,
        "matches": each.count,
        "entries": entries,
        "days": dict(sorted(each.days.items())),
        "why_not": _why(each),
        "samples": [{"time": rfc3339(sample.time_us), **_said(sample)} for sample in each.samples],
    }


def _said(sample: Sample) -> dict[str, object]:
    return {name: value for name, value in asdict(sample).items() if name != "time_us"}
