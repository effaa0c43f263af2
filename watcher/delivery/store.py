"""What the daemon knows: events, how far each log was read, what each sink has got.

One SQLite file in WAL mode, a transactional outbox. Events and the position of the source they
came from are committed together, so that a kill at any instruction leaves both or neither: what is
read again has the same id and is there already. Each thread has a connection of its own.

synchronous=NORMAL: after a power cut the newest commits may be missing, events and position
alike, and the journal is read again from there (sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from watcher.delivery import memory, totals
from watcher.delivery.store_file import locked, set_aside
from watcher.delivery.totals import Total
from watcher.errors import StoreError
from watcher.event import Event
from watcher.kinds import SEVERITIES

FILE: Final = "events.sqlite3"
VERSION: Final = 4
BUSY_S: Final = 1.0
"""How long one thread waits for another's commit; a commit takes milliseconds."""

_SCHEMA: Final = """
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again, so sinks can count on it
    id TEXT NOT NULL UNIQUE,
    recorded_us INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    line TEXT NOT NULL
) STRICT;
CREATE TABLE positions (source TEXT PRIMARY KEY, position TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE sinks (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL DEFAULT 0,  -- all events up to this one are dealt with
    delivered INTEGER NOT NULL DEFAULT 0,
    retries INTEGER NOT NULL DEFAULT 0,
    trouble TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE parked (
    sink TEXT NOT NULL,
    number INTEGER NOT NULL,
    reason TEXT NOT NULL,
    parked_us INTEGER NOT NULL,
    again INTEGER NOT NULL DEFAULT 0,  -- somebody asked for another try
    PRIMARY KEY (sink, number)
) STRICT, WITHOUT ROWID;
"""
_VITALS: Final = """
CREATE TABLE vitals (one INTEGER PRIMARY KEY CHECK (one = 1), told TEXT NOT NULL) STRICT;
"""
_FOLDS: Final = """
CREATE TABLE folds (sink TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""
_WHOLE: Final = _SCHEMA + totals.SCHEMA + _VITALS + _FOLDS + memory.SCHEMA
_MIGRATIONS: Final[Mapping[int, str]] = {
    1: totals.SCHEMA + _VITALS,
    2: _FOLDS,
    3: memory.SCHEMA,
}
"""From a version to the next, by the older one."""


_NOTHING: Final[Mapping[str, str | None]] = {}


class Store:
    """The daemon's own, writing connection. Raises StoreError where the file cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = locked(folder)
        self.set_aside: str | None = None
        try:
            self._db = self._opened()
            found = self.path.stat()
            self._inode = found.st_dev, found.st_ino
        except BaseException:
            os.close(self._lock)
            raise

    def _opened(self) -> sqlite3.Connection:
        try:
            return _checked(self.path)
        except sqlite3.OperationalError as error:  # no room, no right
            raise StoreError(f"{self.path}: {error}") from error
        except sqlite3.DatabaseError:  # damage, or no database at all
            self.set_aside = set_aside(self.path)
            return _checked(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let another daemon have it."""
        self._db.close()
        os.close(self._lock)

    # --- what the sources bring

    def commit(
        self,
        events: Sequence[Event],
        positions: Mapping[str, str],
        now_us: int,
        vitals: str | None = None,
        remembered: Mapping[str, str | None] = _NOTHING,
    ) -> int:
        """Record events and positions together; give how many events were not there yet.

        `vitals` is what the daemon has to tell of itself, for `health` and `metrics`;
        `remembered` what changed of what correlations remember, None of what they forgot.
        Raises sqlite3.OperationalError where it cannot be written now (a full disk): then
        nothing of it was recorded, and the same call may be made again.
        """
        with transaction(self._db):
            new = self._insert(events, now_us)
            self._db.executemany(
                "INSERT INTO positions VALUES (?, ?)"
                " ON CONFLICT (source) DO UPDATE SET position = excluded.position",
                positions.items(),
            )
            if vitals is not None:
                self._db.execute("INSERT OR REPLACE INTO vitals VALUES (1, ?)", (vitals,))
            memory.keep(self._db, remembered)
        return new

    def memory(self) -> list[tuple[str, str]]:
        """Give all that correlations remember, the newest last, as `commit` was told."""
        return memory.kept(self._db)

    def _insert(self, events: Sequence[Event], now_us: int, carried: int = 0) -> int:
        """Record and count those of `events` that are not there yet; give how many."""
        if not events:
            return 0
        newest = self._db.execute("SELECT ifnull(max(number), 0) FROM events").fetchone()[0]
        self._db.executemany(_INSERT, (_row(event, now_us) for event in events))
        new = self._db.execute("SELECT id FROM events WHERE number > ?", (newest,)).fetchall()
        by_id = {event.id: event for event in events}
        totals.add(self._db, (by_id[each] for (each,) in new), carried)
        return len(new)

    def position(self, source: str) -> str | None:
        """Give how far `source` was read, as `commit` was told."""
        row = self._db.execute(
            "SELECT position FROM positions WHERE source = ?", (source,)
        ).fetchone()
        return row[0] if row else None

    def positions(self, prefix: str) -> dict[str, str]:
        """Give how far every source was read whose name begins with `prefix`."""
        found = self._db.execute(
            "SELECT source, position FROM positions WHERE substr(source, 1, ?) = ?",
            (len(prefix), prefix),
        )
        return dict(found.fetchall())

    def forget(self, sources: Iterable[str], events: Sequence[Event], now_us: int) -> None:
        """Forget sources that are gone for good, and record what that means, together."""
        with self._at_once():
            self._insert(events, now_us)
            self._db.executemany(
                "DELETE FROM positions WHERE source = ?", [(each,) for each in sources]
            )

    # --- what the sinks take

    def waiting(self) -> dict[str, int]:
        """Give how many events each sink has not got yet."""
        return dict(
            self._db.execute(
                "SELECT name, (SELECT count(*) FROM events WHERE number > sinks.number) FROM sinks"
            )
        )

    def keep_sinks(self, names: Iterable[str]) -> list[tuple[str, int]]:
        """Make `names` the sinks that are waited for; new ones get all that is in the store.

        Give those that are no more, and how many events each had not got. Raises StoreError.
        """
        known = list(names)
        marks = ",".join("?" * len(known))
        with self._at_once():
            gone = self._db.execute(
                "SELECT name, (SELECT count(*) FROM events WHERE events.number > sinks.number)"  # noqa: S608
                f" FROM sinks WHERE name NOT IN ({marks})",
                known,
            ).fetchall()
            self._db.executemany(
                "INSERT OR IGNORE INTO sinks (name) VALUES (?)", [(each,) for each in known]
            )
            self._db.executemany("DELETE FROM sinks WHERE name = ?", [(each,) for each, _ in gone])
            self._db.executemany("DELETE FROM parked WHERE sink = ?", [(each,) for each, _ in gone])
            self._db.executemany("DELETE FROM folds WHERE sink = ?", [(each,) for each, _ in gone])
        return gone

    @contextlib.contextmanager
    def _at_once(self) -> Iterator[None]:
        """A transaction of the start, where nobody is there to try again."""
        try:
            with transaction(self._db):
                yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: cannot be written: {error}") from error

    # --- what may go

    def prune(self, older_than_us: int) -> int:
        """Remove events recorded before `older_than_us` that every sink has; give how many."""
        with transaction(self._db):
            done = self._db.execute(
                "DELETE FROM events WHERE recorded_us < ? AND number <= (SELECT"
                " ifnull(min(number), (SELECT ifnull(max(number), 0) FROM events)) FROM sinks)",
                (older_than_us,),
            ).rowcount
            self._forget_parked()
        self._shrink()
        return done

    def drop_oldest(self, count: int, tell: Callable[[Lost], Event], now_us: int) -> None:
        """Remove the `count` oldest events, had or not, and record what some sink lost by it.

        `tell` makes the event of that; what earlier ones of its kind among the removed had
        counted is counted on.
        """
        with transaction(self._db):
            rows = self._db.execute(
                "SELECT recorded_us, line FROM events"
                " WHERE number IN (SELECT number FROM events ORDER BY number LIMIT ?)"
                " AND number > (SELECT ifnull(min(number), 9223372036854775807) FROM sinks)",
                (count,),
            ).fetchall()
            self._db.execute(
                "DELETE FROM events WHERE number IN"
                " (SELECT number FROM events ORDER BY number LIMIT ?)",
                (count,),
            )
            if rows:
                lost = _lost(rows)
                self._insert([tell(lost)], now_us, lost.carried)
            self._forget_parked()
        self._shrink()

    def _shrink(self) -> None:
        # It steps once for each page, which execute() does not follow: there is no column.
        self._db.executescript("PRAGMA incremental_vacuum")

    def is_there(self) -> bool:
        """Tell whether the file under that name still is the one that is written to."""
        try:
            found = self.path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._inode

    def _forget_parked(self) -> None:
        self._db.execute("DELETE FROM parked WHERE number NOT IN (SELECT number FROM events)")

    def bytes_used(self) -> int:
        """Give how much room events take, without free pages and the write-ahead log."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM events").fetchone()[0])


