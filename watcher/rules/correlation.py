"""Correlations over the matches of rules, and over each other's hits (Sigma 2.1). Pure.

Time is the records'. What a match is counted for is bounded and can be kept: `changes` gives what
is new as rows of text, which are to be committed with the place in the log, and a Correlator made
of those rows goes on exactly there. The same line, from whichever source and however often it is
read, is one match by its event's id.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from watcher.record import Trust
from watcher.rules.rule import Rule, beneath
from watcher.rules.windows import CorrelationData, Entry, Group, most, total_of

NAMESPACE: Final = uuid.UUID("3c6c1f1e-8d0b-5a52-9d7a-6a1f0d4be2c7")
"""Of all hits' ids; never changes, or the same hit would be two events."""

TOGETHER: Final = 20_000
"""Matches remembered by all correlations together, shared evenly; each has at least one group."""

REMEMBERED: Final = 16_384
"""Ids of matches by which one that is read again is known; /dev/kmsg holds fewer at a time."""

_TRUSTS: Final[tuple[Trust, ...]] = ("kernel", "unverified", "injected")
"""From what is believed most to what is least."""
_KNOWN: Final = "id/"
_LARGEST: Final = float(1 << 63)


class Match(NamedTuple):
    """A record that rules matched: its event's id, the rules' ids, its time, its fields' values.

    `time_us` is None where the record has no time: it then counts as the one before it.
    """

    id: str
    rules: Sequence[str]
    time_us: int | None
    field: Callable[[str], str | None]
    trust: Trust


class Hit(NamedTuple):
    """A correlation that holds: of which matches, and for which values of its group-by.

    `measure` is what was compared: a count of matches, values or rules, or a sum. Times are
    microseconds; `trust` is the least of its matches'.
    """

    id: str
    rule: Rule
    ids: tuple[str, ...]
    values: Mapping[str, str]
    measure: float
    first_us: int
    time_us: int
    trust: Trust


class Forgotten(NamedTuple):
    """A correlation has let go of `count` groups, or a sum's matches, that might have counted."""

    rule: Rule
    count: int  # type: ignore[assignment]  # a tuple has a method of that name


class Correlator:
    """Turns matches into hits; `rows` are what `changes` of an earlier one gave.

    With None nobody asks for `changes`, and none are noted.
    """

    def __init__(self, rows: Iterable[tuple[str, str]] | None = ()) -> None:
        self._is_kept = rows is not None
        self._rows = dict(rows or ())
        known = (key for key in self._rows if key.startswith(_KNOWN))
        self._known: OrderedDict[str, None] = OrderedDict.fromkeys(known)
        self._changed: dict[str, Any] = {}
        self._rules: Sequence[Rule] = ()
        self._books: dict[str, _Book] = {}
        self._fed: dict[str, list[_Book]] = {}
        self._learning: list[_Book] = []
        self._last_us = 0

    def use(self, rules: Sequence[Rule]) -> None:
        """Go on with these rules; a correlation begins anew if it, or what it counts, has changed.

        One that learns what is usual goes on: that the rules it counts have got better is no
        reason to tell all that is known as new.
        """
        if rules is self._rules:
            return
        self._rules = rules
        found = [(rule, rule.correlation) for rule in rules if rule.correlation]
        for book in self._books.values():
            self._rows |= book.rows()
        told = {key: _row(what) for key, what in self._changed.items()}
        self._changed.update(told)  # as they are now: the books are made anew
        share = TOGETHER // max(1, len(found))
        looks = _looks(rules)
        books = [_Book(rule, data, looks[rule.id], share, self._changed) for rule, data in found]
        self._books = {book.prefix: book for book in books}
        for key, row in self._rows.items():
            if not key.startswith(_KNOWN):
                self._restore(key, row)
        self._rows = {}
        self._route()

    def _restore(self, key: str, row: str) -> None:
        book = self._books.get(key[: key.rfind("/") + 1])
        if book is None or not book.restore(key, row):
            self._changed[key] = None

    def _route(self) -> None:
        self._fed = {}
        for book in self._books.values():
            for rule in dict.fromkeys(book.data["rules"]):
                self._fed.setdefault(rule, []).append(book)
        self._learning = [b for b in self._books.values() if b.data["new_after_us"] is not None]

    def take(self, match: Match) -> Iterator[Hit | Forgotten]:
        """Give the hits that `match` completes, those of inner correlations first."""
        if not self._is_kept:
            self._changed.clear()
        self._last_us = time_us = self._last_us if match.time_us is None else match.time_us
        for book in self._learning:
            if book.began_us is None:
                book.began_us = time_us
                self._changed[book.prefix] = book
        if not self._fed.keys() & set(match.rules) or not self._is_fresh(match.id):
            return
        waiting = deque([match])
        while waiting:
            each = waiting.popleft()
            for book in self._books_of(each):
                for found in book.take(each, time_us if each is match else each.time_us or 0):
                    if isinstance(found, Hit):
                        waiting.append(_as_match(found, each))
                    if isinstance(found, Forgotten) or not found.rule.silent:
                        yield found

    def _books_of(self, match: Match) -> list[_Book]:
        found = (book for rule in match.rules for book in self._fed.get(rule, ()))
        return list(dict.fromkeys(found))

    def _is_fresh(self, match_id: str) -> bool:
        key = _KNOWN + match_id
        if key in self._known:
            return False
        self._known[key] = None
        self._changed[key] = ""
        if len(self._known) > REMEMBERED:
            self._changed[self._known.popitem(last=False)[0]] = None
        return True

    def changes(self) -> dict[str, str | None]:
        """Give what changed since the last call, in order: rows to replace, None to delete."""
        changed = {key: _row(what) for key, what in self._changed.items()}
        self._changed.clear()
        return changed


