"""One sink's view of the store: what it has not got yet, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from watcher.sinks.sink import Parcel
from watcher.store import connect, transaction


class Outbox:
    """Takes events of the store for the sink `name`, in order. Belongs to one thread."""

    def __init__(self, path: Path, name: str, min_severity: int = 0) -> None:
        self._db = connect(path)
        self._name, self._min_severity = name, min_severity
        row = self._db.execute("SELECT number FROM sinks WHERE name = ?", (name,)).fetchone()
        self._number: int = row[0]

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def waiting(self, limit: int) -> list[Parcel]:
        """Give the next events that are grave enough, `limit` at most.

        Parked ones that are to be tried again come first, by themselves.
        """
        if again := self._asked_again(limit):
            return again
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

    def settle(
        self, delivered: Sequence[Parcel], parked: Sequence[tuple[Parcel, str]], now_us: int
    ) -> None:
        """Record that these are dealt with, some of them set aside with a reason.

        Raises sqlite3.OperationalError where it cannot be written now; they may then be
        delivered again.
        """
        numbers = [p.number for p in [*delivered, *(p for p, _ in parked)]]
        last = max([self._number, *numbers])  # what was tried again is older
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
        self._number = last

    def failed(self, reason: str) -> None:
        """Record that a try came to nothing, for `deliveries` to tell."""
        with transaction(self._db):
            self._db.execute(
                "UPDATE sinks SET retries = retries + 1, trouble = ? WHERE name = ?",
                (reason, self._name),
            )
