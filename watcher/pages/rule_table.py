"""The rule pack as a table for people or as JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from watcher.rules import Pack, Rule
from watcher.sinks.plain import plain

Hits = Mapping[str, int]


def render(pack: Pack, hits: Hits | None, *, as_json: bool) -> str:
    """Give the text to print, without a newline at its end.

    `hits` are recorded events by rule id, None where nothing was ever recorded.
    """
    if as_json:
        return "\n".join(json.dumps(_row(rule, hits)) for rule in pack.rules)
    rows = [("HITS", "LEVEL", "KIND", "RULE", "FILE")]
    rows += [(_hits(r, hits), r.level, _of(r), plain(r.title), _file(r)) for r in pack.rules]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _hits(rule: Rule, hits: Hits | None) -> str:
    return "-" if hits is None else f"{hits.get(rule.id, 0):,}"


def _file(rule: Rule) -> str:
    return plain(Path(rule.file).name)


def _of(rule: Rule) -> str:
    if rule.correlation:
        return rule.correlation["type"]
    seen = "only counted" if rule.silent else "any line"
    return rule.kind or ("nothing here" if rule.never else seen)


def _row(rule: Rule, hits: Hits | None) -> dict[str, object]:
    return {
        "id": rule.id,
        "title": rule.title,
        "level": rule.level,
        "kind": rule.kind,
        "correlation": rule.correlation["type"] if rule.correlation else None,
        "silent": rule.silent,
        "notify": rule.notify,
        "status": rule.status,
        "file": rule.file,
        "hits": None if hits is None else hits.get(rule.id, 0),
        "never": rule.never,
    }
