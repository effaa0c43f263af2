"""One group of a correlation: the matches it remembers, and the window that makes a hit. Pure.

A window is as long as the timespan and may begin anywhere (spec, "Temporal Proximity": not
restricted to boundaries). A hit uses up the matches of its window, so that no match is in two
hits of one correlation, a hit's id is its own, and what is remembered stays small.

Records may come late. Where one comes no later than a timespan after newer ones, the answer is
as if all windows around it were looked at anew, since matches are kept for two timespans. A clock
that is set back, or on and back again, makes two stretches side by side; a third is let go.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort_right
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypedDict

Type = Literal["event_count", "value_count", "temporal", "temporal_ordered", "value_sum"]


class CorrelationData(TypedDict):
    """A correlation as plain data, which a cache keeps. Rules are given by id.

    `at_least` is the count that makes a hit (with `more`: that must be exceeded). `aliases` gives
    a field name for each alias and rule. `new_after_us`, where it is not None: a hit is the first
    match of a group in a timespan, once the correlation has been at work for so long.
    """

    type: Type
    rules: list[str]
    group_by: list[str]
    aliases: dict[str, dict[str, str]]
    timespan_us: int
    at_least: float
    more: bool
    field: list[str]
    generate: bool
    new_after_us: int | None


_TIME: Final = re.compile(r"(\d{1,9})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def microseconds(text: str) -> int | None:
    """Read a time like 30s, 5m, 12h or 1d, as Sigma writes timespans; None: it is none."""
    found = _TIME.fullmatch(text)
    return int(found[1]) * _UNITS[found[2]] * 1_000_000 if found else None


class Entry(NamedTuple):
    """One remembered match. `marks` are what is counted: a value, rules' places, a number."""

    time_us: int
    id: str
    marks: tuple[str | float, ...]
    trust: int


SPARE: Final = 64
"""Matches a group remembers beyond those that can be part of a hit."""
SUMMED: Final = 1000
"""Matches that a value_sum adds up at most."""


def most(data: CorrelationData) -> int:
    """Give how many matches a group of this correlation remembers at most."""
    if data["new_after_us"] is not None:
        return 1
    if data["type"] == "value_sum":
        return SUMMED
    # Two timespans hold fewer than two hits' worth of different marks, and there are two stretches:
    # four hits' worth must stay where there is too much, and half of it as it came.
    return 6 * max(int(data["at_least"]), len(data["rules"]) ** 2) + SPARE


