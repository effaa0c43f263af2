"""The house: who may import whom, how pure the middle is, how small the rooms are."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

WATCHER = Path(__file__).parent.parent / "watcher"
MODULES = sorted(WATCHER.rglob("*.py"))

# Who may import what of this package. A name ending in "." stands for a folder.
MIDDLE = (
    "hidden",
    "kinds",
    "patterns",
    "record",
    "provenance",
    "gaps",
    "lockdown.",
    "rules.",
    "event",
    "detect",
    "hits",
    "encodings.",
    "fold",
)
ALLOWED: dict[str, tuple[str, ...]] = {
    "kinds": (),
    "errors": (),
    "hidden": (),
    "patterns": (),
    "record": (),
    "gaps": ("record",),
    "provenance": ("record",),
    "lockdown.": ("kinds", "lockdown.", "patterns"),
    "event_model": ("event",),
    "event": ("hidden", "kinds", "record", "lockdown."),
    "rules.": ("kinds", "record", "provenance", "rules."),
    "detect": ("kinds", "record", "gaps", "hits", "lockdown.", "patterns", "rules.",
               "event"),
    "hits": ("event", "kinds", "record", "rules."),
    "host": ("record",),
    "posture.": ("lockdown.", "posture."),
    "log": ("sinks.plain",),
    "moment": ("errors",),
    "pack": ("", "config", "config_files", "errors", "rule_check", "rules."),
    "rule_check": ("errors", "examples", "rules.", "sequences"),
    "examples": ("detect", "provenance", "record", "rules."),
    "sequences": ("detect", "event", "examples", "hits", "provenance", "record", "rules."),
    "sources.": ("errors", "host", "patterns", "record", "provenance", "rules.prefilter",
                 "rules.needs", "rules.values", "sources."),
    "encodings.": ("", "hidden", "kinds", "event", "encodings."),
    "sinks.": ("", "errors", "event", "event_model", "hidden", "kinds", "encodings.",
               "lockdown.tried", "sinks."),
    "pages.": ("event", "kinds", "explain", "rules.", "sinks.plain", "sinks.shown", "pages.",
               "posture.", "diagnose.", "lockdown.", "boots", "delivery.store", "trial"),
    "posture_events": ("detect", "event", "kinds", "posture.", "record"),
    "diagnose.": ("diagnose.", "lockdown.", "posture."),
    "this_boot": ("detect", "errors", "host", "posture.", "record", "rules.", "sources."),
    "explain": ("detect", "lockdown.", "sources.text"),
    "choose": ("errors", "host", "follow", "rules.", "sources."),
    "follow": ("detect", "event", "record", "rules.prefilter"),
    "scan": ("errors", "host", "kinds", "detect", "event", "record", "rules.", "sources."),
    "config": ("config_files", "errors", "health.options", "kinds", "sinks."),
    "config_files": (),
    "health.": ("", "delivery.store", "delivery.totals", "errors", "event", "gaps",
                "health.", "host", "kinds", "lockdown.", "posture.", "rules.", "sinks.plain",
                "sources.journal_entry"),
    "fold": (),
    "desktop.": ("desktop.", "errors", "fold", "follow", "kinds", "lockdown.", "log", "record",
                 "rules.prefilter", "sinks.plain", "sources."),
    "convert": ("errors",),
    "trial": ("detect", "errors", "record", "rules.", "scan", "sources."),
    "units": ("errors",),
    "delivery.": ("delivery.", "errors", "event", "fold", "host", "kinds", "log", "sinks.sink"),
    "daemon.": ("", "choose", "config", "daemon.", "delivery.", "detect", "errors", "event",
                "event_model", "follow", "health.", "host", "kinds", "log", "pack",
                "posture.", "posture_events", "record", "rules.", "sinks.plain", "sinks.sink",
                "sources.journal_header"),
    "cli.": ("", "aftermath", "boots", "choose", "cli.", "config", "config_files", "convert",
             "daemon.service", "delivery.store", "desktop.", "detect", "diagnose.", "errors",
             "event", "event_model", "explain", "follow", "health.", "kinds", "log", "moment",
             "pack", "pages.", "posture.", "probe", "report", "rule_check", "rules.", "scan",
             "sinks.plain", "sinks.shown", "sources.", "this_boot", "trial", "units", "witness"),
    "report": ("", "boots", "errors", "event", "host", "posture.", "pages."),
    "witness": (),
    "boots": ("lockdown.", "posture.", "record", "rules.", "sources.", "this_boot"),
    "probe": ("diagnose.", "errors", "posture."),
    "aftermath": ("detect", "diagnose.", "errors", "host", "posture.", "provenance", "record",
                  "pages.", "sources.", "this_boot", "witness", "sinks.plain"),
    "__main__": ("aftermath", "cli.main", "witness"),
    "": (),
}  # fmt: skip
IMPURE = {
    "os", "sys", "time", "socket", "threading", "subprocess", "select", "selectors", "signal",
    "pathlib", "io", "systemd", "structlog", "random", "asyncio",
}  # fmt: skip
# Sources that share a format or a way of opening are one source in two files.
SHARED_BY_SOURCES = {
    "journal_files", "journal_entry", "journal_hash", "journal_index", "journal_text",
    "kmsg_record", "frames", "frame_patterns", "stamps", "months",
}  # fmt: skip
# What sinks have in common, or one sink in more files than one.
SHARED_BY_SINKS = {
    "sink", "plain", "shown", "encoded", "network", "http_client", "http_deadline",
    "syslog_message", "syslog_wire",
}  # fmt: skip


def name_of(file: Path) -> str:
    """The module's name below watcher, "" for the package itself."""
    parts = file.relative_to(WATCHER).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def key_of(name: str) -> str:
    """The row of the table for a module."""
    head = name.split(".", maxsplit=1)[0]
    return f"{head}." if f"{head}." in ALLOWED else name


