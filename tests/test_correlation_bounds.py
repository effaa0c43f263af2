"""Correlations at their worst: what is remembered is bounded, what is let go is told."""

from __future__ import annotations

import dataclasses
import os
import random
import tracemalloc
from collections.abc import Iterator, Sequence

import pytest

from tests.correlated import S, correlator, hits, match, rules, text
from watcher.detect import Detector
from watcher.rules.correlation import REMEMBERED, TOGETHER, Correlator, Forgotten, Hit, Match
from watcher.rules.rule import Pack, Rule
from watcher.rules.windows import CorrelationData, Entry, Group, most

MANY = 30_000
GROUPS = 1_000_000 if os.environ.get("CI") == "true" else 200_000


def sizes(made: Correlator) -> int:
    """How many matches it remembers."""
    return sum(len(g.entries) for book in made._books.values() for g in book._groups.values())


def of_many(names: str, count: int, **fields: str) -> Iterator[Match]:
    """Matches a millisecond apart; "{}" in a field is its number."""
    for at in range(count):
        values = {name: value.format(at) for name, value in fields.items()}
        yield match(names, at * 1000, at, **values)


BY_USER = "type: event_count, rules: a, group-by: [U], timespan: 365d, condition: {gte: 2}"


@pytest.mark.timeout(400)
def test_a_million_groups_are_bounded_and_told() -> None:
    """Each is let go in its turn, the oldest first; counted, and told at 1, 10, 100, ...

    A fifth of a million outside CI: it takes a minute, and differs in nothing.
    """
    made = correlator(text(BY_USER))
    told: list[Forgotten] = []
    for each in of_many("a", GROUPS, U="user {}"):
        told += [found for found in made.take(each) if isinstance(found, Forgotten)]
        made.changes()
    assert sizes(made) == TOGETHER
    assert [each.count for each in told] == [10**power for power in range(6)]
    assert len(made._known) == REMEMBERED
    # What is still there still counts; what was let go begins anew.
    (hit,) = made.take(match("a", 10**9, 10**7, U=f"user {GROUPS - 1}"))
    assert isinstance(hit, Hit)
    assert not [
        h for h in made.take(match("a", 10**9, 10**7 + 1, U="user 3")) if isinstance(h, Hit)
    ]


def test_what_is_remembered_takes_little_room() -> None:
    """As many groups as are remembered at all: 15 MB, the known ids among them."""
    made = correlator(text(BY_USER))
    tracemalloc.start()
    for each in of_many("a", TOGETHER + 1000, U="user {}"):
        list(made.take(each))
        made.changes()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken < 25_000_000


def test_what_nobody_keeps_is_not_noted() -> None:
    """`watch` and `scan` ask for no changes: months of matches take no room for them."""
    made = Correlator(None)
    made.use(rules(text(BY_USER)))
    for each in of_many("a", MANY, U="user {}"):
        list(made.take(each))
    assert len(made._changed) < 10
    assert made._is_fresh("m7")  # it was forgotten, as with one that is kept
    detector = Detector(Pack(()))
    assert not detector._correlator._is_kept


def test_groups_that_are_over_go_silently() -> None:
    """With a short timespan a million groups take no room, and nothing is forgotten."""
    made = correlator(text(BY_USER.replace("365d", "1s")))
    assert not [found for each in of_many("a", MANY, U="user {}") for found in made.take(each)]
    assert sizes(made) < 2500


def test_one_correlation_cannot_crowd_out_another() -> None:
    """A flood of groups in one leaves the others' alone."""
    other = text(
        "type: event_count, rules: b, timespan: 365d, condition: {gte: 2}", name="o", number=2
    )
    made = correlator(text(BY_USER), other)
    assert not list(made.take(match("b", 0, 10**7)))
    for each in of_many("a", 2 * TOGETHER, U="user {}"):
        list(made.take(each))
    assert sizes(made) == TOGETHER // 2 + 1
    assert [type(each) for each in made.take(match("b", 10**9, 10**7 + 1))] == [Hit]


