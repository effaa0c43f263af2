"""Delivered at least once, in order, whatever happens; a bad event spoils nothing else."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest

from tests.replay import events
from watcher.delivery import forwarder as forwarding
from watcher.delivery.forwarder import LONGEST_ASKED_S, LONGEST_WAIT_S, Backoff, Forwarder
from watcher.delivery.outbox import Outbox
from watcher.delivery.store import Reading, Store, try_again
from watcher.errors import StoreError
from watcher.log import Level
from watcher.sinks.sink import Delivered, Parcel, Refused, Retry, Verdict

US = 1_700_000_000_000_000


class Receiver:
    """A sink of the test's own: real ones are tried in tests/sinks. `answers` may give verdicts
    in place of taking the batch."""

    def __init__(self, answers: Callable[[Sequence[Parcel]], list[Verdict] | None]) -> None:
        self._answers = answers
        self.got: list[int] = []
        self.tried: list[list[int]] = []
        self.closed = False

    def deliver(self, batch: Sequence[Parcel]) -> list[Verdict]:
        """Take the batch, unless the test has it otherwise."""
        self.tried.append([parcel.number for parcel in batch])
        verdicts = self._answers(batch)
        if verdicts is None:
            verdicts = [Delivered()] * len(batch)
        self.got += [
            parcel.number
            for parcel, verdict in zip(batch, verdicts, strict=True)
            if isinstance(verdict, Delivered)
        ]
        return verdicts

    def close(self) -> None:
        """Take note of it."""
        self.closed = True


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait milliseconds where the product waits seconds."""
    monkeypatch.setattr(forwarding, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(forwarding, "LONGEST_WAIT_S", 0.01)
    monkeypatch.setattr(forwarding, "STORE_S", 0.01)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one sink, `siem`."""
    with Store(tmp_path) as opened:
        opened.keep_sinks(["siem"])
        yield opened


class Run:
    """A forwarder at work on the receiver, with what it said."""

    def __init__(self, store: Store, receiver: Receiver, batch: int = 10) -> None:
        self.said: list[str] = []
        self.levels: list[Level] = []
        self.died = threading.Event()
        self.forwarder = Forwarder(
            "siem",
            lambda: receiver,
            lambda: Outbox(store.path, "siem"),
            batch,
            self._say,
            self.died.set,
        )

    def _say(self, text: str, level: Level = "info", /) -> None:
        self.said.append(text)
        self.levels.append(level)

    def __enter__(self) -> Self:
        self.forwarder.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.forwarder.stop()
        assert self.forwarder.join(5)


def until(look: Callable[[], object]) -> None:
    """Wait for it."""
    end = time.monotonic() + 10
    while not look():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def test_all_come_in_order_and_once(store: Store) -> None:
    """What was there before and what comes later, in batches of at most ten."""
    store.commit(events(25), {}, US)
    receiver = Receiver(lambda _: None)
    with Run(store, receiver) as run:
        until(lambda: len(receiver.got) == 25)
        store.commit(events(40), {}, US)
        run.forwarder.ring()
        until(lambda: len(receiver.got) == 40)
    assert receiver.got == sorted(set(receiver.got))  # numbers rise; ignored repeats use some up
    assert max(map(len, receiver.tried)) == 10
    assert receiver.closed
    assert run.said == []


def test_retry_is_for_ever_and_from_the_same_place(store: Store) -> None:
    """Nothing overtakes an event that is tried again; trouble and recovery are each said once."""
    store.commit(events(30), {}, US)
    refusals = iter([True] * 8)
    receiver = Receiver(
        lambda batch: [Retry("it is down")] * len(batch) if next(refusals, False) else None
    )
    with Run(store, receiver) as run:
        until(lambda: len(receiver.got) == 30)
        until(lambda: len(run.said) == 2)
    assert receiver.got == list(range(1, 31))
    assert run.said == ["sink siem: it is down; trying again", "sink siem: delivers again"]
    assert run.levels == ["warning", "info"]
    [delivery] = Reading(store.path.parent).deliveries()
    assert (delivery.delivered, delivery.retries, delivery.backlog) == (30, 8, 0)


def test_part_of_a_batch(store: Store) -> None:
    """Verdicts count up to the first retry; what was taken after it comes again."""
    store.commit(events(5), {}, US)
    verdicts: list[Verdict] = [Delivered(), Retry("busy"), *[Delivered()] * 3]
    first = iter([verdicts])
    receiver = Receiver(lambda _: next(first, None))
    with Run(store, receiver):
        until(lambda: len(receiver.tried) == 2 and receiver.got[-1] == 5)
    assert receiver.tried == [[1, 2, 3, 4, 5], [2, 3, 4, 5]]


def test_one_bad_event_is_set_aside_alone(store: Store) -> None:
    """A whole request that is refused is tried event by event; only the bad one stays behind."""
    store.commit(events(7), {}, US)
    receiver = Receiver(
        lambda batch: (
            [Refused("bad \x1b[31m field")] * len(batch)
            if 4 in [parcel.number for parcel in batch]
            else None
        )
    )
    with Run(store, receiver) as run:
        until(lambda: receiver.got and receiver.got[-1] == 7)
        until(lambda: run.said)
    assert receiver.got == [1, 2, 3, 5, 6, 7]
    reading = Reading(store.path.parent)
    assert reading.parked("siem") == [(events(7)[3].id, "bad \x1b[31m field")]
    assert reading.deliveries()[0].parked == 1


def test_retry_after_is_honoured(store: Store) -> None:
    """The receiver asked for 0.3 s of peace and gets it."""
    store.commit(events(1), {}, US)
    times: list[float] = []

    def busy(_: object) -> list[Verdict] | None:
        times.append(time.monotonic())
        return [Retry("429", after_s=0.3)] if len(times) == 1 else None

    with Run(store, Receiver(busy)):
        until(lambda: len(times) == 2)
    assert times[1] - times[0] >= 0.3


def test_a_bug_in_a_sink_is_told_and_tried_again(store: Store) -> None:
    """A sink that raises does not end its thread."""
    store.commit(events(1), {}, US)
    bugs = iter([True, True])

    def broken(_: object) -> None:
        if next(bugs, False):
            raise KeyError("x")

    receiver = Receiver(broken)
    with Run(store, receiver) as run:
        until(lambda: receiver.got == [1])
    assert "a bug in this sink: KeyError" in run.said[0]


def test_a_hung_receiver_holds_up_nobody(store: Store) -> None:
    """The end does not wait for it longer than it is told to, and the place is kept."""
    store.commit(events(3), {}, US)
    free = threading.Event()
    entered = threading.Event()

    def hang(_: object) -> None:
        entered.set()
        free.wait(20)

    run = Run(store, Receiver(hang))
    run.forwarder.start()
    assert entered.wait(5)
    run.forwarder.stop()
    since = time.monotonic()
    assert not run.forwarder.join(0.2)
    assert time.monotonic() - since < 1
    free.set()
    assert run.forwarder.join(5)


def test_it_ends_at_once_while_it_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long back-off is no reason to miss a SIGTERM."""
    monkeypatch.setattr(forwarding, "FIRST_WAIT_S", 60.0)
    monkeypatch.setattr(forwarding, "LONGEST_WAIT_S", 60.0)
    store.commit(events(1), {}, US)
    receiver = Receiver(lambda _: [Retry("down", after_s=60)])
    with Run(store, receiver):
        until(lambda: receiver.tried)
        since = time.monotonic()
    assert time.monotonic() - since < 1


def test_a_store_that_cannot_be_written_is_waited_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk under the sink's own position: the receiver does not get the batch again."""
    store.commit(events(4), {}, US)
    fails = iter([True, True])
    real = Outbox.settle

    def settle(self: Outbox, *args: object) -> None:
        if next(fails, False):
            raise sqlite3.OperationalError("database or disk is full")
        real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Outbox, "settle", settle)
    receiver = Receiver(lambda _: None)
    with Run(store, receiver) as run, Reading(store.path.parent) as reading:
        until(lambda: reading.deliveries()[0].delivered == 4)
    assert receiver.tried == [[1, 2, 3, 4]]
    assert run.said == ["sink siem: waits for the store: database or disk is full"]
    assert run.levels == ["error"]


