"""Correlations: what Sigma 2.1 means by them, against a reference that keeps everything."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.correlated import IDS, PLAIN, S, correlator, faults, found, hits, match, rules, text
from watcher.rules.correlation import Correlator, Hit, Match
from watcher.rules.parse import parse
from watcher.rules.windows import CorrelationData

COUNT = "type: event_count, rules: a, timespan: 10s, condition: {gte: 3}"
BY_USER = "type: event_count, rules: [a, b], group-by: [U], timespan: 10s, condition: {gte: 2}"
VALUES = "type: value_count, rules: a, timespan: 10s, condition: {field: U, gte: 3}"
TEMPORAL = "type: temporal, rules: [a, b, c], timespan: 10s"
ORDERED = "type: temporal_ordered, rules: [a, b, c], timespan: 10s"
SUM = "type: value_sum, rules: a, timespan: 10s, condition: {field: N, gt: 10}"


def test_event_count_slides() -> None:
    """Three in ten seconds, wherever the ten seconds begin; a span's both ends belong to it."""
    made = correlator(text(COUNT))
    assert hits(made, [("a", 0), ("a", 6), ("a", 11), ("a", 16)]) == [[1, 2, 3]]
    assert hits(correlator(text(COUNT)), [("a", 0), ("a", 5), ("a", 10)]) == [[0, 1, 2]]
    assert hits(correlator(text(COUNT)), [("a", 0), ("a", 5), ("a", 10.000001)]) == []


def test_a_hit_uses_up_its_matches() -> None:
    """Seven in a row are two hits, each of matches of its own."""
    assert hits(correlator(text(COUNT)), [("a", at) for at in range(7)]) == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("condition", "needed"), [("gte: 3", 3), ("gt: 3", 4), ("eq: 3", 3), ("gt: 0", 1)]
)
def test_a_count_is_reached(condition: str, needed: int) -> None:
    """gte, gt and eq can be told at an arrival: when so many have come."""
    made = correlator(text(COUNT.replace("gte: 3", condition)))
    assert hits(made, [("a", at / 10) for at in range(needed)]) == [list(range(needed))]


def test_groups_are_apart() -> None:
    """Each value has a count of its own; a record without the field is in none."""
    made = correlator(text(BY_USER))
    x, y, none = {"U": "x"}, {"U": "y"}, dict[str, str]()
    steps = [("a", 0, x), ("b", 1, y), ("a", 2, none), ("b", 3, x), ("a", 4, none)]
    assert hits(made, steps) == [[0, 3]]
    (first,) = found(correlator(text(BY_USER)), steps)
    assert isinstance(first, Hit)
    assert first.values == {"U": "x"}


def test_group_keys_are_not_glued() -> None:
    """("a", "bc") and ("ab", "c") are two groups; an empty value is one, an absent one is not."""
    two = BY_USER.replace("[U]", "[U, V]")
    glued = [("a", 0, {"U": "a", "V": "bc"}), ("a", 1, {"U": "ab", "V": "c"})]
    assert hits(correlator(text(two)), glued) == []
    empty = [("a", at, {"U": ""} if at else {}) for at in range(3)]
    assert hits(correlator(text(BY_USER)), empty) == [[1, 2]]


def test_value_count_counts_different_values() -> None:
    """Equal values count once; a record without the field not at all."""
    steps = [("a", at, {"U": u} if u else {}) for at, u in enumerate(["x", "x", "", "y", "x", "z"])]
    assert hits(correlator(text(VALUES)), steps) == [[0, 1, 3, 4, 5]]
    more = VALUES.replace("field: U", "field: [U, V]")
    pairs = [("a", at, {"U": "x", "V": v}) for at, v in enumerate("pqqr")]
    assert hits(correlator(text(more)), pairs) == [[0, 1, 2, 3]]


def test_temporal_in_any_order() -> None:
    """All rules in one span, in any order; too far apart they are no hit."""
    assert hits(correlator(text(TEMPORAL)), [("c", 0), ("a", 1), ("a", 2), ("b", 3)]) == [
        [0, 1, 2, 3]
    ]
    assert hits(correlator(text(TEMPORAL)), [("c", 0), ("a", 1), ("b", 11)]) == []
    two = correlator(text(f"{TEMPORAL}, condition: {{gte: 2}}"))
    assert hits(two, [("a", 0), ("a", 1), ("c", 2)]) == [[0, 1, 2]]


