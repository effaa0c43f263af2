"""What correlations remember, as rows of the store: in the same transactions as events."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

SCHEMA: Final = """
CREATE TABLE memory (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- what was written last has the highest
    key TEXT NOT NULL UNIQUE,
    value TEXT NOT NULL
) STRICT;
"""


def keep(db: sqlite3.Connection, rows: Mapping[str, str | None]) -> None:
    """Write rows, each as the newest; None deletes. The caller's transaction is open."""
    gone = [(key,) for key, value in rows.items() if value is None]
    db.executemany("DELETE FROM memory WHERE key = ?", gone)
    fresh = [(key, value) for key, value in rows.items() if value is not None]
    db.executemany("REPLACE INTO memory (key, value) VALUES (?, ?)", fresh)


def kept(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """Give all rows, the newest last."""
    return db.execute("SELECT key, value FROM memory ORDER BY number").fetchall()
