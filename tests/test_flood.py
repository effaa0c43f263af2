"""Promise 8: a flood folds into one event with an exact count."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.replay import HIT, PACK, Replay, kernel_record
from watcher.daemon.feed import Feed
from watcher.daemon.flood import MINUTE_US, MOST, Flood
from watcher.detect import Detector
from watcher.event import Event, Lockdown, MatchedRule


def denials(times_us: list[int]) -> list[Event]:
    """Give denials at these times, each by another process."""
    detector = Detector(PACK)
    return [
        event
        for at, us in enumerate(times_us)
        for event in detector.events(kernel_record(HIT.format(at), us, at))
    ]


def passed(flood: Flood, found: list[Event]) -> list[Event]:
    """Give what comes out at once."""
    return [each for event in found for each in flood.passed(event)]


def told(flood: Flood, found: list[Event]) -> list[Event]:
    """Give all that comes out."""
    return [*(each for event in found for each in flood.passed(event)), *flood.flush()]


def test_beyond_the_limit_one_event_counts_the_rest() -> None:
    """1,000 denials in a minute by 1,000 names: 100 events and one that says 900."""
    out = told(Flood(100), denials(list(range(1000))))
    assert len(out) == 101
    assert [each.lockdown.suppressed for each in out[:100]] == [None] * 100
    fold = out[100]
    assert (fold.kind, fold.lockdown.suppressed) == ("lockdown.denied", 900)
    assert fold.title.startswith("900 more in the same minute: ")
    assert "900 events are folded" in fold.warnings[-1]


def test_each_minute_counts_for_itself() -> None:
    """The limit is a rate; the minute is the kernel's."""
    out = told(Flood(2), denials([0, 1, 2, MINUTE_US, MINUTE_US + 1, MINUTE_US + 2]))
    assert [each.lockdown.suppressed for each in out] == [None, None, 1, None, None, 1]
    assert len({each.id for each in out}) == 6


def test_nothing_folds_below_the_limit_or_without_one() -> None:
    """Events come through as they are."""
    found = denials([0] * 50)
    assert told(Flood(50), found) == found
    assert told(Flood(0), found) == found


def test_a_minute_told_in_parts_adds_up() -> None:
    """Each part has an id of its own, and the limit is not granted anew."""
    found, flood = denials(list(range(300))), Flood(10)
    out = [
        each
        for at in (0, 100, 200)
        for each in [*passed(flood, found[at : at + 100]), *flood.flush()]
    ]
    assert [each.lockdown.suppressed for each in out[10:]] == [90, 100, 100]
    assert len({each.id for each in out}) == len(out)


def test_what_has_no_kernel_time_counts_by_the_minute_too() -> None:
    """A forged line over journald's socket has none; five a minute are no flood."""
    (event,) = denials([0])
    origin = event.origin._replace(monotonic_us=None)
    found = [
        event._replace(origin=origin, id=str(at), time=f"2026-11-24T10:{at // 5:02}:00.0Z")
        for at in range(50)
    ]
    assert told(Flood(10), found) == found
    assert sum(each.lockdown.suppressed or 1 for each in told(Flood(2), found)) == 50
    assert len({each.id for each in told(Flood(2), found)}) == 30


def test_another_limit_after_a_restart_counts_right() -> None:
    """What is folded is counted, not what is beyond a limit."""
    first = Flood(10)
    before = passed(first, denials(list(range(60))))
    after = told(Flood(6000, first.state()), denials(list(range(60, 100))))
    assert sum(each.lockdown.suppressed or 1 for each in [*before, *after]) == 100


def test_the_files_of_a_folder_add_up() -> None:
    """A flood makes journald begin new files: each has lines of its own, in the same minute."""
    items = [kernel_record(HIT.format(at), at, at) for at in range(100)]
    out: list[Event] = []
    for name, part in (("folder 1", items[:60]), ("folder 2", items[60:])):
        feed = Feed(Replay(part, 10), PACK, 10, None, name=name)
        out += [*(each for batch in feed.batches() for each in batch), *feed.flush()]
        feed.close()
    assert len({each.id for each in out}) == len(out) == 22
    assert sum(each.lockdown.suppressed or 1 for each in out) == 100


def test_a_flood_of_one_rule_hides_no_other() -> None:
    """What two rules match is counted apart: a hit comes through whatever else is flooded."""
    (event,) = denials([0])
    event = event._replace(kind="rule.match", lockdown=Lockdown())
    noise, hit = (
        event._replace(id=name, rules=(MatchedRule(name, name, "low", ()),))
        for name in ("noise", "hit")
    )
    assert passed(Flood(10), [*[noise] * 50, hit])[-1].id == "hit"


def test_a_fold_is_as_grave_as_the_gravest_in_it() -> None:
    """A program's name may make a denial slight; one at the end of a flood hides none before it."""
    found = denials(list(range(20)))
    found[15] = found[15]._replace(severity="critical", message="the gravest")
    fold = told(Flood(10), found)[-1]
    assert (fold.severity, fold.message, fold.lockdown.suppressed) == (
        "critical",
        "the gravest",
        10,
    )


def test_many_boots_are_bounded() -> None:
    """Each boot of many machines is counted by itself, and the oldest is told and forgotten."""
    flood = Flood(1)
    (event,) = denials([0])
    found = [
        event._replace(host=event.host._replace(boot_id=f"{boot:032x}"))
        for boot in range(MOST + 10)
        for _ in range(2)
    ]
    assert sum(each.lockdown.suppressed or 1 for each in told(flood, found)) == len(found)
    assert len(flood.state()) <= MOST


def test_both_sources_fold_alike() -> None:
    """Two readers of the same flood make the same fold, so the store keeps one."""
    found = denials(list(range(50)))
    assert told(Flood(10), found)[-1].id == told(Flood(10), found)[-1].id


@given(
    st.lists(st.integers(0, 4 * MINUTE_US), max_size=60).map(sorted),
    st.integers(1, 5),
    st.integers(0, 60),
)
def test_no_event_is_lost_by_folding_or_by_a_restart(
    times_us: list[int], limit: int, cut: int
) -> None:
    """Single events and counts add up, whether or not the state went through JSON in between."""
    found = denials(times_us)
    whole = told(Flood(limit), found)
    assert sum(each.lockdown.suppressed or 1 for each in whole) == len(found)
    first = Flood(limit)
    before = [each for event in found[:cut] for each in first.passed(event)]
    state = json.loads(json.dumps(first.state()))
    assert [*before, *told(Flood(limit, state), found[cut:])] == whole