_INSERT: Final = (
    "INSERT OR IGNORE INTO events (id, recorded_us, severity, line) VALUES (?, ?, ?, ?)"
)


DROPPED: Final = "backlog_dropped"


@dataclass(frozen=True)
class Lost:
    """How many events some sink never got, and when the first and last were recorded (us).

    `carried` of them an earlier event had told of, which is among the removed.
    """

    count: int
    first_us: int
    last_us: int
    carried: int = 0


def _lost(rows: Sequence[tuple[int, str]]) -> Lost:
    count, carried, first_us = 0, 0, rows[0][0]
    for recorded_us, line in rows:
        gap = json.loads(line)["gap"] if DROPPED in line else None
        if gap and gap["cause"] == DROPPED:
            carried += gap["count"]
            first_us = min(first_us, _epoch_us(gap["from"]))
        else:
            count += 1
            first_us = min(first_us, recorded_us)
    return Lost(count + carried, first_us, rows[-1][0], carried)


def _epoch_us(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).timestamp() * 1_000_000)


def _row(event: Event, now_us: int) -> tuple[str, int, int, str]:
    return event.id, now_us, SEVERITIES.index(event.severity), event.json_line()


# --- reading beside the daemon


@dataclass(frozen=True)
class Delivery:
    """How one sink stands; `backlog` events wait for it, `trouble` is why the last try failed."""

    sink: str
    delivered: int
    backlog: int
    retries: int
    parked: int
    trouble: str | None
    oldest_us: int | None
    """When the first of those that wait was recorded."""


