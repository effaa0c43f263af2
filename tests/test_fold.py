"""Repeats are folded with an exact count, and no kill, retry or restart makes it another."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.replay import PACK, kernel_record
from watcher.delivery import outbox as boxing
from watcher.delivery.outbox import Outbox
from watcher.delivery.store import Store
from watcher.detect import Detector
from watcher.event import Event
from watcher.fold import PROGRAMS, RUNS, Fold
from watcher.sinks.sink import Parcel

HOUR_S = 3600
US = 1_700_000_000_000_000


def denials(*names: str, reason: str = "use of kprobes") -> list[Event]:
    """A denial for each name, all different lines."""
    detector = Detector(PACK)
    return [
        event
        for at, name in enumerate(names)
        for event in detector.events(
            kernel_record(f"Lockdown: {name}: {reason} is restricted; see man x", at * 1000 + 1)
        )
    ]


def data(event: Event) -> dict[str, Any]:
    """The event as data."""
    made: dict[str, Any] = json.loads(event.json_line())
    return made


class Clock:
    """The wall clock, in seconds since the test began."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> int:
        return US + round(self.now_s * 1_000_000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock for the outbox."""
    made = Clock()
    monkeypatch.setattr(boxing, "clock_us", made)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one sink, `mail`."""
    with Store(tmp_path) as opened:
        opened.keep_sinks(["mail"])
        yield opened


def box(store: Store, fold_s: float = HOUR_S) -> Outbox:
    """The sink's view, opened anew."""
    return Outbox(store.path, "mail", fold_s=fold_s)


def taken(outbox: Outbox, limit: int = 100) -> list[Parcel]:
    """Give all that waits and settle it."""
    found: list[Parcel] = []
    while batch := outbox.waiting(limit):
        outbox.settle(batch, [], US)
        found += batch
    return found


def titles(parcels: list[Parcel]) -> list[str]:
    """What the events are called."""
    return [parcel.event["title"] for parcel in parcels]


def test_the_first_at_once_the_rest_counted_and_told(store: Store, clock: Clock) -> None:
    """One event, then one summary when it is over, valid and with the exact number."""
    found = denials(*["dd"] * 50)
    store.commit(found, {}, US)
    outbox = box(store)
    assert [each.id for each in taken(outbox)] == [found[0].id]
    assert outbox.due_s() == HOUR_S
    clock.now_s = HOUR_S
    (summary,) = taken(outbox)
    assert summary.event["title"] == f"49 more: {found[0].title}"
    assert summary.event["lockdown"]["suppressed"] == 49
    assert summary.event["process"]["comm"] == "dd"
    outbox.close()


def test_a_summary_is_an_event_of_the_schema(store: Store, clock: Clock) -> None:
    """Every sink can encode it."""
    import jsonschema

    from watcher.event_model import json_schema

    store.commit(denials("dd", "dd"), {}, US)
    outbox = box(store)
    taken(outbox)
    clock.now_s = HOUR_S
    jsonschema.validate(taken(outbox)[0].event, json_schema())
    outbox.close()


def test_what_goes_on_is_told_once_in_so_long(store: Store, clock: Clock) -> None:
    """No first one again, until there was none for as long."""
    outbox = box(store)
    told = []
    found = denials(*["dd"] * 12)
    for at, event in enumerate(found[:10]):
        clock.now_s = at * 1000
        store.commit([event], {}, US)
        told += titles(taken(outbox))
    assert told == [
        found[0].title,
        f"3 more: {found[0].title}",  # 1000, 2000, 3000; told at 4000
        f"4 more: {found[0].title}",  # 4000 to 7000; told at 8000
    ]
    clock.now_s = 13_000
    assert titles(taken(outbox)) == [f"2 more: {found[0].title}"]
    clock.now_s = 17_000
    store.commit(found[10:11], {}, US)
    assert [each.id for each in taken(outbox)] == [found[10].id]
    outbox.close()


def test_a_clock_that_was_set_back_hides_nothing(store: Store, clock: Clock) -> None:
    """A machine that thought it was another century tells of the repeats all the same."""
    found = denials(*["dd"] * 4)
    outbox = box(store)
    clock.now_s = 3e9
    store.commit(found[:2], {}, US)
    assert titles(taken(outbox)) == [found[0].title]
    clock.now_s = 0
    assert titles(taken(outbox)) == [f"1 more: {found[0].title}"]
    store.commit(found[2:], {}, US)
    assert taken(outbox) == []
    clock.now_s = HOUR_S
    assert titles(taken(outbox)) == [f"2 more: {found[0].title}"]
    outbox.close()


def test_others_are_told_meanwhile_and_what_is_critical_always(store: Store, clock: Clock) -> None:
    """Another program, another reason; and every lift of lockdown."""
    detector = Detector(PACK)
    lifts = [
        event
        for at in (1, 2)
        for event in detector.events(kernel_record("Lifting lockdown", 10**6 + at))
    ]
    found = [*denials("a", "a", "b"), *denials("a", reason="raw MSR access"), *lifts]
    store.commit(found, {}, US)
    outbox = box(store)
    wanted = [found[0].id, found[2].id, found[3].id, *(each.id for each in lifts)]
    assert [each.id for each in taken(outbox)] == wanted
    clock.now_s = 0
    outbox.close()


def test_names_that_vary_are_folded_too(store: Store, clock: Clock) -> None:
    """The name is the attacker's: beyond a few they count as one."""
    store.commit(denials(*[f"p{at}" for at in range(500)]), {}, US)
    outbox = box(store)
    assert len(taken(outbox)) == PROGRAMS + 1
    clock.now_s = HOUR_S
    (summary,) = taken(outbox)
    assert summary.event["lockdown"]["suppressed"] == 500 - PROGRAMS - 1
    outbox.close()


def test_runs_are_bounded_and_none_is_lost() -> None:
    """The oldest run is told when there are too many."""
    fold, count = Fold(HOUR_S * 1_000_000), 0
    event = data(denials("dd")[0])
    for at in range(RUNS * 3):
        each = event | {"kind": "rule.match", "rules": [{"id": str(at)}]}
        for _ in range(2):
            count += not fold.passes(at, each, US)
    assert len(json.loads(fold.state())[0]) == RUNS
    assert sum(json.loads(each.line)["lockdown"]["suppressed"] for each in fold.ended) == RUNS * 2
    assert count == RUNS * 3


@pytest.mark.usefixtures("clock")
def test_off_again_tells_what_was_folded(store: Store) -> None:
    """Nothing stays behind when fold_s is set to 0."""
    store.commit(denials("dd", "dd", "dd"), {}, US)
    outbox = box(store)
    taken(outbox)
    outbox.close()
    again = box(store, fold_s=0)
    assert titles(taken(again))[0].startswith("2 more: ")
    store.commit(denials("dd", "dd", "dd", "dd"), {}, US)
    assert len(taken(again)) == 1
    again.close()


@pytest.mark.usefixtures("clock")
def test_a_sink_that_is_gone_leaves_nothing(store: Store) -> None:
    """One of the same name begins anew."""
    store.commit(denials("dd", "dd"), {}, US)
    outbox = box(store)
    taken(outbox)
    outbox.close()
    store.keep_sinks([])
    store.keep_sinks(["mail"])
    outbox = box(store)
    assert len(taken(outbox)) == 1
    outbox.close()


def test_a_summary_is_the_same_one_when_it_is_told_again(store: Store, clock: Clock) -> None:
    """Delivered, and killed before that was written down; more came, the clock was set back."""
    found = denials(*["dd"] * 5)
    store.commit(found[:4], {}, US)
    outbox = box(store)
    taken(outbox)
    clock.now_s = HOUR_S
    (once,) = outbox.waiting(10)
    outbox.close()
    store.commit(found[4:], {}, US)
    clock.now_s = 5
    outbox = box(store)
    (again,) = outbox.waiting(10)
    assert (again.id, again.line) == (once.id, once.line)
    outbox.close()


@pytest.mark.parametrize("seed", range(12))
def test_the_count_is_exact_through_kills_and_retries(
    store: Store, clock: Clock, seed: int
) -> None:
    """Each event is told itself or counted in exactly one summary; by id, none is told twice."""
    chance = random.Random(seed)
    found = denials(*[f"p{chance.randrange(4)}" for _ in range(200)])
    told: dict[str, int] = {}
    outbox, fresh = box(store), list(found)
    while fresh or clock.now_s < 20 * HOUR_S:
        clock.now_s += chance.choice((1, 60, HOUR_S / 2))
        store.commit([fresh.pop(0) for _ in range(min(len(fresh), chance.randrange(9)))], {}, US)
        batch = outbox.waiting(chance.randrange(1, 12))
        cut = chance.randrange(len(batch) + 1)
        for each in batch[:cut]:
            folded = "more: " in each.event["title"]
            count = each.event["lockdown"]["suppressed"] if folded else 1
            assert told.setdefault(each.id, count) == count
        if chance.random() < 0.3:
            outbox.close()  # killed: what was delivered is not written down
            outbox = box(store)
        else:
            outbox.settle(batch[:cut], [], US)
    clock.now_s += 2 * HOUR_S
    for each in taken(outbox):
        folded = "more: " in each.event["title"]
        told.setdefault(each.id, each.event["lockdown"]["suppressed"] if folded else 1)
    assert sum(told.values()) == len(found)
    outbox.close()