def test_a_locked_store_does_not_end_a_sink(store: Store) -> None:
    """Passing slight events over writes, too; whoever locks the file is waited for."""
    store.commit(events(4), {}, US)
    receiver = Receiver(lambda _: None)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Run(store, receiver) as run:
        run.forwarder._open_outbox = lambda: Outbox(store.path, "siem", 4)
        until(lambda: run.said or not run.forwarder._thread.is_alive())
        other.execute("ROLLBACK")
        assert run.forwarder.failure is None
    other.close()


def test_a_retry_in_between_parks_nothing(store: Store) -> None:
    """A receiver that refuses all, and now and then is busy, is not set up yet."""
    store.commit(events(8), {}, US)

    def answer(batch: Sequence[Parcel]) -> list[Verdict]:
        busy = len(receiver.tried) % 3 == 0
        return [Retry("429") if busy else Refused("400")] * len(batch)

    receiver = Receiver(answer)
    with Run(store, receiver):
        until(lambda: len(receiver.tried) > forwarding.DOUBTED)
    assert all(len(batch) == 8 for batch in receiver.tried[: forwarding.DOUBTED])


def test_a_broken_store_is_told(store: Store, tmp_path: Path) -> None:
    """What a forwarder cannot mend wakes the daemon, with the reason."""
    run = Run(store, Receiver(lambda _: None))
    run.forwarder._open_outbox = lambda: Outbox(tmp_path / "none" / "x", "siem")
    run.forwarder.start()
    assert run.died.wait(5)
    assert run.forwarder.failure
    assert "OperationalError" in run.forwarder.failure