class Reading:
    """The store as `events` and `deliveries` see it; never written, and no daemon is needed."""

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        try:
            if not path.is_file():
                raise StoreError(f"{path}: there is no store: has the daemon ever run?")
            self._db = _read_only(path)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path}: cannot be read: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def lines(self, since_us: int = 0) -> Iterator[str]:
        """Give the events recorded since then, in order, each as its line of JSON."""
        found = self._db.execute(
            "SELECT line FROM events WHERE recorded_us >= ? ORDER BY number", (since_us,)
        )
        return (row[0] for row in found)

    def hits(self) -> dict[str, int]:
        """Count the events that are still kept by the id of each rule that matched."""
        found = self._db.execute(
            "SELECT value ->> 'id', count(*) FROM events, json_each(line, '$.rules') GROUP BY 1"
        )
        return dict(found.fetchall())

    def deliveries(self) -> list[Delivery]:
        """Give how every sink stands."""
        found = self._db.execute(
            "SELECT name, delivered, (SELECT count(*) FROM events WHERE number > sinks.number),"
            " retries, (SELECT count(*) FROM parked WHERE sink = name), trouble,"
            " (SELECT recorded_us FROM events WHERE number > sinks.number ORDER BY number LIMIT 1)"
            " FROM sinks ORDER BY name"
        )
        return [Delivery(*row) for row in found]

    def parked(self, sink: str) -> list[tuple[str, str]]:
        """Give id and reason of each event that was set aside for `sink`."""
        return self._db.execute(
            "SELECT id, reason FROM parked JOIN events USING (number) WHERE sink = ?"
            " ORDER BY number",
            (sink,),
        ).fetchall()

    def totals(self) -> list[Total]:
        """Give how many events there ever were. Raises sqlite3.Error in an older store."""
        return totals.read(self._db)

    def vitals(self) -> str | None:
        """Give what the daemon told of itself last. Raises sqlite3.Error as `totals` does."""
        row = self._db.execute("SELECT told FROM vitals").fetchone()
        return row[0] if row else None


def try_again(folder: Path, sink: str) -> int:
    """Have a sink's parked events delivered again; give how many. Raises StoreError."""
    with Reading(folder) as reading:
        if sink not in {each.sink for each in reading.deliveries()}:
            raise StoreError(f"there is no sink {sink} in {folder / FILE}")
    try:
        with contextlib.closing(connect(folder / FILE)) as db:
            return db.execute("UPDATE parked SET again = 1 WHERE sink = ?", (sink,)).rowcount
    except sqlite3.Error as error:
        raise StoreError(f"{folder / FILE}: cannot be written: {error}") from error


def daemon_pid(folder: Path) -> int | None:
    """Give the process that keeps its store here; None if none does, or who asks may not know."""
    with contextlib.suppress(OSError, ValueError), (folder / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read(20))
    return None


# --- the file


def _read_only(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        db.execute("SELECT 1 FROM events LIMIT 1").fetchall()
    except sqlite3.Error:
        db.close()
        raise
    return db


def connect(path: Path) -> sqlite3.Connection:
    """Open the store's file; transactions are ours to begin and end."""
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    db.execute("PRAGMA synchronous = NORMAL")
    return db


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit what happens inside, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _checked(path: Path) -> sqlite3.Connection:
    db = connect(path)
    try:
        _check(db)
        _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise sqlite3.DatabaseError("database disk image is malformed")


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise StoreError(f"{path} was written by a newer lockdown-watcher (schema {version})")
    if version == 0:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
    while version < VERSION:
        step = _MIGRATIONS[version] if version else _WHOLE
        version = version + 1 if version else VERSION
        db.executescript(f"BEGIN IMMEDIATE; {step}; PRAGMA user_version = {version}; COMMIT")
