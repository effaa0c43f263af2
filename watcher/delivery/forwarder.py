"""Carries the store's events to one sink: in order, one batch at a time, until it has them.

A sink only says what became of a batch (sinks/sink.py); what follows from that is decided here.
One thread for each sink, so that a slow or hung receiver delays neither reading nor other sinks.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from watcher.delivery.outbox import Outbox
from watcher.host import now_us
from watcher.log import Say
from watcher.sinks.sink import Delivered, Parcel, Refused, Retry, Sink, Verdict

_T = TypeVar("_T")

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 300.0
DOUBTED: Final = 5
"""How often a batch goes again that was refused whole, before the bad event in it is looked for."""
STORE_S: Final = 1.0
"""How long to wait for a store that cannot be read or written."""
LONGEST_ASKED_S: Final = 3600.0
"""A Retry-After beyond this is not believed."""


@dataclass
class Backoff:
    """How long to wait before the next try: at random, up to a bound that doubles.

    Full jitter, so that ten thousand hosts do not come back in the same second.
    """

    tries: int = 0

    def next_s(self, asked_s: float | None) -> float:
        """Count one more failure; give seconds to wait, never less than the receiver asked."""
        bound = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self.tries, 16))
        self.tries += 1
        asked = min(max(asked_s or 0.0, 0.0), LONGEST_ASKED_S)
        return asked + random.uniform(0.0, bound)  # noqa: S311 - spreads load, keeps no secret


@dataclass(frozen=True)
class Load:
    """What one delivery came to: a prefix of the batch that is dealt with, and why it ended."""

    delivered: list[Parcel]
    parked: list[tuple[Parcel, str]]
    retry: Retry | None


class Forwarder:
    """The thread of one sink. `say` gets one line a change of state, for the log."""

    def __init__(  # noqa: PLR0913, PLR0917 - it stands between sink, store, log and main thread
        self,
        name: str,
        open_sink: Callable[[], Sink],
        open_outbox: Callable[[], Outbox],
        batch: int,
        say: Say,
        died: Callable[[], None],
    ) -> None:
        self.name = name
        self._open_sink, self._open_outbox = open_sink, open_outbox
        self._batch, self._say, self._died = batch, say, died
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._backoff = Backoff()
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)
        self.failure: str | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def ring(self) -> None:
        """Tell that there is something new in the store."""
        self._bell.set()

    def stop(self) -> None:
        """Ask it to end after the delivery under way; `join` waits for that."""
        self._stopping.set()
        self._bell.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; tell whether it came. What is left behind dies with the process."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            outbox, sink = self._open_outbox(), self._open_sink()
            try:
                self._forward(outbox, sink)
            finally:
                sink.close()
                outbox.close()
        except Exception as error:  # noqa: BLE001 - whatever it is, the daemon must know
            self.failure = f"{type(error).__name__}: {error}"
        if not self._stopping.is_set():
            self._died()

    def _forward(self, outbox: Outbox, sink: Sink) -> None:
        while not self._stopping.is_set():
            self._bell.clear()
            batch = self._patiently(lambda: outbox.waiting(self._batch))
            if batch:
                self._deliver(outbox, sink, batch)
            elif batch is not None:
                self._bell.wait(outbox.due_s())

    def _deliver(self, outbox: Outbox, sink: Sink, batch: Sequence[Parcel]) -> None:
        load = self._carry(sink, batch)
        # Asked again and again, and not delivered again: that would be twice for the receiver.
        self._patiently(lambda: outbox.settle(load.delivered, load.parked, now_us()))
        self._tell(load, outbox)
        if not load.retry or load.delivered or load.parked:
            self._backoff.tries = 0  # it gets on
        if load.retry:
            self._stopping.wait(self._backoff.next_s(load.retry.after_s))

    def _patiently(self, ask: Callable[[], _T]) -> _T | None:
        """Ask the store until it can be read or written; None if the end comes first."""
        said = False
        while True:
            try:
                return ask()
            except sqlite3.OperationalError as error:
                if not said:
                    self._say(f"sink {self.name}: waits for the store: {error}", "error")
                said = True
                if self._stopping.wait(STORE_S):
                    return None

    def _tell(self, load: Load, outbox: Outbox) -> None:
        for parcel, reason in load.parked:
            self._say(f"sink {self.name}: event {parcel.id} was set aside: {reason}", "error")
        if load.retry:
            with contextlib.suppress(sqlite3.OperationalError):  # a figure for people, no more
                outbox.failed(load.retry.reason)
            if load.retry.reason != self._trouble:
                self._say(f"sink {self.name}: {load.retry.reason}; trying again", "warning")
            self._trouble = load.retry.reason
        elif self._trouble:
            self._say(f"sink {self.name}: delivers again")
            self._trouble = None

    def _carry(self, sink: Sink, batch: Sequence[Parcel]) -> Load:
        verdicts = _asked(sink, batch)
        if len(batch) == 1 or not _all_refused(verdicts):
            return _load(batch, verdicts)
        if self._backoff.tries < DOUBTED:
            # One bad event can spoil a request; so can a receiver that is not set up yet.
            reason = next(each.reason for each in verdicts if isinstance(each, Refused))
            return Load([], [], Retry(f"all {len(batch)} events were refused: {reason}"))
        return _load(batch, self._halved(sink, batch))

    def _halved(self, sink: Sink, batch: Sequence[Parcel]) -> list[Verdict]:
        """Ask for the halves of a batch that was refused, down to the bad event alone.

        Ends early, with fewer verdicts, at a retry.
        """
        verdicts: list[Verdict] = []
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            found = _asked(sink, half)
            if len(half) > 1 and _all_refused(found):
                found = self._halved(sink, half)
            verdicts += found
            ended = len(found) < len(half) or any(isinstance(each, Retry) for each in found)
            if ended or self._stopping.is_set():
                break
        return verdicts


def _all_refused(verdicts: Sequence[Verdict]) -> bool:
    return all(isinstance(each, Refused) for each in verdicts)


def _asked(sink: Sink, batch: Sequence[Parcel]) -> list[Verdict]:
    try:
        return sink.deliver(batch)
    except Exception as error:  # noqa: BLE001 - a bug in a sink must not stop it for good
        return [Retry(f"a bug in this sink: {type(error).__name__}: {error}")] * len(batch)


def _load(batch: Sequence[Parcel], verdicts: Sequence[Verdict]) -> Load:
    """Take verdicts up to the first Retry: what comes after it would be out of order."""
    load = Load([], [], None)
    for parcel, verdict in zip(batch, verdicts, strict=False):
        if isinstance(verdict, Retry):
            return Load(load.delivered, load.parked, verdict)
        if isinstance(verdict, Delivered):
            load.delivered.append(parcel)
        else:
            load.parked.append((parcel, verdict.reason))
    return load
