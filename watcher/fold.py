"""Folds repeats: of the same kind, reason and program the first at once, the rest counted.

Pure: times are Epoch microseconds that the caller reads, and all there is to remember is plain
data (`state`), which a sink's place in the store is kept with.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

Key = tuple[str, str | None, str | None]
"""Kind, reason (or module, or rule) and program of what repeats."""

NAMESPACE: Final = uuid.UUID("a3c1f0de-64c2-5b1c-8a53-6f1f4f0d9b27")
"""Of the ids of summaries; never changes, or the same one would be two events."""

PROGRAMS: Final = 8
"""Programs that are told apart of one kind and reason: names are the attacker's to vary."""
RUNS: Final = 64
"""Runs at a time; one more ends the oldest."""
LONGEST: Final = 4000
"""Characters of a line that a summary quotes."""
_COUNTED_ALREADY: Final = ("lockdown.suppressed", "watch.gap")
"""Kinds whose events are counts themselves."""


def key_of(event: Mapping[str, Any]) -> Key:
    """Give what an event (schema 1, as data) has in common with its repeats."""
    module = event["module"] or {}
    what = event["lockdown"]["reason"] or module.get("name")
    if event["kind"] == "rule.match":
        what = event["rules"][0]["id"] if event["rules"] else event["title"]
    return event["kind"], what, event["process"]["comm"]


@dataclass(frozen=True)
class Summary:
    """What became of repeats: an event of its own. `number` is the last one's in the store."""

    number: int
    id: str
    line: str


@dataclass(frozen=True)
class _Run:
    """Repeats since `since_us`: how many events, the first one's id, the last one's line."""

    since_us: int
    count: int = 0
    first: str = ""
    number: int = 0
    line: str = ""


class Fold:
    """Runs of repeats, each told of every `fold_us` at most, and over when there were none.

    With 0 nothing is folded, and what an earlier setting had folded is told at once.
    """

    def __init__(self, fold_us: int, state: str | None = None) -> None:
        self._fold_us = fold_us
        self._runs: dict[Key, _Run] = {}
        self.ended: list[Summary] = []
        """What is to be told, the oldest first; `told` takes it out."""
        if state:
            runs, ended = json.loads(state)
            self._runs = {_key(key): _Run(**run) for key, run in runs}
            self.ended = [Summary(**each) for each in ended]

    def state(self) -> str:
        """Give all there is to remember."""
        runs = [(key, asdict(run)) for key, run in self._runs.items()]
        return json.dumps([runs, [asdict(each) for each in self.ended]])

    def copy(self) -> Fold:
        """Give another one that goes on from here."""
        other = Fold(self._fold_us)
        other._runs, other.ended = dict(self._runs), list(self.ended)
        return other

    def passes(self, number: int, event: Mapping[str, Any], now_us: int) -> bool:
        """Take in an event; tell whether it is to be told itself, and is not counted."""
        counted = event["kind"] in _COUNTED_ALREADY or event["severity"] == "critical"
        if not self._fold_us or counted:
            return True
        key = self._common(key_of(event))
        run = self._runs.get(key)
        if run is None:
            self._bound()
            self._runs[key] = _Run(now_us)
            return True
        self._runs[key] = replace(
            run,
            count=run.count + _weight(event),
            first=run.first or event["id"],
            number=number,
            line=_shortened(event),
        )
        return False

    def _common(self, key: Key) -> Key:
        """Give the key under which it is counted: that of all programs, if there are many."""
        if key in self._runs:
            return key
        alike = sum(run[:2] == key[:2] for run in self._runs)
        return key if alike < PROGRAMS else (*key[:2], None)

    def _bound(self) -> None:
        if len(self._runs) >= RUNS:
            oldest = next(iter(self._runs))
            self._tell(self._runs.pop(oldest))

    def end(self, now_us: int) -> bool:
        """End what has lasted long enough; tell whether anything has changed."""
        over = [key for key, run in self._runs.items() if self._is_over(run, now_us)]
        for key in over:
            run = self._runs.pop(key)
            self._tell(run)
            if run.count and self._fold_us:
                self._runs[key] = _Run(now_us)  # it goes on: what comes is counted, not told
        return bool(over)

    def _is_over(self, run: _Run, now_us: int) -> bool:
        # One that begins in the time to come is of a clock that was set back: it would last.
        return not 0 <= now_us - run.since_us < self._fold_us

    def _tell(self, run: _Run) -> None:
        if run.count:
            self.ended.append(_summary(run))

    def told(self, ids: set[str]) -> None:
        """Forget summaries that were dealt with."""
        self.ended = [each for each in self.ended if each.id not in ids]

    def next_us(self) -> int | None:
        """Tell when the next run ends; None if there is none."""
        return min((run.since_us + self._fold_us for run in self._runs.values()), default=None)


def _key(data: list[Any]) -> Key:
    kind, what, program = data
    return kind, what, program


def _weight(event: Mapping[str, Any]) -> int:
    """Give how many events it stands for: a flood's fold says so in `suppressed`."""
    return event["lockdown"]["suppressed"] or 1


def _shortened(event: Mapping[str, Any]) -> str:
    return json.dumps({**event, "message": event["message"][:LONGEST]})


def _summary(run: _Run) -> Summary:
    last = json.loads(run.line)
    # Of its bounds: when it is made anew after a crash it is the same event.
    name = "\0".join((run.first, last["id"], str(run.count)))
    made = {
        **last,
        "id": str(uuid.uuid5(NAMESPACE, name)),
        "title": f"{run.count:,} more: {last['title']}",
        "lockdown": {**last["lockdown"], "suppressed": run.count},
        "warnings": [
            *last["warnings"],
            f"folded: {run.count:,} repeats are this one event, the last of them is shown",
        ],
    }
    return Summary(run.number, made["id"], json.dumps(made))
