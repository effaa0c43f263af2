"""Many machines' journals in one folder, as systemd-journal-remote fills it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from tests.journal.real import BOOT, BOOT_2, build, entry, line, lockdown_line
from tests.outage.parts import Daemon, until
from tests.parts import missing
from watcher import choose
from watcher.config import Config, SourceOptions, StoreOptions
from watcher.daemon import fleet
from watcher.daemon.faults import TIMES, Faults
from watcher.daemon.feed import Log
from watcher.daemon.fleet import NAME
from watcher.daemon.service import Logs
from watcher.delivery.store import Reading, Store
from watcher.errors import SourceError
from watcher.event import Event
from watcher.pack import load_pack
from watcher.sources import journal_files
from watcher.sources.journal_header import header
from watcher.sources.kmsg import KmsgSource

MINUTE_US = 60_000_000


@contextlib.contextmanager
def followed(folder: Path, state: Path) -> Iterator[tuple[Log, Store]]:
    """Open the folder as the daemon does; the store is left as it was when it ends."""
    config = Config(
        source=SourceOptions(journal_dir=str(folder)),
        store=StoreOptions(dir=str(state), flood_per_minute=5),
        sinks=(),
        files=(),
    )
    with Store(state) as store, contextlib.closing(Faults(state)) as faults:
        (log,), _ = Logs(config, store, faults, since_us=0).opened()
        with contextlib.closing(log):
            yield log, store


def read(log: Log, store: Store) -> list[Event]:
    """Do one round of the daemon's loop; give what is new."""
    new: list[Event] = []
    for feed in log.feeds():
        events = [event for batch in feed.batches() for event in batch]
        events += feed.overdue(quiet=True)
        new += [event for event in events if store.commit([event], {}, 0)]
        if state := feed.state():
            store.commit([], {feed.name: state}, 0)
    return [*new, *log.troubles()]


def names(events: list[Event]) -> list[str | None]:
    """Give the process each event is about."""
    return [event.process.comm for event in events]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two machines' journals."""
    found = tmp_path / "remote"
    found.mkdir()
    build(found / "remote-a.journal", [line(lockdown_line("a1"), MINUTE_US)])
    build(found / "remote-b.journal", [line(lockdown_line("b1"), 2 * MINUTE_US, boot=BOOT_2)])
    return found


def test_what_is_sent_late_is_read(folder: Path, tmp_path: Path) -> None:
    """A machine's lines older than another's that were read already; once each, also after a
    restart."""
    with followed(folder, tmp_path / "state") as (log, store):
        assert names(read(log, store)) == ["a1", "b1"]
        assert read(log, store) == []
        # Later than a1, but earlier than b1, which was read.
        build(folder / "remote-a.journal", [line(lockdown_line("a2"), MINUTE_US + 1)])
        assert names(read(log, store)) == ["a2"]
    build(folder / "remote-a.journal", [line(lockdown_line("a3"), MINUTE_US + 2)])
    with followed(folder, tmp_path / "state") as (log, store):
        assert names(read(log, store)) == ["a3"]


def test_machines_are_told_apart(folder: Path, tmp_path: Path) -> None:
    """Each event has the boot of the machine that wrote the line."""
    with followed(folder, tmp_path / "state") as (log, store):
        found = {event.process.comm: event.host.boot_id for event in read(log, store)}
    assert found == {"a1": BOOT, "b1": BOOT_2}


def test_a_rotated_file_is_gone_on_with(folder: Path, tmp_path: Path) -> None:
    """It has another name and the same id; the new file begins anew."""
    with followed(folder, tmp_path / "state") as (log, store):
        read(log, store)
        (folder / "remote-a.journal").rename(folder / "remote-a@1.journal")
        build(folder / "remote-a.journal", [line(lockdown_line("a2"), 3 * MINUTE_US)])
        assert names(read(log, store)) == ["a2"]


def test_a_folder_below_is_looked_into(folder: Path, tmp_path: Path) -> None:
    """/var/log/journal has one for each machine."""
    (folder / BOOT).mkdir()
    build(folder / BOOT / "system.journal", [line(lockdown_line("c1"), 0)])
    with followed(folder, tmp_path / "state") as (log, store):
        assert names(read(log, store)) == ["c1", "a1", "b1"]


def test_a_damaged_file_is_told_and_the_others_go_on(folder: Path, tmp_path: Path) -> None:
    """As a gap, once."""
    file = folder / "remote-a.journal"
    os.truncate(file, 10_000)
    with followed(folder, tmp_path / "state") as (log, store):
        b1, gap = read(log, store)
        assert b1.process.comm == "b1"
        assert gap.gap
        assert gap.gap.cause == "journal_damaged"
        assert str(file) in gap.message