def test_a_group_of_a_megabyte_is_told_apart_and_not_kept() -> None:
    """Keys of 1 MB that differ in their last letter: their hashes are remembered."""
    made = correlator(text(BY_USER))
    long = "x" * (1 << 20)
    for number in range(100):
        assert not list(made.take(match("a", number, number, U=f"{long}{number}")))
    rows = made.changes()
    assert sum(len(key) + len(row or "") for key, row in rows.items()) < 40_000
    (hit,) = made.take(match("a", 200, 200, U=f"{long}42"))
    assert isinstance(hit, Hit)
    assert hit.ids == ("m42", "m200")


def test_ten_thousand_correlations() -> None:
    """All over the same rule, each of its own: all tell, and share what there is to remember."""
    model = next(rule for rule in rules(text(BY_USER)) if rule.correlation)
    data = model.correlation
    assert data
    found = [
        dataclasses.replace(
            model,
            id=f"c{at}",
            correlation={**data, "at_least": 2 + at % 3, "timespan_us": 3600 * S},
        )
        for at in range(10_000)
    ]
    made = Correlator()
    made.use(found)
    told = [hit for each in of_many("a", 12, U="same") for hit in made.take(each)]
    assert len(told) == sum(12 // (2 + at % 3) for at in range(10_000))
    for each in of_many("a", 20, U="user {}"):
        list(made.take(each._replace(id=f"x{each.id}")))
    assert sizes(made) <= 10_000 * max(TOGETHER // 10_000, most(made_data(found)))


def made_data(found: Sequence[Rule]) -> CorrelationData:
    """The data of the correlation that may remember most."""
    return max((rule.correlation for rule in found if rule.correlation), key=most)


FLOODS = [
    ("type: value_count, rules: a, timespan: 365d, condition: {field: U, gte: 100}", "a"),
    ("type: temporal, rules: [a, b, c], timespan: 365d", "a"),
    ("type: temporal, rules: [a, b, c], timespan: 365d", "ab"),
    ("type: temporal_ordered, rules: [a, b, c], timespan: 365d", "ab"),
    ("type: temporal_ordered, rules: [a, b, c], timespan: 365d", "bc"),
    ("type: temporal_ordered, rules: [b, a], timespan: 365d", "a"),
]


@pytest.mark.parametrize(("correlation", "names"), FLOODS)
def test_a_flood_in_one_group_is_bounded_and_loses_nothing(correlation: str, names: str) -> None:
    """A year's timespan and a hundred thousand of a kind: what completes the hit still does."""
    made = correlator(text(correlation))
    assert not [hit for each in of_many(names, MANY, U="same") for hit in made.take(each)]
    assert sizes(made) <= most(made_data(list(made._rules)))
    ends = {"a": [("a", {"U": f"user {at}"}) for at in range(99)]}.get(names, [])
    if "value_count" not in correlation:
        ends = [("a", {}), ("b", {}), ("c", {}), ("a", {})]
    told = [
        hit
        for at, (name, fields) in enumerate(ends)
        for hit in made.take(match(name, (MANY + at) * 1000, MANY + at, **fields))
    ]
    assert [type(each) for each in told][:1] == [Hit]


def test_a_sum_of_a_million_forgets_and_tells() -> None:
    """Nothing can stand for what a sum is made of: the oldest go, and that is told."""
    made = correlator(
        text("type: value_sum, rules: a, timespan: 365d, condition: {field: N, gt: 1e9}")
    )
    told = [found for each in of_many("a", MANY, N="1") for found in made.take(each)]
    assert sizes(made) <= 1000
    assert told
    assert all(isinstance(each, Forgotten) for each in told)


def test_all_in_one_microsecond() -> None:
    """A hundred thousand at the same time are so many hits as fit."""
    made = correlator(text("type: event_count, rules: a, timespan: 1s, condition: {gte: 100}"))
    told = [hit for at in range(MANY) for hit in made.take(match("a", 5 * S, at))]
    assert len(told) == MANY // 100
    ordered = correlator(text("type: temporal_ordered, rules: [a, b], timespan: 1s"))
    pairs = [hit for at in range(1000) for hit in ordered.take(match("ab"[at % 2], 5 * S, at))]
    assert len(pairs) == 500


@pytest.mark.parametrize("step_us", [1, 700_000, 86_400 * S])
def test_time_that_runs_backwards(step_us: int) -> None:
    """Each record older than the one before: counted all the same, and bounded."""
    made = correlator(text("type: event_count, rules: a, timespan: 1s, condition: {gte: 2}"))
    told = [
        hit
        for at in range(20_000)
        for hit in made.take(match("a", 10**16 - at * step_us, at))
        if isinstance(hit, Hit)
    ]
    assert len(told) == (10_000 if step_us <= S else 0)
    assert sizes(made) <= 8


def test_a_far_future_blinds_nobody() -> None:
    """A record of the year 9999 among today's: they go on being counted, with those before it."""
    made = correlator(text("type: event_count, rules: a, timespan: 10s, condition: {gte: 3}"))
    steps = [("a", 0), ("a", 2.5e11), ("a", 1), ("a", 2), ("a", 3), ("a", 4), ("a", 5)]
    assert hits(made, steps) == [[0, 2, 3], [4, 5, 6]]


CLOCKS = [
    "type: event_count, rules: [a, b], condition: {gte: 3}",
    "type: value_count, rules: [a, b, c], condition: {field: U, gte: 3}",
    "type: temporal, rules: [a, b, c]",
    "type: temporal_ordered, rules: [a, b, c]",
    "type: value_sum, rules: [a, b], condition: {field: N, gt: 60}",
]


@pytest.mark.parametrize("kind", CLOCKS)
def test_two_clocks_are_as_two_logs(kind: str) -> None:
    """Two stretches of time in turns, floods among them: the hits of each, as if it were alone."""
    pack = rules(text(f"{kind}, timespan: 10s"))
    for seed in range(60):
        draw = random.Random(seed)
        both, *alone = (Correlator() for _ in range(3))
        for each in (both, *alone):
            each.use(pack)
        now, weights = [10**9, 10**6], draw.choice([[1, 1, 1], [50, 1, 0], [50, 50, 0], [99, 0, 1]])
        told: list[Hit | Forgotten] = []
        expected: list[Hit | Forgotten] = []
        for number in range(draw.choice([50, 400])):
            clock = draw.randrange(2) if draw.random() < 0.3 else number // 40 % 2
            now[clock] += draw.choice([0, 0, 0, 0, 0, 1])
            late, (name,) = draw.choice([0, 0, 0, 3]), draw.choices("abc", weights)
            fields = {"U": draw.choice("xxxxxxyz"), "N": str(draw.randrange(5))}
            one = match(name, (now[clock] - late) * S, number, **fields)
            told += both.take(one)
            expected += alone[clock].take(one)
        assert told == expected, seed


def test_a_late_match_in_a_flood_is_no_end() -> None:
    """One that comes late where there is too much, and is the first to go, ends nothing."""
    made = correlator(text("type: temporal_ordered, rules: [a, b, c], timespan: 100s"))
    flood = [("bc"[at % 2], 100 * S + at) for at in range(200)]
    late = [("c", 99 * S - at) for at in range(200)]
    for number, (name, time_us) in enumerate([*flood, ("a", 101 * S), *late]):
        assert not list(made.take(match(name, time_us, number)))
    end = [made.take(match(name, 102 * S, 1000 + at)) for at, name in enumerate("bc")]
    assert [len(list(each)) for each in end] == [0, 1]


def test_a_damaged_row_is_left_out() -> None:
    """What cannot be read begins anew; the rest is kept."""
    made = correlator(text(BY_USER))
    list(made.take(match("a", 0, 0, U="x")))
    list(made.take(match("a", 1, 1, U="y")))
    rows = {key: row or "" for key, row in made.changes().items()}
    (key, *_) = [key for key in rows if not key.startswith("id/")]
    for harm in (
        "",
        "{",
        "[]",
        "[[[1]], 1, 2]",
        "null",
        "[1, 2, 3]",
        '[[["a", 1, [], 0]], "b", null]',
        "[[[1e999, 1, [], 0]], 1, null]",
    ):
        fresh = Correlator({**rows, key: harm}.items())
        fresh.use(made._rules)
        assert len(list(fresh.take(match("a", 2, 2, U="y")))) == 1


def test_a_group_keeps_no_more_than_it_says() -> None:
    """`most` holds at every moment, for matches of every kind of mark."""
    (data,) = (r.correlation for r in rules(text(FLOODS[0][0])) if r.correlation)
    group = Group()
    for at in range(5000):
        group.add(Entry(at, str(at), (str(at % 99),), 0), data)
        assert len(group.entries) <= most(data)