def _row(what: Any) -> str | None:
    return what if isinstance(what, str) or what is None else what.row()


def _as_match(hit: Hit, cause: Match) -> Match:
    """Make a hit what an outer correlation counts: its own group first, then the last record."""

    def field(name: str) -> str | None:
        return hit.values[name] if name in hit.values else cause.field(name)

    return Match(hit.id, (hit.rule.id,), hit.time_us, field, hit.trust)


def _looks(rules: Sequence[Rule]) -> dict[str, str]:
    """Give, by a correlation's id, what tells it from another that would misread its memory."""
    found = {rule.id: rule.correlation for rule in rules if rule.correlation}
    counts = {each: data["rules"] for each, data in found.items()}
    alone = {rule.id: [rule.condition, rule.kind, rule.correlation] for rule in rules}
    looks = {}
    for each, data in found.items():
        learns = data["new_after_us"] is not None
        inner = [] if learns else [alone.get(one) for one in sorted(beneath(each, counts))]
        told = json.dumps([data, *inner], sort_keys=True).encode()
        looks[each] = hashlib.blake2b(told, digest_size=8).hexdigest()
    return looks


# --- one correlation


class _Sighting:
    """When a group was last seen; what `new_after` remembers."""

    __slots__ = ("newest_us",)
    entries = (None,)

    def __init__(self, newest_us: int) -> None:
        self.newest_us = newest_us

    def row(self) -> str:
        return str(self.newest_us)


class _Windows(Group):
    __slots__ = ()

    def row(self) -> str:
        return json.dumps([self.entries, self.ahead, self.behind])


def _restored(entries: Any, ahead: Any, behind: Any) -> _Windows:
    kept = [Entry(int(at), str(of), tuple(marks), int(trust)) for at, of, marks, trust in entries]
    return _Windows(kept, int(ahead), None if behind is None else int(behind))


