"""Engines of others, each asked about many rules and events at once.

Tenzir's operator `sigma` parses rules by itself, in C++; pySigma's SQLite backend shares our
parser and leaves the judgement to SQLite.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.parts import missing
from watcher.rules.evaluate import Fields
from watcher.rules.parse import parse
from watcher.rules.rule import compile_rule

Rules = Mapping[str, str]
"""Rules' text by id."""
Events = Sequence[Mapping[str, str]]
Pairs = set[tuple[str, int]]

MARK: Final = "lw_number"


@dataclass
class Verdict:
    """Which rules (by id) match which events (by number), and why some rules were not taken."""

    pairs: Pairs
    refused: dict[str, str] = field(default_factory=dict)


def ours(rules: Rules, events: Events) -> Verdict:
    """This project's engine; rules about `any` product are left in their own fields."""
    data, faults = parse(dict(rules))
    compiled = [compile_rule(each) for each in data]
    seen = [Fields(event) for event in events]
    pairs = {(r.id, n) for r in compiled for n, fields in enumerate(seen) if r.matches(fields)}
    return Verdict(pairs, {fault.file: fault.text for fault in faults})


# --- Tenzir

_PIPELINE: Final = f"""from_file "{{events}}" {{{{ read_ndjson }}}}
sigma path="{{rules}}"
this = {{{{rule: policy.uid, event: evidences[0].data.{MARK}}}}}
write_ndjson
"""
_IGNORED: Final = re.compile(r"ignores rule '[^']*/([^/']+)\.yml'.*?note: ([^\n]*)", re.DOTALL)


def tenzir(rules: Rules, events: Events, folder: Path) -> Verdict:
    """Tenzir in one process. `folder` is empty; events must not have a field `lw_number`."""
    program = shutil.which("tenzir", path=str(Path(sys.executable).parent))
    if program is None:
        missing("tenzir")
    (folder / "rules").mkdir()
    for name, text in rules.items():
        (folder / "rules" / f"{name}.yml").write_text(text, "utf-8")
    # Marked by a word that no rule looks for: Tenzir looks for keywords in every field.
    rows = (json.dumps({**_typed(event), MARK: f"zq{n}zq"}) for n, event in enumerate(events))
    (folder / "events.json").write_text("\n".join(rows) + "\n", "utf-8")
    pipeline = _PIPELINE.format(events=folder / "events.json", rules=folder / "rules")
    done = subprocess.run(
        [program, pipeline], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = map(json.loads, done.stdout.splitlines())
    pairs = {(each["rule"], int(each["event"].strip("zq"))) for each in found}
    return Verdict(pairs, dict(_IGNORED.findall(done.stderr)))


Typed = str | float | bool


def _typed(event: Mapping[str, str]) -> dict[str, Typed]:
    """Give numbers and truth values as such: journald's are all texts, but Tenzir has types.

    Addresses it finds by itself, in what it reads.
    """
    return {name: _type(value) for name, value in event.items()}


def _type(value: str) -> Typed:
    if value in _TRUTH:
        return value == "true"
    if _WHOLE.fullmatch(value) and str(int(value)) == value:
        return int(value)
    return float(value) if _BROKEN.fullmatch(value) else value


_WHOLE: Final = re.compile(r"-?[0-9]{1,20}")
_BROKEN: Final = re.compile(r"-?[0-9]{1,9}\.[0-9]{1,5}")
_TRUTH: Final = ("true", "false")


# --- SQLite


def sqlite(rules: Rules, events: Events) -> Verdict:
    """pySigma's SQLite backend, and Python's sqlite3.

    Columns compare without regard to case, as the backend's own schema has them, and hold numbers
    where a rule compares numbers.
    """
    try:
        sqlite_backend: Any = importlib.import_module("sigma.backends.sqlite").sqliteBackend
    except ImportError:
        missing("pysigma-backend-sqlite")
    from sigma.collection import SigmaCollection
    from sigma.exceptions import SigmaError

    names = sorted({"MESSAGE", *(name for event in events for name in event)})
    tables = {kind: _table(kind, names, events) for kind in ("TEXT", "NUMERIC")}
    backend = sqlite_backend(fulltext_field="MESSAGE")
    verdict = Verdict(set())
    for identifier, text in rules.items():
        database = tables["NUMERIC" if _COMPARES.search(text) else "TEXT"]
        try:
            (rule,) = SigmaCollection.from_yaml(text).rules
            for query in backend.convert_rule(rule):
                found = _asked(database, query)
                verdict.pairs |= {(identifier, rowid - 1) for rowid in found}
        except (SigmaError, NotImplementedError, sqlite3.OperationalError) as error:
            verdict.refused[identifier] = f"{type(error).__name__}: {error}".splitlines()[0]
    return verdict


_COMPARES: Final = re.compile(r"\|(?:lt|gt)e?:")
_SELECT: Final = "SELECT * FROM logs WHERE "
_NO_COLUMN: Final = re.compile(r"no such column: (\S+)")


def _table(kind: str, names: list[str], events: Events) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    database.create_function("regexp", 2, _regexp, deterministic=True)
    columns = ", ".join(f'"{name}" {kind} COLLATE NOCASE' for name in names)
    database.execute(f"CREATE TABLE logs ({columns})")
    slots = ", ".join("?" * len(names))
    rows = ([event.get(name) for name in names] for event in events)
    database.executemany(f"INSERT INTO logs VALUES ({slots})", rows)
    return database


def _regexp(pattern: str, text: str | None) -> bool | None:
    return None if text is None else bool(re.search(pattern, text))


def _asked(database: sqlite3.Connection, query: str) -> list[int]:
    """Run a query; a column that no event has is added, empty."""
    assert query.startswith(_SELECT), query
    asked = "SELECT rowid FROM logs WHERE " + query.removeprefix(_SELECT)
    while True:
        try:
            return [row[0] for row in database.execute(asked)]
        except sqlite3.OperationalError as error:
            if not (lacking := _NO_COLUMN.match(str(error))):
                raise
            database.execute(f'ALTER TABLE logs ADD COLUMN "{lacking[1]}" TEXT')
