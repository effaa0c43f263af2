"""Recorded exactly once: the store under kills, damage, second daemons and full disks."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.crash import survives
from tests.replay import PACK, events, feed, stream
from watcher.daemon.feed import Feed
from watcher.delivery.outbox import Outbox
from watcher.delivery.store import DROPPED, FILE, Lost, Reading, Store
from watcher.detect import gap_event
from watcher.errors import StoreError
from watcher.event import Event
from watcher.record import Gap, Host, Place, Record

US = 1_700_000_000_000_000


def test_what_is_recorded_twice_is_there_once(tmp_path: Path) -> None:
    """The id is unique; the position moves all the same."""
    found = events(3)
    with Store(tmp_path) as store:
        assert store.commit(found[:2], {"kmsg": "a"}, US) == 2
        assert store.commit(found, {"kmsg": "b"}, US) == 1
        assert (len(store), store.position("kmsg"), store.position("journal")) == (3, "b", None)
    lines = [json.loads(line)["id"] for line in Reading(tmp_path).lines()]
    assert lines == [event.id for event in found]


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """One store, one daemon; the message names the other, and the lock goes with it."""
    with Store(tmp_path), pytest.raises(StoreError, match=f"another daemon .pid {os.getpid()}."):
        Store(tmp_path)
    Store(tmp_path).close()


HARMS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "noise": lambda data: data[:8192] + b"\xa5" * 400_000 + data[408_192:],
    "cut": lambda data: data[: len(data) // 2],
    "header": lambda data: b"not a database" + data[14:],
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_file_is_set_aside(harm: str, tmp_path: Path) -> None:
    """The store opens again empty, says where the damaged file went, and loses nothing of it."""
    with Store(tmp_path) as store:
        store.commit(events(2000), {"kmsg": "a"}, US)
    file = tmp_path / FILE
    data = file.read_bytes()
    harmed = HARMS[harm](data)
    file.write_bytes(harmed)
    with Store(tmp_path) as store:
        assert (len(store), store.position("kmsg")) == (0, None)
        if harm != "empty":  # an empty file is a new store to SQLite, and to us
            assert store.set_aside
            assert Path(store.set_aside).read_bytes() == harmed
        assert store.commit(events(1), {}, US) == 1


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    """A downgrade must not eat the store."""
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer"):
        Store(tmp_path)
    assert not list(tmp_path.glob("*.damaged*"))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """One clear line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot keep a store here"):
        Store(tmp_path / "file" / "state")


def test_reading_needs_a_store(tmp_path: Path) -> None:
    """`events` before the daemon ever ran."""
    with pytest.raises(StoreError, match="has the daemon ever run"):
        Reading(tmp_path)


# --- a kill at every statement


def run_to_end(folder: Path, items: list[Record | Gap]) -> None:
    """Do what the daemon does with a log, up to its end."""
    with Store(folder) as store:
        source: Feed = feed(items, store.position("kmsg"), flood=40)
        for found in source.batches():
            store.commit(found, {"kmsg": source.state() or ""}, US)
        store.commit(source.flush(), {"kmsg": "done"}, US)


def recorded(folder: Path) -> list[str]:
    """Give ids and counts of all that was recorded, in order."""
    lines = [json.loads(line) for line in Reading(folder).lines()]
    return [f"{each['id']} {each['lockdown']['suppressed']}" for each in lines]


def test_a_kill_before_any_statement_loses_and_invents_nothing(tmp_path: Path) -> None:
    """Promise 1, equal lines of one microsecond and a flood being counted among them: whichever
    SQL statement a kill hits, the next run ends with the very store of an undisturbed one."""
    items = stream(120, 2)
    run_to_end(tmp_path / "whole", items)
    whole = recorded(tmp_path / "whole")
    assert len(whole) == len(set(whole)) == 41
    statement = 0
    while True:
        statement += 1
        folder = tmp_path / str(statement)
        if survives(statement, partial(run_to_end, folder, items)):
            break
        run_to_end(folder, items)
        assert recorded(folder) == whole, f"killed before statement {statement}"
    assert statement > 40


def test_a_kill_at_every_line_of_many_runs(tmp_path: Path) -> None:
    """Killed again and again, each time a few statements later, it still gets to the same end."""
    items = stream(300, 2)
    run_to_end(tmp_path / "whole", items)
    tries = 0
    while not survives(20, partial(run_to_end, tmp_path / "killed", items)):
        tries += 1
        assert tries < 200
    assert tries > 3
    assert recorded(tmp_path / "killed") == recorded(tmp_path / "whole")


# --- what may go