def imports(file: Path) -> Iterator[str]:
    """Every module a file imports, wherever in it, by full name."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                deeper = WATCHER.parent / node.module.replace(".", "/") / f"{alias.name}.py"
                yield f"{node.module}.{alias.name}" if deeper.exists() else node.module


def ours(file: Path) -> Iterator[str]:
    """What a file imports of this package, below watcher."""
    for name in imports(file):
        if name == "watcher" or name.startswith("watcher."):
            yield name.removeprefix("watcher").removeprefix(".")


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_imports_follow_the_table(file: Path) -> None:
    """Edges import the middle, never the other way; the table is the whole truth."""
    allowed = ALLOWED[key_of(name_of(file))]
    for name in ours(file):
        folder = f"{name.split('.', maxsplit=1)[0]}."
        assert name in allowed or folder in allowed, f"{name_of(file)} may not import {name}"


def test_the_table_has_no_row_too_many() -> None:
    """Every row is a module or folder that exists."""
    assert set(ALLOWED) == {key_of(name_of(file)) for file in MODULES}


@pytest.mark.parametrize("file", [f for f in MODULES if key_of(name_of(f)) in MIDDLE], ids=name_of)
def test_the_middle_is_pure(file: Path) -> None:
    """No clock, disk, socket, thread, systemd or structlog in the middle."""
    assert not {name.split(".")[0] for name in imports(file)} & IMPURE


@pytest.mark.parametrize("file", sorted(WATCHER.glob("sources/*.py")), ids=name_of)
def test_sources_know_no_other_source(file: Path) -> None:
    """A source imports shared formats, never another source."""
    known = {name.removeprefix("sources.") for name in ours(file) if name.startswith("sources.")}
    own = file.stem
    strangers = known - SHARED_BY_SOURCES - {"text_records"}
    assert not strangers or own == "text", f"{own} imports {strangers}"


@pytest.mark.parametrize("file", sorted(WATCHER.glob("sinks/*.py")), ids=name_of)
def test_sinks_know_no_other_sink(file: Path) -> None:
    """A sink imports what all share, never another sink."""
    known = {name.removeprefix("sinks.") for name in ours(file) if name.startswith("sinks.")}
    assert not known - SHARED_BY_SINKS


def test_nothing_is_imported_that_start_up_would_feel() -> None:
    """pySigma, structlog, re2, zstandard, httpcore2 are imported where needed, never at the top."""
    slow = {
        "sigma", "structlog", "re2", "zstandard", "yaml", "httpcore2", "http", "prometheus_client",
    }  # fmt: skip
    may = {
        "rules.document", "rules.parse", "rules.tree", "rules.items", "rules.parse_correlation",
        "sinks.http_deadline", "health.endpoint",
    }  # fmt: skip
    for file in MODULES:
        body = ast.parse(file.read_text()).body
        top = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {
            (alias.name if isinstance(node, ast.Import) else node.module or "").split(".")[0]
            for node in top
            for alias in node.names
        }
        assert name_of(file) in may or not names & slow, name_of(file)


# --- size


def functions() -> list[tuple[str, int]]:
    """Every function with its length in lines, docstring and signature not counted."""
    found = []
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[bool(ast.get_docstring(node)) :]
                length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                found.append((f"{file.name}:{node.name}", length))
    return found


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_files_are_small(file: Path) -> None:
    """No file over 500 lines."""
    assert len(file.read_text().splitlines()) <= 500


def test_functions_are_small() -> None:
    """Median under 10 lines, 95th percentile under 50."""
    lengths = [length for _, length in functions()]
    assert statistics.median(lengths) < 10
    assert statistics.quantiles(lengths, n=20)[-1] < 50
