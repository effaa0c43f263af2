"""The rule pack as a table for people or as JSON Lines."""

from __future__ import annotations

import json
from pathlib import Path

from watcher.rules import Pack, Rule


def render(pack: Pack, *, as_json: bool) -> str:
    """Give the text to print, without a newline at its end."""
    if as_json:
        return "\n".join(json.dumps(_row(rule)) for rule in pack.rules)
    rows = [("LEVEL", "KIND", "RULE", "FILE")]
    rows += [(r.level, r.kind or "any line", r.title, Path(r.file).name) for r in pack.rules]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "title": rule.title,
        "level": rule.level,
        "kind": rule.kind,
        "notify": rule.notify,
        "status": rule.status,
        "file": rule.file,
    }
