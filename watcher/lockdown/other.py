"""Match a text with the rows of lines.py."""

from __future__ import annotations

import re

from watcher.lockdown.finding import CUT, Finding, comm_warnings
from watcher.lockdown.lines import LINES, Line


def match_line(text: str) -> Finding | None:
    """Give the finding of the one row that `text` fits as a whole, or None."""
    for line in LINES:
        if match := line.pattern.fullmatch(text):
            return _finding(line, match)
    return None


def _finding(line: Line, match: re.Match[str]) -> Finding:
    groups = match.groupdict()
    count = groups.get("count")
    suppressed = int(count) % 2**32 if count else None
    warnings = comm_warnings(groups.get("comm"))
    if not match[0].endswith(line.ends):
        warnings = (*warnings, CUT)
    return Finding(
        kind=line.kind,
        row=line.id,
        title=line.title.format(count=suppressed, module=groups.get("module")),
        meaning=line.meaning,
        instead=line.instead,
        text=groups.get("text"),
        level=line.level,
        lineage=line.lineage,
        suppressed=suppressed,
        comm=groups.get("comm"),
        pid=int(groups["pid"]) if groups.get("pid") else None,
        module=groups.get("module"),
        secure_boot=line.secure_boot,
        since=line.since,
        until=line.until,
        read=line.read,
        warnings=warnings,
    )
