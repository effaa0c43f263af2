"""What correlations remember is committed with the events: kills, restarts, two sources."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.correlated import PLAIN, text
from tests.crash import survives
from tests.replay import START_US, Replay, kernel_record
from watcher.daemon.feed import Feed, opened
from watcher.delivery.store import VERSION, Reading, Store
from watcher.record import Gap, Record
from watcher.rule_check import check
from watcher.rules import Pack
from watcher.rules.correlation import Correlator, Match
from watcher.rules.rule import compile_rule

RULES: Final = PLAIN.replace("{X: ", "{'MESSAGE|contains': line ")
THREE: Final = text(
    "type: event_count, rules: [a], timespan: 1m, condition: {gte: 3}", name="three", number=1
)
TWICE: Final = text(
    "type: temporal_ordered, rules: [three, b, three], timespan: 5m", name="twice", number=2
)
LOUD: Final = text(
    "type: event_count, rules: [c], group-by: [PRIORITY], generate: true, timespan: 1h,"
    " condition: {gte: 2}",
    number=3,
)
DATA, FAULTS = check({"r.yml": RULES + THREE + TWICE + LOUD})
PACK: Final = Pack(tuple(map(compile_rule, DATA)))
SECOND: Final = 1_000_000


def log(lines: int) -> list[Record | Gap]:
    """Make a log of lines that rules count silently, b and c loudly, and lines about nothing."""
    found: list[Record | Gap] = []
    for at in range(lines):
        kind = "aaxbacxa"[at % 8]
        record = kernel_record(f"line {kind} {at // 3}", at // 2 * SECOND, at)
        fields = {**record.fields, "PRIORITY": str(at % 3)}
        found.append(record._replace(fields=fields))
    return found


class Named(Replay):
    """A replay of another name: the second source of the same lines."""

    def __init__(
        self, name: str, items: Sequence[Record | Gap], batch: int, state: str | None
    ) -> None:
        super().__init__(items, batch, opened(state).get("at"))
        self.name = name


def run_to_end(folder: Path, items: Sequence[Record | Gap], names: Sequence[str]) -> None:
    """Do what the daemon does with logs that tell of the same lines, in turns, up to the end."""
    with Store(folder) as store, contextlib.ExitStack() as open_feeds:
        correlator = Correlator(store.memory())
        feeds = []
        for name in names:
            state = store.position(name)
            source = Named(name, items, 5 if name == "kmsg" else 3, state)
            feeds.append(Feed(source, PACK, 0, state, correlator=correlator))
            open_feeds.callback(source.close)
        running = [(feed, feed.batches()) for feed in feeds]
        while running:
            for each in list(running):
                feed, batches = each
                events = next(batches, None)
                if events is None:
                    running.remove(each)
                    continue
                places = {feed.name: feed.state() or ""}
                store.commit(events, places, START_US, None, correlator.changes())


def recorded(folder: Path) -> list[tuple[str, str]]:
    """Give title and id of all that was recorded, in order."""
    with Reading(folder) as reading:
        lines = [json.loads(line) for line in reading.lines()]
    return [(each["title"], each["id"]) for each in lines]


def test_the_stream_has_what_is_to_be_kept(tmp_path: Path) -> None:
    """Silent and loud rules, chains and groups all take part, else the tests below test nothing."""
    assert FAULTS == []
    assert [rule.silent for rule in PACK.rules] == [True, True, False, False, True, False, False]
    run_to_end(tmp_path, log(120), ["kmsg"])
    count = Counter(title for title, _ in recorded(tmp_path))
    assert count == {"c": 15, "twice": count["twice"], "c1": count["c1"]}
    assert count["twice"] > 3
    assert count["c1"] == 6


@pytest.mark.parametrize("names", [["kmsg"], ["kmsg", "journal"], ["journal", "kmsg"]])
def test_the_same_lines_from_two_sources_count_once(names: list[str], tmp_path: Path) -> None:
    """Whichever source tells first, and both in turns: the same hits, with the same ids."""
    run_to_end(tmp_path / "one", log(120), ["kmsg"])
    run_to_end(tmp_path / "these", log(120), names)
    assert sorted(recorded(tmp_path / "these")) == sorted(recorded(tmp_path / "one"))


@pytest.mark.parametrize("names", [["kmsg"], ["kmsg", "journal"]])
def test_a_kill_before_any_statement_loses_and_invents_no_hit(
    names: list[str], tmp_path: Path
) -> None:
    """Whichever SQL statement a kill hits, the next run ends with what an undisturbed one has."""
    items = log(32)
    run_to_end(tmp_path / "whole", items, names)
    whole = sorted(recorded(tmp_path / "whole"))
    assert {"c", "twice", "c1"} <= {title for title, _ in whole}
    statement = 0
    while True:
        statement += 1
        folder = tmp_path / str(statement)
        if survives(statement, partial(run_to_end, folder, items, names)):
            break
        run_to_end(folder, items, names)
        assert sorted(recorded(folder)) == whole, f"killed before statement {statement}"
    assert statement > 100


def test_killed_again_and_again(tmp_path: Path) -> None:
    """Each time a few statements later, it still gets to the same end."""
    items = log(120)
    run_to_end(tmp_path / "whole", items, ["kmsg", "journal"])
    tries = 0
    run = partial(run_to_end, tmp_path / "killed", items, ["kmsg", "journal"])
    while not survives(60, run):
        tries += 1
        assert tries < 200
    assert tries > 3
    assert sorted(recorded(tmp_path / "killed")) == sorted(recorded(tmp_path / "whole"))


def test_memory_is_kept_in_its_order_and_forgotten(tmp_path: Path) -> None:
    """A row that is written again is the newest; None deletes."""
    with Store(tmp_path) as store:
        store.commit([], {}, START_US, None, {"a": "1", "b": "2", "c": "3"})
        store.commit([], {}, START_US, None, {"a": "4", "c": None})
        assert store.memory() == [("b", "2"), ("a", "4")]


def test_a_store_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    """What was recorded stays; there is room for what correlations remember."""
    with Store(tmp_path) as store:
        store.commit([], {"kmsg": "x"}, START_US)
        store._db.executescript("DROP TABLE memory; PRAGMA user_version = 3")
    with Store(tmp_path) as store:
        assert (store.position("kmsg"), store.memory()) == ("x", [])
        store.commit([], {}, START_US, None, {"a": "1"})
        assert store._db.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_other_rules_begin_anew_and_leave_nothing() -> None:
    """A reload keeps what unchanged correlations remember; of others every row goes."""
    correlator = Correlator()
    replay = Named("kmsg", log(20), 20, None)
    feed = Feed(replay, PACK, 0, None, correlator=correlator)
    list(feed.batches())
    rows = {key: row for key, row in correlator.changes().items() if row is not None}
    assert any("/" in key and not key.startswith("id/") for key in rows)
    feed.use(PACK)
    assert correlator.changes() == {}
    correlator.use(list(PACK.rules))  # the same rules, loaded again
    assert correlator.changes() == {}
    feed.use(Pack(()))
    gone = correlator.changes()
    assert set(gone.values()) == {None}
    assert set(gone) >= {key for key in rows if not key.startswith("id/")}
    replay.close()


@pytest.mark.parametrize(
    ("was", "now", "kept"),
    [
        ("line a", "line a", ["three", "twice", "c1"]),
        ("title: a", "title: other", ["three", "twice", "c1"]),
        ("line a", "line d", ["c1"]),  # what "three" counts is another rule
        ("gte: 3", "gte: 4", ["c1"]),  # "three" is another itself, and "twice" counts it
        ("timespan: 5m", "timespan: 6m", ["three", "c1"]),
    ],
)
def test_what_was_counted_under_other_rules_is_not_taken_over(
    was: str, now: str, kept: list[str]
) -> None:
    """A reload goes on with what is the same in all that was counted, and forgets the rest."""
    made = Correlator()
    feed = Feed(Named("kmsg", log(15), 15, None), PACK, 0, None, correlator=made)
    list(feed.batches())
    rows = [(key, row) for key, row in made.changes().items() if row is not None]
    data, faults = check({"r.yml": (RULES + THREE + TWICE + LOUD).replace(was, now)})
    assert faults == []
    fresh = Correlator(rows)
    fresh.use([compile_rule(each) for each in data])
    assert [book.rule.title for book in fresh._books.values() if book._groups] == kept


def test_what_is_usual_stays_known_under_better_rules() -> None:
    """A rule that matches a little more or less is no reason to tell all that is known as new."""
    new = text(
        "type: event_count, rules: [a], group-by: [PRIORITY], timespan: 30d, condition: {gte: 1}",
        head="watcher: {new_after: 1d, examples: {match: [[{MESSAGE: line a, PRIORITY: 1},"
        " {wait: 25h}, {MESSAGE: line a, PRIORITY: 2}]]}}\n",
    )
    made = Correlator()
    for was in ("line a", "line (a|z)"):
        better = RULES.replace("MESSAGE|contains': line a", f"MESSAGE|re': {was}")
        data, faults = check({"r.yml": better + new})
        assert faults == []
        made.use([compile_rule(each) for each in data])
        list(made.take(Match("1", [data[0]["id"]], 0, {"PRIORITY": "1"}.get, "kernel")))
    (book,) = made._books.values()
    assert len(book._groups) == 1  # the second was known by its id, so this is the first one's