def test_age_never_removes_what_a_sink_has_not_got(tmp_path: Path) -> None:
    """Only what every sink has goes, however old."""
    found = events(10)
    with Store(tmp_path) as store:
        store.keep_sinks(["quick", "slow"])
        store.commit(found, {}, US)
        quick = Outbox(store.path, "quick")
        slow = Outbox(store.path, "slow")
        quick.settle(quick.waiting(10), [], US)
        slow.settle(slow.waiting(4), [], US)
        assert store.prune(US + 1) == 4
        assert [p.id for p in slow.waiting(10)] == [event.id for event in found[4:]]
        store.keep_sinks(["quick"])  # the other one is gone from the configuration
        assert store.prune(US) == 0
        assert store.prune(US + 1) == 6
        quick.close()
        slow.close()


def test_without_sinks_only_age_counts(tmp_path: Path) -> None:
    """A store that only records keeps what is young enough."""
    with Store(tmp_path) as store:
        store.commit(events(3), {}, US)
        assert (store.prune(US), store.prune(US + 1)) == (0, 3)


def dropped(lost: Lost) -> Event:
    """Give the gap of what was dropped."""
    place, bounds = Place("watcher"), (lost.first_us, lost.last_us)
    return gap_event(Gap(DROPPED, lost.count, place, Host(), US, "dropped", *bounds))


def test_what_is_dropped_is_counted(tmp_path: Path) -> None:
    """The count of those that a sink lacked is exact, also when gaps are dropped in their turn."""
    with Store(tmp_path) as store:
        store.keep_sinks(["a"])
        store.commit(events(100), {}, US)
        outbox = Outbox(store.path, "a")
        outbox.settle(outbox.waiting(30), [], US)
        store.drop_oldest(50, dropped, US)
        [*_, gap] = [json.loads(line)["gap"] for line in lines_of(tmp_path)]
        assert (gap["cause"], gap["count"]) == (DROPPED, 20)
        assert [p.number for p in outbox.waiting(1)] == [51]
        store.drop_oldest(51, dropped, US)
        [gap] = [json.loads(line)["gap"] for line in lines_of(tmp_path)]
        assert gap["count"] == 70
        outbox.close()


def lines_of(folder: Path) -> list[str]:
    """Give what the store holds."""
    with Reading(folder) as reading:
        return list(reading.lines())


def test_room_comes_back(tmp_path: Path) -> None:
    """What was removed takes no room any more, in the file neither."""
    with Store(tmp_path) as store:
        store.commit(events(3000), {}, US)
        full = store.bytes_used()
        store.prune(US + 1)
        assert store.bytes_used() < full / 10
    assert store.path.stat().st_size < full / 10


def test_sinks_that_are_no_more_are_told(tmp_path: Path) -> None:
    """With what waited for them; what was set aside for them is forgotten."""
    with Store(tmp_path) as store:
        assert store.keep_sinks(["a", "b"]) == []
        store.commit(events(3), {}, US)
        assert store.keep_sinks(["b"]) == [("a", 3)]


def test_a_file_that_is_replaced_is_noticed(tmp_path: Path) -> None:
    """Else all would go to a file without a name."""
    with Store(tmp_path) as store:
        assert store.is_there()
        store.path.rename(tmp_path / "elsewhere")
        assert not store.is_there()


def test_slight_events_hold_nothing_back(tmp_path: Path) -> None:
    """A sink that wants graver events has dealt with those it never gets."""
    with Store(tmp_path) as store:
        store.keep_sinks(["grave"])
        store.commit(events(5), {}, US)
        outbox = Outbox(store.path, "grave", min_severity=4)
        assert outbox.waiting(10) == []
        assert store.prune(US + 1) == 5
        outbox.close()


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """A commit that fails for lack of room leaves nothing behind, and may be made again."""
    with Store(tmp_path) as store:
        store.commit(events(1), {"kmsg": "a"}, US)
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            store.commit(events(500), {"kmsg": "b"}, US)
        assert (len(store), store.position("kmsg")) == (1, "a")
        store._db.execute("PRAGMA max_page_count = 1000000")
        assert store.commit(events(500), {"kmsg": "b"}, US) == 499


def test_the_store_can_be_read_beside_a_daemon(tmp_path: Path) -> None:
    """`events` in another process, while the daemon holds the store."""
    with Store(tmp_path) as store:
        store.commit(events(3), {}, US)
        code = "from watcher.delivery.store import Reading; from pathlib import Path;"
        code += f"print(len(list(Reading(Path({str(tmp_path)!r})).lines())))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert done.stdout == b"3\n"


def test_the_pack_is_the_shipped_one() -> None:
    """What is replayed here is what users run."""
    assert len(PACK.rules) > 20