def test_temporal_ordered_keeps_the_order() -> None:
    """The rules' own order, whatever lies between."""
    assert hits(correlator(text(ORDERED)), [("a", 0), ("c", 1), ("b", 2), ("a", 3), ("c", 4)]) == [
        [0, 1, 2, 3, 4]
    ]
    assert hits(correlator(text(ORDERED)), [("c", 0), ("b", 1), ("a", 2)]) == []
    twice = ORDERED.replace("[a, b, c]", "[a, a, b]")
    assert hits(correlator(text(twice)), [("a", 0), ("b", 1)]) == []
    assert hits(correlator(text(twice)), [("a", 0), ("a", 1), ("b", 2)]) == [[0, 1, 2]]


def test_one_record_is_not_two_steps() -> None:
    """A record that two rules match came once: in order it is one of them, together both."""
    two = ORDERED.replace("[a, b, c]", "[a, b]")
    assert hits(correlator(text(two)), [("ab", 0)]) == []
    assert hits(correlator(text(two)), [("ab", 0), ("b", 1)]) == [[0, 1]]
    assert hits(correlator(text(TEMPORAL)), [("abc", 0)]) == [[0]]


def test_value_sum() -> None:
    """Numbers add up; what is none, or absent, or infinite, is not counted."""
    values = ["4", "x", "nan", "inf", "1e400", "6", "0.5"]
    steps = [("a", at, {"N": value}) for at, value in enumerate(values)]
    (hit,) = found(correlator(text(SUM)), steps)
    assert isinstance(hit, Hit)
    assert (hit.ids, hit.measure) == (("m0", "m5", "m6"), 10.5)


def test_aliases_name_each_rules_field() -> None:
    """The same address, as source in one rule's records and as destination in the other's."""
    aliases = "aliases: {ip: {a: SRC, b: DST}}, group-by: [ip]"
    made = correlator(text(f"type: temporal, rules: [a, b], timespan: 10s, {aliases}"))
    steps = [("a", 0, {"SRC": "1"}), ("b", 1, {"DST": "2"}), ("b", 2, {"DST": "1"})]
    assert hits(made, steps) == [[0, 2]]


def test_correlations_chain() -> None:
    """Many failures and then a success, the specification's own example; the inner is silent."""
    inner = text(COUNT, name="many", number=1)
    outer = text("type: temporal_ordered, rules: [many, b], timespan: 1m", number=2)
    steps = [("a", 0), ("a", 1), ("b", 2), ("a", 3), ("b", 60)]
    (hit,) = found(correlator(inner, outer), steps)
    assert isinstance(hit, Hit)
    assert (hit.rule.title, hit.ids[1:], hit.first_us) == ("c1", ("m4",), 3 * S)
    assert found(correlator(inner, outer), [("b", 0), *steps[:4], ("b", 64)]) == []
    loud = text("generate: true, type: temporal_ordered, rules: [many, b], timespan: 1m", number=2)
    assert [len(each) for each in hits(correlator(inner, loud), steps)] == [3, 2]


def test_a_chained_hit_is_grouped_by_its_own_values() -> None:
    """The outer correlation sees the inner one's group, whichever record completed it."""
    inner = text(BY_USER, name="many")
    outer = text(
        "type: event_count, rules: many, group-by: [U], timespan: 1m, condition: {gte: 2}", number=2
    )
    steps = [("a", at, {"U": "xy"[at % 2]}) for at in range(6)]
    assert found(correlator(inner, outer), steps) == []
    assert len(found(correlator(inner, outer), [*steps, ("a", 7, {"U": "y"})])) == 1
    lone = [("a", at, {"U": u}) for at, u in enumerate("xxyyxx")]
    (hit,) = found(correlator(inner, outer), lone)
    assert isinstance(hit, Hit)
    assert hit.values == {"U": "x"}