def test_a_file_removed_unread_is_a_gap(folder: Path, tmp_path: Path) -> None:
    """While nobody read, and it was not complete; it is told once, by its path."""
    with followed(folder, tmp_path / "state") as (log, store):
        read(log, store)
    (folder / "remote-a.journal").unlink()
    for expected in (1, 0):
        with followed(folder, tmp_path / "state") as (log, store):
            told = read(log, store)
            assert [each.gap.cause for each in told if each.gap] == ["journal_vacuumed"] * expected
            assert all(str(folder / "remote-a.journal") in each.message for each in told)
            assert len(gaps_recorded(tmp_path / "state")) == 1


def gaps_recorded(state: Path) -> list[str]:
    """Give the gaps of removed files that the store holds."""
    return [each for each in store_lines(state) if "journal_vacuumed" in each]


def test_a_file_that_cannot_be_read_is_not_forgotten(folder: Path, tmp_path: Path) -> None:
    """It is there; once it can be read again, it is gone on with."""
    state, file = tmp_path / "state", folder / "remote-a.journal"
    with followed(folder, state) as (log, store):
        read(log, store)
    file.rename(tmp_path / "kept")
    file.symlink_to(file.name)  # ELOOP, also for root
    with followed(folder, state) as (log, store):
        [told] = read(log, store)
        assert f"{file}: cannot be read" in told.message
        assert len(store.positions(NAME)) == 2
    assert gaps_recorded(state) == []


def test_while_a_folder_cannot_be_read_nothing_is_forgotten(folder: Path, tmp_path: Path) -> None:
    """What is missing may be in there."""
    state = tmp_path / "state"
    with followed(folder, state) as (log, store):
        read(log, store)
    (folder / "remote-a.journal").unlink()
    (folder / "below").symlink_to("below")
    with followed(folder, state) as (log, store):
        assert [str(folder / "below") in each.message for each in read(log, store)] == [True]
        assert len(store.positions(NAME)) == 2


def test_an_empty_folder_makes_nothing_forgotten(folder: Path, tmp_path: Path) -> None:
    """It may be one that is not mounted."""
    state = tmp_path / "state"
    with followed(folder, state) as (log, store):
        read(log, store)
    folder.rename(tmp_path / "away")
    folder.mkdir()
    with followed(folder, state) as (log, store):
        assert read(log, store) == []
        assert len(store.positions(NAME)) == 2


def at_rest(folder: Path) -> None:
    """Let the files be as if nobody had written for a minute."""
    for file in folder.iterdir():
        os.utime(file, (time.time() - 60,) * 2)


