"""Following a real journald while its files come and go: nothing lost in silence, nothing twice."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.journal.real import (
    MISSED,
    PACK,
    PATIENCE_S,
    Journald,
    gaps,
    items,
    lockdown_line,
    mark,
    records,
    until,
)
from watcher.errors import SourceError
from watcher.record import Gap, Record
from watcher.sources.journal import JournalSource, Span
from watcher.sources.journal_files import Where

ROTATIONS = 20


@pytest.fixture
def own() -> Iterator[Journald]:
    """A journald whose files only this test turns over."""
    with Journald() as running:
        yield running


@contextlib.contextmanager
def following(journald: Journald, *, only_new: bool = True) -> Iterator[JournalSource]:
    """Follow a namespace."""
    where, span = Where(namespace=journald.namespace), Span(only_new=only_new)
    with contextlib.closing(JournalSource(PACK.prefilter(MISSED), where, span)) as source:
        source.fileno()
        yield source


def say(journald: Journald, number: int, text: str = "") -> None:
    """Write one numbered entry that the watcher looks at."""
    message = text or lockdown_line(f"n{number}")
    journald.native({"MESSAGE": message, "SYSLOG_IDENTIFIER": "kernel", "NUMBER": str(number)})


def numbers(found: list[Record | Gap]) -> list[int]:
    """The numbers of what was read."""
    return [int(record.fields["NUMBER"]) for record in records(found) if "NUMBER" in record.fields]


class Writer:
    """Writes numbered entries, about two thousand a second, until it is told to stop."""

    def __init__(self, journald: Journald) -> None:
        self.count = 0
        self._journald = journald
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        while not self._ended.wait(0.0005):
            say(self._journald, self.count)
            self.count += 1

    def __enter__(self) -> Writer:  # noqa: PYI034
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def read_until(
    source: JournalSource, found: list[Record | Gap], enough: Callable[[], bool]
) -> None:
    """Read as the watcher does, waiting on the descriptor alone."""
    end = time.monotonic() + PATIENCE_S
    while not enough():
        poll = select.poll()
        poll.register(source.fileno(), select.POLLIN)
        poll.poll(20)
        found += items(source)
        assert time.monotonic() < end, "waited in vain"


def turn_over(journald: Journald, *, vacuum: bool) -> threading.Thread:
    """Rotate ROTATIONS times beside the reader."""

    def work() -> None:
        for _ in range(ROTATIONS):
            journald.rotate()
            if vacuum:
                journald.vacuum()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("only_new", [True, False])
def test_nothing_is_lost_or_twice_across_rotations(own: Journald, *, only_new: bool) -> None:
    """Over 20 rotations under load every entry is read once, in order, with no gap."""
    found: list[Record | Gap] = []
    with following(own, only_new=only_new) as source:
        items(source)
        with Writer(own) as writer:
            turning = turn_over(own, vacuum=False)
            read_until(source, found, lambda: not turning.is_alive())
        own.sync()
        read_until(source, found, lambda: numbers(found)[-1:] == [writer.count - 1])
    assert len(list(own.folder.glob("*.journal"))) > ROTATIONS
    assert writer.count > ROTATIONS
    assert numbers(found) == list(range(writer.count))
    assert not gaps(found)


def test_a_reader_that_sleeps_through_rotations_loses_nothing(own: Journald) -> None:
    """What was written over five rotations while nobody read is read at the next look, once."""
    with following(own) as source:
        items(source)
        for number in range(50):
            say(own, number)
            if number % 10 == 5:
                own.rotate()
        own.sync()
        found: list[Record | Gap] = []
        read_until(source, found, lambda: numbers(found)[-1:] == [49])
    assert numbers(found) == list(range(50))
    assert not gaps(found)


def test_what_vacuum_takes_unread_is_told(own: Journald) -> None:
    """Under rotation and vacuum nothing comes twice, and what is missing has a gap around it."""
    found: list[Record | Gap] = []
    with following(own) as source:
        items(source)
        with Writer(own) as writer:
            turning = turn_over(own, vacuum=True)
            read_until(source, found, lambda: not turning.is_alive())
        own.sync()
        read_until(source, found, lambda: numbers(found)[-1:] == [writer.count - 1])
    seen = numbers(found)
    assert seen == sorted(set(seen))
    assert len(seen) == writer.count or any(g.cause == "journal_vacuumed" for g in gaps(found))


def test_the_entry_at_the_cursor_is_gone_and_nothing_else(own: Journald) -> None:
    """The last entry read is vacuumed: the next one is read, not stepped over, and no gap told."""
    with following(own) as source:
        items(source)
        found: list[Record | Gap] = []
        say(own, 0)
        own.sync()
        read_until(source, found, lambda: numbers(found) == [0])
        say(own, 1)
        own.sync()
        read_until(source, found, lambda: numbers(found) == [0, 1])
        own.rotate()
        own.vacuum()
        for number in (2, 3):
            say(own, number)
        own.sync()
        read_until(source, found, lambda: 3 in numbers(found))
    assert numbers(found) == [0, 1, 2, 3]
    assert not gaps(found)


def test_entries_that_vanish_unread_are_a_gap(own: Journald) -> None:
    """Entries vacuumed before they were read are a gap from the last look to the oldest left."""
    with following(own) as source:
        items(source)
        found: list[Record | Gap] = []
        say(own, 0)
        own.sync()
        read_until(source, found, lambda: numbers(found) == [0])
        before_us = time.time_ns() // 1000
        for number in range(1, 11):
            say(own, number)
        own.sync()
        own.rotate()
        own.vacuum()
        say(own, 11)
        own.sync()
        read_until(source, found, lambda: 11 in numbers(found))
        after_us = time.time_ns() // 1000
    assert numbers(found) == [0, 11]
    (gap,) = gaps(found)
    assert (gap.cause, gap.count) == ("journal_vacuumed", None)
    assert gap.from_us is not None
    assert gap.to_us is not None
    assert gap.from_us <= before_us < gap.to_us <= after_us


@pytest.mark.parametrize("with_one_before", [True, False])
def test_from_now_on_means_from_now_on_across_a_rotation(
    own: Journald, *, with_one_before: bool
) -> None:
    """A source that has read nothing yet still gives what was written since it was opened."""
    if with_one_before:
        say(own, 0)
        own.sync()
    with following(own) as source:
        say(own, 1)
        own.sync()
        own.rotate()
        say(own, 2)
        own.sync()
        found: list[Record | Gap] = []
        read_until(source, found, lambda: 2 in numbers(found))
    assert numbers(found) == [1, 2]
    assert not gaps(found)


def test_what_comes_while_a_reader_lets_go_of_its_past_is_read(
    own: Journald, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry written between the end of a long past and the opening anew is read at once."""
    monkeypatch.setattr("watcher.sources.journal.SETTLE_AFTER", 0)
    say(own, 0)
    own.sync()
    with following(own, only_new=False) as source:
        batches = source.read()
        found = next(batches)
        say(own, 1)
        own.sync()
        found += [item for batch in batches for item in batch]
    assert numbers(found) == [0, 1]


