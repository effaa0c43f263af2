"""Many machines' journals in one folder, as systemd-journal-remote fills it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.real import BOOT, BOOT_2, build, entry, line, lockdown_line
from watcher.config import Config, SourceOptions, StoreOptions
from watcher.errors import SourceError
from watcher.event import Event
from watcher.faults import TIMES, Faults
from watcher.feed import Log
from watcher.fleet import NAME
from watcher.service import Logs
from watcher.sources.journal_header import header
from watcher.store import Reading, Store

MINUTE_US = 60_000_000


@contextlib.contextmanager
def followed(folder: Path, state: Path) -> Iterator[tuple[Log, Store]]:
    """Open the folder as the daemon does; the store is left as it was when it ends."""
    config = Config(
        source=SourceOptions(journal_dir=str(folder)),
        store=StoreOptions(dir=str(state)),
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
    """While nobody read, and it was not complete; it is told once."""
    with followed(folder, tmp_path / "state") as (log, store):
        read(log, store)
    (folder / "remote-a.journal").unlink()
    for expected in (1, 1):
        with followed(folder, tmp_path / "state") as (log, store):
            assert read(log, store) == []
            told = [each for each in store_lines(tmp_path / "state") if "journal_vacuumed" in each]
            assert len(told) == expected


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