class _Book:
    """The groups of one correlation, the one touched longest ago first."""

    def __init__(
        self, rule: Rule, data: CorrelationData, look: str, share: int, changed: dict[str, Any]
    ) -> None:
        self.rule, self.data = rule, data
        self.prefix = f"{rule.id}/{look}/"
        self.began_us: int | None = None
        self.forgotten = 0
        self._changed = changed
        self._bound = max(share, most(self.data))
        # One match is a hit by itself, and uses itself up: there is nothing to remember.
        one = data["type"] == "event_count" and data["at_least"] <= 1
        self._is_any = one and data["new_after_us"] is None
        self._groups: OrderedDict[str, Any] = OrderedDict()
        self._size = 0

    # --- as rows

    def rows(self) -> dict[str, str]:
        return {self.prefix: self.row()} | {key: g.row() for key, g in self._groups.items()}

    def row(self) -> str:
        return json.dumps([self.began_us, self.forgotten])

    def restore(self, key: str, row: str) -> bool:
        """Take a row back; tell whether it was one."""
        try:
            found = json.loads(row)
            if key == self.prefix:
                began, forgotten = found
                self.began_us = None if began is None else int(began)
                self.forgotten = int(forgotten)
            elif self.data["new_after_us"] is not None:
                self._keep(key, _Sighting(int(found)))
            else:
                self._keep(key, _restored(*found))
        except (ValueError, TypeError, OverflowError):
            return False
        return True

    def _keep(self, key: str, group: Any) -> None:
        self._groups[key] = group
        self._size += len(group.entries)

    # --- at work

    def take(self, match: Match, time_us: int) -> Iterator[Hit | Forgotten]:
        names, marks = self.data["group_by"], self._marks(match)
        values = {n: value for n in names if (value := self._value(match, n)) is not None}
        if not marks or len(values) < len(names):
            return  # it is in no group: nobody knows whether it belongs to the others
        fresh = Entry(time_us, match.id, marks, _TRUSTS.index(match.trust))
        if self._is_any:
            yield self._hit([fresh], values)
            return
        told = json.dumps(list(values.values())).encode()
        key = self.prefix + hashlib.blake2b(told, digest_size=16).hexdigest()
        before = self.forgotten
        if self.data["new_after_us"] is not None:
            found = self._first_sighting(fresh, key)
        else:
            found = self._window(fresh, key)
        yield from self._forget(time_us, before)
        if found:
            yield self._hit(found, values)

    def _value(self, match: Match, name: str) -> str | None:
        by_rule = self.data["aliases"].get(name, {})
        fields = [by_rule[rule] for rule in match.rules if rule in by_rule]
        return match.field(fields[0] if fields else name)

    def _marks(self, match: Match) -> tuple[str | float, ...]:
        """Give what a match counts as; nothing where it lacks the field that is counted."""
        data = self.data
        if data["type"] in {"temporal", "temporal_ordered"}:
            places = {data["rules"].index(r) for r in match.rules if r in data["rules"]}
            return tuple(str(place) for place in sorted(places))
        if not data["field"]:
            return ("",)
        values = [self._value(match, name) for name in data["field"]]
        if any(value is None for value in values):
            return ()
        if data["type"] == "value_sum":
            return _number(values[0] or "")
        return (hashlib.blake2b(json.dumps(values).encode(), digest_size=8).hexdigest(),)

    def _window(self, fresh: Entry, key: str) -> list[Entry]:
        group = self._groups.pop(key, None) or _Windows()
        self._size -= len(group.entries)
        hit = group.add(fresh, self.data)
        self.forgotten, group.lost = self.forgotten + group.lost, 0
        if group.entries:
            self._keep(key, group)
        self._change(key, group if group.entries else None)
        return hit

    def _first_sighting(self, fresh: Entry, key: str) -> list[Entry]:
        seen, time_us = self._groups.get(key), fresh.time_us
        known = seen is not None and time_us - seen.newest_us <= self.data["timespan_us"]
        if seen is None:
            self._keep(key, _Sighting(time_us))
        else:
            seen.newest_us = max(seen.newest_us, time_us)
            self._groups.move_to_end(key)
        self._change(key, self._groups[key])
        learnt = (self.began_us or time_us) + (self.data["new_after_us"] or 0)
        return [] if known or time_us < learnt else [fresh]

    def _forget(self, time_us: int, before: int) -> Iterator[Forgotten]:
        """Let go of groups that are over, two at a time, and of the oldest if there are too many.

        Only what might still have become a hit is counted, with what a sum has let go since
        `before`, and told of at 1, 10, 100, ...
        """
        for _ in range(2):
            if self._groups and self._is_over(next(iter(self._groups.values())), time_us):
                self._drop_oldest()
        while self._size > self._bound and len(self._groups) > 1:
            self.forgotten += not self._is_over(self._drop_oldest(), time_us)
        if self.forgotten > before:
            self._change(self.prefix, self)
            if len(str(self.forgotten)) > len(str(before)) or not before:
                yield Forgotten(self.rule, self.forgotten)

    def _is_over(self, group: Any, time_us: int) -> bool:
        return bool(group.newest_us + 2 * self.data["timespan_us"] < time_us)

    def _drop_oldest(self) -> Any:
        key, group = self._groups.popitem(last=False)
        self._size -= len(group.entries)
        self._change(key, None)
        return group

    def _change(self, key: str, what: Any) -> None:
        self._changed.pop(key, None)  # the order is that of the last touch
        self._changed[key] = what

    def _hit(self, found: Sequence[Entry], values: dict[str, str]) -> Hit:
        ids = tuple(each.id for each in found)
        return Hit(
            id=str(uuid.uuid5(NAMESPACE, "\0".join([self.rule.id, *ids]))),
            rule=self.rule,
            ids=ids,
            values=values,
            measure=self._measure(found),
            first_us=found[0].time_us,
            time_us=found[-1].time_us,
            trust=_TRUSTS[max(each.trust for each in found)],
        )

    def _measure(self, found: Sequence[Entry]) -> float:
        if self.data["type"] == "value_sum":
            return total_of(found)
        if self.data["type"] == "event_count":
            return len(found)
        return len({mark for each in found for mark in each.marks})


def _number(text: str) -> tuple[float, ...]:
    """Read a number that can be added up."""
    try:
        found = float(text)
    except ValueError:
        return ()
    return (found,) if math.isfinite(found) and abs(found) <= _LARGEST else ()
