"""One sink's view of the store: what it has not got yet, and what became of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from watcher.delivery.store import connect, transaction
from watcher.fold import Fold
from watcher.host import now_us as clock_us
from watcher.sinks.sink import Parcel


class Outbox:
    """Takes events of the store for the sink `name`, in order. Belongs to one thread.

    With `fold_s` repeats are folded (fold.py). What is folded is counted in the transaction that
    moves the sink's place past it, so a kill anywhere counts it once; and a summary is written
    down before it is told, so that it is the same one when it is told again.
    """

    def __init__(self, path: Path, name: str, min_severity: int = 0, fold_s: float = 0) -> None:
        self._db = connect(path)
        self._name, self._min_severity = name, min_severity
        row = self._db.execute("SELECT number FROM sinks WHERE name = ?", (name,)).fetchone()
        self._number: int = row[0]
        kept = self._db.execute("SELECT state FROM folds WHERE sink = ?", (name,)).fetchone()
        self._folds = bool(fold_s or kept)
        self._fold = Fold(round(fold_s * 1_000_000), kept[0] if kept else None)
        self._batch: list[tuple[Parcel, bool]] = []
        self._read_us = 0

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def waiting(self, limit: int) -> list[Parcel]:
        """Give the next events that are grave enough, `limit` at most.

        Parked ones that are to be tried again come first, by themselves; then summaries.
        """
        if again := self._asked_again(limit):
            return again
        if self._folds and (ended := self._ended(limit)):
            return ended
        while rows := self._next(limit):
            if not self._folds:
                return rows
            if passing := self._passing(rows):
                return passing
            self.settle([], [], self._read_us)  # all of them are repeats: counted, not told
        return self._ended(limit) if self._folds else []

    def due_s(self) -> float | None:
        """Give the seconds until there may be a summary to tell; None if nothing is folded."""
        due_us = self._fold.next_us()
        return None if due_us is None else max(0.0, (due_us - clock_us()) / 1_000_000)

    def _next(self, limit: int) -> list[Parcel]:
        newest = self._db.execute("SELECT ifnull(max(number), 0) FROM events").fetchone()[0]
        rows = self._db.execute(
            "SELECT number, id, line FROM events WHERE number > ? AND number <= ?"
            " AND severity >= ? ORDER BY number LIMIT ?",
            (self._number, newest, self._min_severity, limit),
        ).fetchall()
        if not rows and newest > self._number:
            self._pass(newest)  # all of them too slight: nobody need keep them for this sink
        return [Parcel(*row) for row in rows]

    def _asked_again(self, limit: int) -> list[Parcel]:
        rows = self._db.execute(
            "SELECT number, id, line FROM parked JOIN events USING (number)"
            " WHERE sink = ? AND again ORDER BY number LIMIT ?",
            (self._name, limit),
        )
        return [Parcel(*row) for row in rows]

    def _pass(self, number: int) -> None:
        with transaction(self._db):
            self._db.execute("UPDATE sinks SET number = ? WHERE name = ?", (number, self._name))
        self._number = number

    # --- folding

    def _ended(self, limit: int) -> list[Parcel]:
        """Give summaries of what has ended, each written down by then."""
        fold = self._fold.copy()
        if fold.end(clock_us()):
            with transaction(self._db):
                self._keep(fold)
            self._fold = fold
        return [Parcel(each.number, each.id, each.line) for each in fold.ended[:limit]]

    def _passing(self, rows: Sequence[Parcel]) -> list[Parcel]:
        """Give those that are no repeats; `settle` counts the others once it passes them."""
        fold, self._read_us = self._fold.copy(), clock_us()
        self._batch = [(each, _passes(fold, each, self._read_us)) for each in rows]
        return [parcel for parcel, passes in self._batch if passes]

    def _folded(self, settled: Collection[int]) -> tuple[Fold, int]:
        """Give the runs with all that stands before the first event not dealt with, and its end."""
        fold, number = self._fold.copy(), self._number
        for parcel, passes in self._batch:
            if passes and parcel.number not in settled:
                break
            _passes(fold, parcel, self._read_us)
            number = parcel.number
        return fold, number

    def _keep(self, fold: Fold) -> None:
        self._db.execute(
            "INSERT INTO folds VALUES (?, ?)"
            " ON CONFLICT (sink) DO UPDATE SET state = excluded.state",
            (self._name, fold.state()),
        )

    # --- what became of them

    def settle(
        self, delivered: Sequence[Parcel], parked: Sequence[tuple[Parcel, str]], now_us: int
    ) -> None:
        """Record that these are dealt with, some of them set aside with a reason.

        Raises sqlite3.OperationalError where it cannot be written now; they may then be
        delivered again. Of a summary that is set aside, the last event it counts is kept.
        """
        settled = [*delivered, *(p for p, _ in parked)]
        numbers = [p.number for p in settled]
        fold, last = self._folded(numbers)
        fold.told({p.id for p in settled})
        last = max([last, self._number, *numbers])  # what was tried again is older
        with transaction(self._db):
            self._db.executemany(
                "DELETE FROM parked WHERE sink = ? AND number = ?",
                [(self._name, number) for number in numbers],
            )
            self._db.executemany(
                "INSERT INTO parked (sink, number, reason, parked_us) VALUES (?, ?, ?, ?)",
                [(self._name, p.number, reason, now_us) for p, reason in parked],
            )
            self._db.execute(
                "UPDATE sinks SET number = ?, delivered = delivered + ?, trouble = NULL"
                " WHERE name = ?",
                (last, len(delivered), self._name),
            )
            if self._folds:
                self._keep(fold)
        self._number, self._fold, self._batch = last, fold, []

    def failed(self, reason: str) -> None:
        """Record that a try came to nothing, for `deliveries` to tell."""
        with transaction(self._db):
            self._db.execute(
                "UPDATE sinks SET retries = retries + 1, trouble = ? WHERE name = ?",
                (reason, self._name),
            )


def _passes(fold: Fold, parcel: Parcel, read_us: int) -> bool:
    try:
        return fold.passes(parcel.number, parcel.event, read_us)
    except (ValueError, KeyError, TypeError):  # no event of schema 1: the sink refuses it alone
        return True