def test_a_rule_that_only_feeds_is_silent() -> None:
    """`generate` decides; one correlation that asks for the single hits is enough."""
    silent = {rule.title: rule.silent for rule in rules(text(COUNT))}
    assert silent == {"a": True, "b": False, "c": False, "d": False, "c1": False}
    loud = text(f"generate: true, {COUNT}", number=2)
    assert not any(rule.silent for rule in rules(text(COUNT), loud))
    off = text(COUNT, head="status: deprecated\n")
    assert not any(rule.silent for rule in rules(off))


def test_rules_are_found_by_id_and_across_files() -> None:
    """Any rule of the pack; a name is the own file's first."""
    by_id = text(COUNT.replace("rules: a", f"rules: ['{IDS['a'].upper()}']"))
    data, told = parse({"c.yml": by_id, "r.yml": PLAIN})
    assert told == []
    assert next(r["correlation"]["rules"] for r in data if r["correlation"]) == [IDS["a"]]
    other = PLAIN.replace("00000000-", "22222222-")
    data, told = parse({"a.yml": other, "b.yml": PLAIN + text(COUNT)})
    assert told == []
    assert next(r["correlation"]["rules"] for r in data if r["correlation"]) == [IDS["a"]]
    _, told = parse({"a.yml": other, "b.yml": PLAIN, "c.yml": text(COUNT)})
    assert [str(each) for each in told] == [
        "c.yml:6: 'a' is the name of 2 rules: use the id",
    ]


BASE = "rules: a, timespan: 10s"


