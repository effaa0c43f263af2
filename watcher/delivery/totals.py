"""Counts all events ever recorded, for `metrics`: the events themselves are pruned in time."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from watcher.event import Event
from watcher.kinds import SEVERITIES

MOST: Final = 9_000_000_000_000_000
"""Lines are counted no further: in a folder of many machines' journals a count may be anything."""

SCHEMA: Final = """
CREATE TABLE totals (
    kind TEXT NOT NULL,
    severity INTEGER NOT NULL,
    cause TEXT NOT NULL,  -- of a gap
    events INTEGER NOT NULL,
    lines INTEGER NOT NULL,  -- that gaps tell of as lost
    PRIMARY KEY (kind, severity, cause)
) STRICT, WITHOUT ROWID;
INSERT INTO totals SELECT json_extract(line, '$.kind') AS kind, severity,
    ifnull(json_extract(line, '$.gap.cause'), '') AS cause, count(*),
    CAST(min(9000000000000000, total(json_extract(line, '$.gap.count'))) AS INTEGER)
    FROM events GROUP BY kind, severity, cause;
"""
"""Makes the table, and counts what is recorded by then."""

_ADD: Final = (
    "INSERT INTO totals VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, severity, cause) DO UPDATE"
    " SET events = events + excluded.events, lines = min(9000000000000000, lines + excluded.lines)"
)


@dataclass(frozen=True, slots=True)
class Total:
    """How many events of a kind and severity there were; for gaps of a cause, lines lost."""

    kind: str
    severity: str
    cause: str
    events: int
    lines: int


def add(db: sqlite3.Connection, events: Iterable[Event], carried: int = 0) -> None:
    """Count events; `carried` lines of theirs were counted before."""
    found: Counter[tuple[str, int, str]] = Counter()
    lines: Counter[tuple[str, int, str]] = Counter()
    for event in events:
        key = event.kind, SEVERITIES.index(event.severity), event.gap.cause if event.gap else ""
        found[key] += 1
        lines[key] += (event.gap.count or 0) - carried if event.gap else 0
    rows = [(*key, count, min(MOST, max(0, lines[key]))) for key, count in found.items()]
    db.executemany(_ADD, rows)


def read(db: sqlite3.Connection) -> list[Total]:
    """Give all totals."""
    found = db.execute("SELECT kind, severity, cause, events, lines FROM totals")
    return [Total(kind, SEVERITIES[severity], *rest) for kind, severity, *rest in found]
