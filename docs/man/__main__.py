"""python -m docs.man DIR: write the manual pages, from the commands, options and catalogue."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from docs.man import commands, events, options
from docs.man.roff import head
from watcher import __version__

PAGES = (
    ("lockdown-watcher", 1, "User Commands", commands.body),
    ("lockdown-watcher.toml", 5, "File Formats", options.body),
    ("lockdown-watcher-events", 7, "Miscellanea", events.body),
)


def write(folder: Path) -> list[Path]:
    """Write every page into `folder`; the day is $SOURCE_DATE_EPOCH's, so that builds repeat."""
    now = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, number, manual, body in PAGES:
        lines = [*head(name, number, day, __version__, manual), *body()]
        file = folder / f"{name}.{number}"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        written.append(file)
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]))