# --- the program


@pytest.fixture
def watching(own: Journald) -> Iterator[subprocess.Popen[str]]:
    """`watch` on the namespace, seen to follow."""
    command = [sys.executable, "-m", "watcher", "watch", "--namespace", own.namespace]
    with subprocess.Popen(
        [*command, "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},  # noqa: PTH109
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def event_of(program: subprocess.Popen[str], word: str) -> dict[str, Any]:
    """The first event whose message holds `word`."""
    assert program.stdout is not None
    while True:
        text = program.stdout.readline()
        assert text, "the program ended"
        event: dict[str, Any] = json.loads(text)
        if word in event["message"]:
            return event


def rest_of(program: subprocess.Popen[str]) -> str:
    """What it still writes up to its end (`communicate` would pass over what is buffered)."""
    assert program.stdout is not None
    rest = program.stdout.read()
    program.wait(PATIENCE_S)
    return rest


def told(output: str) -> list[str]:
    """The messages of whole lines of output but for what the ring had lost before journald."""
    events = [json.loads(text) for text in output.splitlines()]
    return [event["message"] for event in events if event["kind"] != "watch.gap"]


def test_sigterm_ends_the_watch_within_a_second(
    own: Journald, watching: subprocess.Popen[str]
) -> None:
    """SIGTERM ends a watch at once, with status 0, after whole lines of all that it had read."""
    first = mark()
    say(own, 0, lockdown_line(first))
    assert event_of(watching, first)["kind"] == "lockdown.forged"
    last = mark()
    for number in range(200):
        say(own, number, lockdown_line(last if number == 199 else f"n{number}"))
    event_of(watching, last)
    started = time.monotonic()
    watching.send_signal(signal.SIGTERM)
    rest = rest_of(watching)
    assert time.monotonic() - started < 1
    assert watching.returncode == 0
    assert not told(rest)


def test_sigterm_in_the_midst_of_a_flood_leaves_whole_lines(
    own: Journald, watching: subprocess.Popen[str]
) -> None:
    """SIGTERM while lines pour in ends it within a second; every line written is a whole event."""
    with Writer(own):
        event_of(watching, "n100:")
        started = time.monotonic()
        watching.send_signal(signal.SIGTERM)
        rest = rest_of(watching)
        assert time.monotonic() - started < 1
    messages = told(rest)
    assert messages == [lockdown_line(f"n{101 + i}") for i in range(len(messages))]
    assert watching.returncode == 0


def test_rotation_by_signal_is_seen_by_the_program(
    own: Journald, watching: subprocess.Popen[str]
) -> None:
    """After SIGUSR2 to journald the program goes on with the new file."""
    for number in range(3):
        word = mark()
        say(own, number, lockdown_line(word))
        assert word in event_of(watching, word)["message"]
        before = set(own.folder.iterdir())
        own.signal(signal.SIGUSR2)
        until(partial(more_than, before, own), "the new file")


def more_than(before: set[Path], journald: Journald) -> bool:
    """Tell whether there are files that were not there before."""
    return not before >= set(journald.folder.iterdir())


class Failing:
    """A real reader whose steps fail now and then, as while files are archived and removed."""

    def __init__(self, reader: Any, failures: int) -> None:
        self._real, self._failures, self._steps = reader, failures, 0

    def _next(self) -> Any:
        self._steps += 1
        if self._failures and self._steps > 2:
            self._failures -= 1
            raise OSError(errno.EBADMSG, "Bad message")
        return self._real._next()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_a_failure_that_passes_is_outlived(own: Journald) -> None:
    """Read again from the last cursor: each line once."""
    for number in range(5):
        say(own, number)
    with following(own, only_new=False) as source:
        until(lambda: "n4:" in own.journalctl("-o", "cat", "-n", "5"), "the lines")
        source._reader = Failing(source._reader, 1)
        found = records(items(source))
        numbers = [each.fields["NUMBER"] for each in found if "NUMBER" in each.fields]
    assert numbers == ["0", "1", "2", "3", "4"]


def test_a_failure_that_lasts_is_an_error(own: Journald, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few tries; nobody waits for ever in silence."""
    for number in range(3):
        say(own, number)
    until(lambda: "n2:" in own.journalctl("-o", "cat", "-n", "3"), "the lines")
    with following(own, only_new=False) as source:
        real = source._open
        monkeypatch.setattr(source, "_open", lambda: Failing(real(), 100))
        source._reader = Failing(source._reader, 100)
        with pytest.raises(SourceError, match="cannot be read"):
            items(source)