@pytest.mark.parametrize("gone_s", [0.0, 60.0])
def test_a_file_that_was_read_and_removed_is_no_gap(
    gone_s: float, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is forgotten while the daemon runs, or when it ends."""
    monkeypatch.setattr(fleet, "GONE_S", gone_s, raising=False)
    state = tmp_path / "state"
    at_rest(folder)
    with followed(folder, state) as (log, store):
        read(log, store)
        read(log, store)
        (folder / "remote-a.journal").unlink()
        assert read(log, store) == []
        assert len(store.positions(NAME)) == (2 if gone_s else 1)
    with followed(folder, state) as (log, store):
        assert read(log, store) == []
        assert len(store.positions(NAME)) == 1
    assert gaps_recorded(state) == []


def test_a_file_removed_while_it_grew_is_a_gap(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written to it last, nobody can know."""
    monkeypatch.setattr(fleet, "GONE_S", 0.0, raising=False)
    with followed(folder, tmp_path / "state") as (log, store):
        read(log, store)
        (folder / "remote-a.journal").unlink()
        assert [each.gap.cause for each in read(log, store) if each.gap] == ["journal_vacuumed"]
        assert read(log, store) == []


def test_what_a_broken_file_held_back_is_told(folder: Path, tmp_path: Path) -> None:
    """A fold of a flood, before the word that the file broke off."""
    many = (line(lockdown_line("a1"), MINUTE_US + n) for n in range(1, 20))
    build(folder / "remote-a.journal", many)
    with followed(folder, tmp_path / "state") as (log, _):
        for feed in log.feeds():
            events = [event for batch in feed.batches() for event in batch]
            assert events
            if not feed.idle:
                log.gave_up(feed, SourceError("broken"))
                assert feed.idle
        *held, word = log.troubles()
        assert held
        assert word.message.endswith("broken")


def store_lines(state: Path) -> list[str]:
    """Give the events that the store holds."""
    with Reading(state) as reading:
        return list(reading.lines())


def test_a_file_that_killed_three_times_is_left_out(folder: Path, tmp_path: Path) -> None:
    """And said; the others are read."""
    head = header(str(folder / "remote-a.journal"))
    assert head
    state = tmp_path / "state"
    state.mkdir()
    for _ in range(TIMES):
        with contextlib.closing(Faults(state)) as faults:
            faults.reading(NAME + head.file_id)
            (state / "fault").write_text("Fatal Python error: Bus error\n")
    with followed(folder, state) as (log, store):
        b1, gap = read(log, store)
        assert b1.process.comm == "b1"
        assert "left out" in gap.message
        assert f"remove {state / 'faults.json'}" in gap.message
    (folder / "remote-a.journal").unlink()
    with followed(folder, state):
        pass
    assert (state / "faults.json").read_text().strip() == "{}"


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    """Before anything is read."""
    with pytest.raises(SourceError, match="no such folder"), followed(tmp_path / "no", tmp_path):
        pass


def test_the_header_is_read(tmp_path: Path) -> None:
    """Its id is the file's, its time that of the first entry; other files have none."""
    file = build(tmp_path / "x.journal", [entry(5, ("MESSAGE", "x"))])
    head = header(str(file))
    assert head
    assert head.head_us == 1_760_000_000_000_005
    (tmp_path / "y.journal").write_bytes(b"LPKSHHRH")
    assert header(str(tmp_path / "y.journal")) is None


@pytest.mark.timeout(20)
def test_what_only_looks_like_a_journal_is_passed_over(folder: Path, tmp_path: Path) -> None:
    """A pipe would keep whoever opens it waiting for a writer."""
    os.mkfifo(folder / "x.journal")
    (folder / "y.journal").mkdir()
    (folder / "z.journal").symlink_to("/dev/zero")
    with followed(folder, tmp_path / "state") as (log, store):
        assert names(read(log, store)) == ["a1", "b1"]


# --- the daemon as it starts


def test_a_damaged_store_is_an_event(folder: Path, tmp_path: Path) -> None:
    """So that the sinks hear of it; it says which file was set aside."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "events.sqlite3").write_text("no database at all, but some text" * 100)
    with Daemon(tmp_path, f'[source]\njournal_dir = "{folder}"\n') as daemon:
        until(lambda: "the store is" in daemon.log.read_text(), "a start")
        daemon.stop()
    [gap] = [json.loads(each) for each in store_lines(state) if "store_damaged" in each]
    assert gap["kind"] == "watch.gap"
    assert gap["gap"]["cause"] == "store_damaged"
    assert str(state / "events.sqlite3.damaged-1") in gap["message"]


def test_sighup_while_the_store_is_checked_is_no_end(folder: Path, tmp_path: Path) -> None:
    """A large one takes a while; here another program holds it."""
    state = tmp_path / "state"
    with followed(folder, state):
        pass
    (state / "lock").write_text("")
    other = sqlite3.connect(state / "events.sqlite3", isolation_level=None)
    other.executescript("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;")
    with Daemon(tmp_path, f'[source]\njournal_dir = "{folder}"\n') as daemon:
        until(lambda: (state / "lock").read_text().strip() == str(daemon.pid), "the lock", 10)
        os.kill(daemon.pid, signal.SIGHUP)
        other.close()
        until(lambda: "rules loaded" in daemon.log.read_text(), "a start", 10, daemon.log.read_text)
        daemon.stop()


def given_up(
    kind: Literal["kmsg", "auto", "both"], state: Path, folder: Path, patch: pytest.MonkeyPatch
) -> tuple[int, str]:
    """Open the logs where this machine's journal, in `folder`, was given up; give how many."""
    patch.setattr(journal_files, "own_folders", lambda _: [folder])
    state.mkdir()
    (state / "faults.json").write_text(json.dumps({"journal": TIMES}))
    options, store_options = SourceOptions(kind=kind), StoreOptions(dir=str(state))
    config = Config(source=options, store=store_options, sinks=(), files=())
    with Store(state) as store, contextlib.closing(Faults(state)) as faults:
        logs, why = Logs(config, store, faults).opened()
        for log in logs:
            log.close()
        return len(logs), why


def test_the_journal_given_up_is_read_file_by_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And /dev/kmsg beside it; it is said how to have the journal tried once more."""
    if not os.access("/dev/kmsg", os.R_OK):
        missing("/dev/kmsg")
    logs, why = given_up("auto", tmp_path / "state", folder, monkeypatch)
    assert logs == 2
    assert f"remove {tmp_path / 'state' / 'faults.json'}" in why


def test_the_journal_given_up_is_of_no_concern_to_the_ring(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /dev/kmsg alone is wanted."""
    if not os.access("/dev/kmsg", os.R_OK):
        missing("/dev/kmsg")
    assert given_up("kmsg", tmp_path / "state", folder, monkeypatch) == (1, "reading kmsg")


def test_a_ring_that_may_not_be_read_is_forgiven_where_the_journal_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By "auto" alone."""

    def absent(*_: object, **__: object) -> KmsgSource:
        return KmsgSource(load_pack().prefilter(), path=str(tmp_path / "no"))

    monkeypatch.setattr(choose, "followed_kmsg", absent)
    logs, why = given_up("auto", tmp_path / "state", folder, monkeypatch)
    assert logs == 1
    assert str(tmp_path / "no") in why
    with pytest.raises(SourceError):
        given_up("both", tmp_path / "other", folder, monkeypatch)