@pytest.mark.parametrize(
    ("correlation", "said"),
    [
        (COUNT.replace("rules: a", "rules: [a, nob]"), "no rule has the id or name 'nob'"),
        (COUNT.replace("rules: a", "rules: c1"), "counts its own hits"),
        (COUNT.replace("rules: a", "rules: []"), "must name 1 to 64"),
        (COUNT.replace("gte: 3", "lt: 3"), "'lt' in 'condition' cannot be told of a event_count"),
        (COUNT.replace("gte: 3", "neq: 3"), "'neq' in 'condition' cannot be told"),
        (COUNT.replace("gte: 3", "gte: 3, lte: 9"), "exactly one condition item"),
        (COUNT.replace("gte: 3", "gte: 0"), "1 to 10000, not 0"),
        (COUNT.replace("gte: 3", "gte: 10001"), "1 to 10000, not 10001"),
        (COUNT.replace("gte: 3", "gte: 2.5"), "no whole number"),
        (COUNT.replace("gte: 3", "gte: 3, field: U"), "'field' in 'condition' means nothing"),
        (COUNT.replace("timespan: 10s", "timespan: 10"), "Timespan '10' is invalid"),
        (COUNT.replace("timespan: 10s", "timespan: 11y"), "longer than ten years"),
        (f"{COUNT}, group_by: U", "unknown key 'group_by', did you mean group-by?"),
        (f"{COUNT}, group-by: [process.com]", "did you mean process.comm?"),
        (f"{COUNT}, group-by: [[U]]", "the name of a field is text, not ['U']"),
        (f"{COUNT}, group-by: [null]", "the name of a field is text, not None"),
        (f"{COUNT}, aliases: {{x: {{a: [U, V]}}}}", "the name of a field is text, not ['U', 'V']"),
        (
            VALUES.replace("field: U", "field: {U: V}"),
            "the name of a field is text, not {'U': 'V'}",
        ),
        (VALUES.replace("gte: 3", "gte: 3, percentile: 9"), "'percentile' in 'condition' is for"),
        (f"{COUNT}, aliases: {{x: {{b: U}}}}", "that is not in 'rules'"),
        (f"{COUNT}, aliases: {{x: {{a: host.nme}}}}", "did you mean host.name?"),
        (f"type: value_sum, {BASE}, condition: {{field: N, lt: 3}}", "of a value_sum"),
        (f"type: value_sum, {BASE}, condition: {{field: [N, M], gt: 3}}", "needs one 'field'"),
        (f"type: value_avg, {BASE}, condition: {{field: N, gt: 3}}", "'value_avg' is not supp"),
        (f"type: value_percentile, {BASE}, condition: {{field: N, gt: 3}}", "'value_percentile'"),
        (f"type: value_median, {BASE}, condition: {{field: N, gt: 3}}", "'value_median' is"),
        (f"type: value_count, {BASE}, condition: {{gt: 3}}", "without field reference"),
        (f"type: temporal, {BASE}, condition: {{gte: 2}}", "asks for 2 rules of 1"),
        ("type: temporal, rules: [a, b], timespan: 1s, condition: a and not b", "an expression"),
        (f"{ORDERED}, condition: {{gte: 2}}", "can only ask for all its rules"),
        (COUNT.replace("event_count", "near"), "no valid Sigma correlation type"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(correlation: str, said: str) -> None:
    """One clear fault, never a correlation half evaluated."""
    told = faults(text(correlation))
    assert len(told) == 1
    assert said in told[0].text


def test_circles_are_refused() -> None:
    """Two correlations that count each other, and only those, not who counts them."""
    one = text(COUNT.replace("rules: a", "rules: two"), name="one", number=1)
    two = text(COUNT.replace("rules: a", "rules: one"), name="two", number=2)
    above = text(COUNT.replace("rules: a", "rules: one"), name="above", number=3)
    found, told = parse({"r.yml": PLAIN + one + two + above})
    assert [each.text.split(":")[0] for each in told] == ["one", "two"]
    # None of them may run where others do: their hits would never end.
    assert found == []


def test_the_same_record_again_is_nothing_new() -> None:
    """Two sources tell of one line; by the event's id it counts once."""
    made = correlator(text(COUNT))
    again = [match("a", at * S, number) for at, number in enumerate([0, 0, 1, 0, 1])]
    assert [hit for each in again for hit in made.take(each)] == []
    assert [hit.ids for hit in made.take(match("a", 5 * S, 2)) if isinstance(hit, Hit)] == [
        ("m0", "m1", "m2")
    ]


def test_ids_are_of_the_matches() -> None:
    """The same matches give the same id, in every run; other matches or rules another."""
    steps = [("a", at) for at in range(6)]
    first, second = found(correlator(text(COUNT)), steps)
    again, _ = found(correlator(text(COUNT)), steps)
    other, _ = found(correlator(text(COUNT, number=7)), steps)
    ids = [each.id for each in (first, second, again, other) if isinstance(each, Hit)]
    assert ids[0] == ids[2]
    assert len(set(ids)) == 3


# --- late records, and time that runs backwards


def test_a_late_record_is_counted_where_it_belongs() -> None:
    """Out of order by less than a timespan, it is as if it had come in order."""
    assert hits(correlator(text(COUNT)), [("a", 0), ("a", 12), ("a", 5)]) == []
    assert hits(correlator(text(COUNT)), [("a", 0), ("a", 9), ("a", 5)]) == [[0, 2, 1]]
    assert hits(correlator(text(ORDERED)), [("a", 0), ("c", 5), ("b", 3)]) == [[0, 2, 1]]


def test_a_clock_set_back_blinds_nobody() -> None:
    """Set back by a year, it goes on counting at once, and again when it is set right."""
    made = correlator(text(COUNT))
    year = 31_556_952
    steps = [("a", year), ("a", year + 1), ("a", 0), ("a", 1), ("a", 2), ("a", year + 2)]
    assert hits(made, steps) == [[2, 3, 4], [0, 1, 5]]


def test_records_without_a_time_count_as_the_ones_before() -> None:
    """Lines of a bare text have an order and no time."""
    made = correlator(text(COUNT))
    for number in range(2):
        assert not list(made.take(match("a", None, number)))
    (hit,) = made.take(match("a", None, 3))
    assert isinstance(hit, Hit)


# --- the reference


def in_order(data: CorrelationData, window: Sequence[tuple[int, Match]]) -> bool:
    """Whether the rules stand in the window in their order, by different records: by trying."""
    return any(
        all(rule in each.rules for rule, (_, each) in zip(data["rules"], chosen, strict=True))
        for chosen in itertools.combinations(window, len(data["rules"]))
    )


def reference_holds(data: CorrelationData, window: Sequence[tuple[int, Match]]) -> bool:
    """What the specification says of a window."""
    matches = [each for _, each in window]
    if data["type"] == "event_count":
        return len(matches) >= data["at_least"]
    if data["type"] == "value_count":
        return len({each.field("U") for each in matches}) >= data["at_least"]
    if data["type"] == "temporal":
        return (
            len({r for each in matches for r in each.rules if r in data["rules"]})
            >= data["at_least"]
        )
    if data["type"] == "value_sum":
        return sum(float(each.field("N") or 0) for each in matches) > data["at_least"]
    return in_order(data, window)


def reference(data: CorrelationData, matches: Sequence[Match]) -> Iterator[tuple[str, ...]]:
    """Keep every match for ever; at each arrival look at every window that holds it."""
    kept: list[tuple[int, Match]] = []
    for each in matches:
        group = each.field("G")
        time_us = each.time_us or 0
        kept.append((time_us, each))
        kept.sort(key=lambda item: item[0])
        own = [item for item in kept if item[1].field("G") == group]
        for last in own[own.index((time_us, each)) :]:
            if last[0] > time_us + data["timespan_us"]:
                break
            upto = own[: own.index(last) + 1]
            window = [item for item in upto if item[0] >= last[0] - data["timespan_us"]]
            if reference_holds(data, window):
                if data["type"] == "temporal_ordered":
                    first = next(i for i in window if data["rules"][0] in i[1].rules)
                    window = window[window.index(first) :]
                yield tuple(item[1].id for item in window)
                kept = [item for item in kept if item not in window]
                break


SPAN = 10
KINDS = [
    "type: event_count, rules: [a, b], condition: {gte: 3}",
    "type: event_count, rules: [a], condition: {gt: 0}",
    "type: value_count, rules: [a, b, c], condition: {field: U, gte: 3}",
    "type: temporal, rules: [a, b, c]",
    "type: temporal, rules: [a, b, c], condition: {gte: 2}",
    "type: temporal_ordered, rules: [a, b, c]",
    "type: temporal_ordered, rules: [a, a, b]",
    "type: value_sum, rules: [a], condition: {field: N, gt: 6}",
]
CORRELATIONS = [rules(text(f"{kind}, group-by: [G], timespan: {SPAN}s")) for kind in KINDS]


@st.composite
def streams(draw: st.DrawFn) -> list[Match]:
    """A log whose records come late by at most a timespan, two groups, equal times among them."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["a", "b", "c", "ab", "abc"]),
                st.integers(0, 6),
                st.sampled_from([0, 0, 0, 1, 5, SPAN]),
                st.sampled_from("xyz"),
                st.sampled_from("gh"),
                st.integers(-1, 4),
            ),
            max_size=40,
        )
    )
    made, now = [], 100
    for number, (names, step, late, value, group, size) in enumerate(steps):
        now += step
        fields = {"U": value, "G": group, "N": str(size)}
        made.append(match(names, (now - late) * S, number, **fields))
    return made


def restarted(made: Correlator, index: int, rows: dict[str, str]) -> Correlator:
    """Go on as after a restart: with nothing but what was committed."""
    for key, row in made.changes().items():
        rows.pop(key, None)
        if row is not None:
            rows[key] = row
    fresh = Correlator(rows.items())
    fresh.use(list(CORRELATIONS[index]))
    return fresh


@settings(max_examples=400, deadline=None)
@given(streams(), st.integers(0, len(KINDS) - 1), st.sets(st.integers(0, 39)))
def test_it_equals_a_reference_that_keeps_everything(
    stream: list[Match], index: int, restarts: set[int]
) -> None:
    """On random streams, with late records and restarts anywhere, the very same hits."""
    made = Correlator()
    made.use(CORRELATIONS[index])
    rows: dict[str, str] = {}
    data = next(rule.correlation for rule in CORRELATIONS[index] if rule.correlation)
    told: list[tuple[str, ...]] = []
    for number, each in enumerate(stream):
        if number in restarts:
            made = restarted(made, index, rows)
        told += [hit.ids for hit in made.take(each) if isinstance(hit, Hit)]
    relevant = [each for each in stream if set(each.rules) & set(data["rules"])]
    assert told == list(reference(data, relevant))
