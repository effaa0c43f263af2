"""What the watcher says about itself, on stderr: one line each, through structlog.

structlog takes 75 ms to import, so short commands, which say little, do without it.
"""

from __future__ import annotations

import sys
from typing import Any


def logger() -> Any:
    """Give the logger: plain words for a terminal, key=value for a file or the journal."""
    import structlog

    person = sys.stderr.isatty()
    render: Any = (
        _for_people if person else structlog.processors.LogfmtRenderer(key_order=["level", "event"])
    )
    structlog.configure(
        processors=[structlog.processors.add_log_level, render],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger()


def _for_people(_logger: object, _name: str, said: dict[str, Any]) -> str:
    level, event = said.pop("level"), said.pop("event")
    mark = "" if level == "info" else f"{level}: "
    more = "".join(f"\n  {value}" for value in said.values())
    return f"lockdown-watcher: {mark}{event}{more}"