def test_the_back_off_is_random_bounded_and_polite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full jitter under a bound that doubles to five minutes; Retry-After counts up to an hour."""
    monkeypatch.undo()
    waits = [Backoff(tries).next_s(None) for tries in range(12) for _ in range(200)]
    assert all(0 <= wait <= LONGEST_WAIT_S for wait in waits)
    assert max(waits[:200]) <= 1.0
    assert max(waits[-200:]) > 200
    assert len(set(waits)) > 2000
    assert 7 <= Backoff().next_s(7.0) <= 8
    assert Backoff().next_s(1e9) <= LONGEST_ASKED_S + 1
    assert 0 <= Backoff().next_s(-5.0) <= 1
    assert Backoff(10**6).next_s(None) <= LONGEST_WAIT_S


def test_what_was_parked_is_tried_again(store: Store) -> None:
    """On demand, alone, and counted as delivered; the place in the store stays."""
    store.commit(events(3), {}, US)
    outbox = Outbox(store.path, "siem")
    first, second, third = outbox.waiting(10)
    outbox.settle([first, third], [(second, "no such index")], 0)
    assert outbox.waiting(10) == []
    assert try_again(store.path.parent, "siem") == 1
    assert outbox.waiting(10) == [second]
    outbox.settle([second], [], 0)
    assert outbox.waiting(10) == []
    with Reading(store.path.parent) as reading:
        [delivery] = reading.deliveries()
    assert (delivery.delivered, delivery.parked, delivery.backlog) == (3, 0, 0)
    outbox.close()


def test_only_a_known_sink_is_tried_again(store: Store) -> None:
    """A slip of the pen is said."""
    with pytest.raises(StoreError, match="there is no sink x"):
        try_again(store.path.parent, "x")


def test_a_receiver_that_refuses_all_is_doubted_first(store: Store) -> None:
    """Not set up yet, it says 400 to everything: that parks nothing at once, and then loudly."""
    store.commit(events(4), {}, US)

    def answer(batch: Sequence[Parcel]) -> list[Verdict] | None:
        ready = sum(len(tried) == 4 for tried in receiver.tried) > 3
        return None if ready else [Refused("400 no such index")] * len(batch)

    receiver = Receiver(answer)
    with Run(store, receiver) as run:
        until(lambda: len(receiver.got) == 4)
    assert receiver.got == [1, 2, 3, 4]
    assert "all 4 events were refused: 400 no such index" in run.said[0]


def test_a_batch_of_bad_events_does_not_block(store: Store) -> None:
    """After a few tries they are set aside all the same."""
    store.commit(events(4), {}, US)
    receiver = Receiver(lambda batch: [Refused("bad")] * len(batch))
    with Run(store, receiver), Reading(store.path.parent) as reading:
        until(lambda: reading.deliveries()[0].parked == 4)
        assert reading.deliveries()[0].backlog == 0
