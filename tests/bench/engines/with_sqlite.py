"""Sigma as SQL, as Zircolite does it: all events into a table in memory, then one query a rule.

Usage: journalctl -o json ... | with_sqlite.py RULE.yml...
"""

from __future__ import annotations

import importlib
import itertools
import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sigma.collection import SigmaCollection

_BATCH = 5000


def main() -> None:
    backend: Any = importlib.import_module("sigma.backends.sqlite").sqliteBackend
    convert = backend().convert_rule
    rules = SigmaCollection.merge(
        [SigmaCollection.from_yaml(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]]
    )
    queries = [query for rule in rules.rules for query in convert(rule)]
    database = _filled(sqlite3.connect(":memory:", isolation_level=None))
    for query in queries:
        wanted = query.replace("<TABLE_NAME>", "logs")
        for row in database.execute(wanted):
            print(json.dumps([value for value in row if value is not None]))


def _filled(database: sqlite3.Connection) -> sqlite3.Connection:
    """Make the table as its fields come up, compared without regard to case."""
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("CREATE TABLE logs (row_id INTEGER PRIMARY KEY AUTOINCREMENT)")
    known: set[str] = set()
    database.execute("BEGIN")
    for batch in _batches():
        for name in sorted({name for event in batch for name in event} - known):
            database.execute(f'ALTER TABLE logs ADD COLUMN "{name}" TEXT COLLATE NOCASE')
            known.add(name)
        for names, events in itertools.groupby(batch, tuple):
            columns = ", ".join(f'"{name}"' for name in names)
            slots = ", ".join("?" * len(names))
            database.executemany(
                f"INSERT INTO logs ({columns}) VALUES ({slots})",
                [tuple(event.values()) for event in events],
            )
    database.execute("COMMIT")
    return database


def _batches() -> Iterator[list[dict[str, str]]]:
    while batch := [json.loads(line) for line in itertools.islice(sys.stdin, _BATCH)]:
        yield batch


main()