class Group:
    """Matches in the order of their times; `ahead` and `behind` are the newest of two stretches."""

    __slots__ = ("ahead", "behind", "entries", "lost", "marks")

    def __init__(
        self, entries: Sequence[Entry] = (), ahead: int | None = None, behind: int | None = None
    ) -> None:
        self.entries = list(entries)
        self.marks = _counted(self.entries)
        self.ahead, self.behind = ahead, behind
        self.lost = 0

    @property
    def newest_us(self) -> int:
        """Give the time of the newest match."""
        return self.ahead or 0

    def add(self, fresh: Entry, data: CorrelationData) -> list[Entry]:
        """Take one match; give the matches of the first window around it that is a hit."""
        time_us, span = fresh.time_us, data["timespan_us"]
        self._move(time_us, span)
        insort_right(self.entries, fresh, key=_time)
        self.marks.update(fresh.marks)
        self._let_go(span)
        found = self._window(bisect_right(self.entries, time_us, key=_time) - 1, data)
        if found:
            hit = self.entries[found]
            self._remove(found)
            return hit
        if len(self.entries) > most(data):
            self._thin(data)
        return []

    def _move(self, time_us: int, span: int) -> None:
        if self.ahead is None:
            self.ahead = time_us
        elif time_us >= self.ahead - span:
            if time_us > self.ahead + 2 * span:  # it may be the clock that went on, and comes back
                self.behind = self.ahead
            self.ahead = max(self.ahead, time_us)
        elif self.behind is None or not self.behind - span <= time_us <= self.behind:
            self.behind = time_us

    def _let_go(self, span: int) -> None:
        ahead, low = self.ahead or 0, self._low(span)
        oldest = (ahead if low is None else low) - 2 * span
        self._remove(slice(0, bisect_left(self.entries, oldest, key=_time)))
        if low is not None:
            after = bisect_right(self.entries, low, key=_time)
            self._remove(slice(after, bisect_left(self.entries, ahead - 2 * span, key=_time)))

    def _low(self, span: int) -> int | None:
        """Give the newest time of the stretch behind; None if there is one stretch alone."""
        apart = self.behind is not None and self.behind < (self.ahead or 0) - span
        return self.behind if apart else None

    def _remove(self, where: slice) -> None:
        gone = self.entries[where]
        if gone:
            del self.entries[where]
            fewer = _counted(gone)
            self.marks.subtract(fewer)
            for mark in fewer:
                if not self.marks[mark]:
                    del self.marks[mark]

    def _window(self, at: int, data: CorrelationData) -> slice | None:
        """Give the earliest window that is a hit and holds the match at `at`."""
        entries, span = self.entries, data["timespan_us"]
        if not self._possible(data):
            return None
        start, last_us = 0, entries[at].time_us + span
        for end in range(at, len(entries)):
            time_us = entries[end].time_us
            if time_us > last_us:
                break
            start = bisect_left(entries, time_us - span, start, end, key=_time)
            if holds(entries, start, end, data):
                return slice(self._begin(start, data), end + 1)
        return None

    def _begin(self, start: int, data: CorrelationData) -> int:
        """Give where a hit begins: in order, what comes before the first step is no part of it."""
        if data["type"] == "temporal_ordered":
            first = _steps(data)[0]
            while first not in self.entries[start].marks:
                start += 1
        return start

    def _possible(self, data: CorrelationData) -> bool:
        """Tell quickly that there can be no hit: so a flood of one kind costs next to nothing."""
        if data["type"] in {"value_count", "temporal"}:
            return len(self.marks) >= data["at_least"]
        if data["type"] == "temporal_ordered":
            return all(step in self.marks for step in _steps(data))
        return data["type"] == "value_sum" or len(self.entries) >= data["at_least"]

    # --- what may go where there is too much

    def _thin(self, data: CorrelationData) -> None:
        """Forget matches that a later one of the same mark stands for; a sum forgets the oldest."""
        if data["type"] == "value_sum":
            newest = most(data) // 2
            self.lost += len(self.entries) - newest
            needed: set[Entry] = set()
        else:
            newest = most(data) // 3
            low = self._low(data["timespan_us"])
            cut = 0 if low is None else bisect_right(self.entries, low, key=_time)
            needed = _needed(self.entries[:cut], data) | _needed(self.entries[cut:], data)
        kept = [each for each in self.entries[:-newest] if each in needed]
        self.entries = kept + self.entries[-newest:]
        self.marks = _counted(self.entries)


def _needed(entries: Sequence[Entry], data: CorrelationData) -> set[Entry]:
    """Give the matches of one stretch that can stand for all of it."""
    if data["type"] == "temporal_ordered":
        return _chains(entries, _steps(data))
    return set({mark: each for each in entries for mark in each.marks}.values())


def holds(entries: Sequence[Entry], start: int, end: int, data: CorrelationData) -> bool:
    """Tell whether the matches from `start` to `end`, that one included, are a hit."""
    kind, want = data["type"], data["at_least"]
    if kind == "event_count":
        return end - start + 1 >= want
    if kind == "value_sum":
        total = total_of(entries[start : end + 1])
        return total > want if data["more"] else total >= want
    if kind == "temporal_ordered":
        return _in_order(entries[start : end + 1], _steps(data))
    return len({mark for at in range(start, end + 1) for mark in entries[at].marks}) >= want


def total_of(entries: Sequence[Entry]) -> float:
    """Give the sum of a value_sum's numbers."""
    return sum(float(mark) for each in entries for mark in each.marks)


def _counted(entries: Sequence[Entry]) -> Counter[str | float]:
    return Counter(mark for each in entries for mark in each.marks)


def _in_order(entries: Sequence[Entry], steps: Sequence[str]) -> bool:
    """Tell whether all steps come in their order; one record is never two of them."""
    at = 0
    for each in entries if steps[-1] in entries[-1].marks else ():
        if steps[at] in each.marks:
            at += 1
            if at == len(steps):
                return True
    return False


def _chains(entries: Sequence[Entry], steps: Sequence[str]) -> set[Entry]:
    """Give the matches of the chain with the latest start for each number of steps."""
    best: list[tuple[Entry, ...]] = [()] * (len(steps) + 1)
    for each in entries:
        for at in range(len(steps), 0, -1):  # so that no match is two steps
            if steps[at - 1] in each.marks and (at == 1 or best[at - 1]):
                best[at] = (*best[at - 1], each)
    return {each for chain in best[: len(steps)] for each in chain}


def _steps(data: CorrelationData) -> list[str]:
    """Give the marks of a temporal_ordered: a rule may stand in it twice."""
    return [str(data["rules"].index(rule)) for rule in data["rules"]]


def _time(entry: Entry) -> int:
    return entry.time_us
