"""What the watcher says about itself, on stderr: one line each, through structlog.

structlog takes 75 ms to import, so short commands, which say little, do without it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Final, Literal, Protocol

from watcher.sinks.plain import plain

Level = Literal["info", "warning", "error"]
"""An error: something is not done. A warning: something is not as somebody wants it to be."""

_PRIORITY: Final[dict[str, int]] = {"info": 6, "warning": 4, "error": 3}


class Say(Protocol):
    """Says one thing, by default one that needs nobody's attention."""

    def __call__(self, text: str, level: Level = "info", /) -> None:
        """Say it."""


def logger() -> Say:
    """Give what says it: in plain words on a terminal, as key=value to a file or the journal."""
    import structlog

    person = sys.stderr.isatty()
    logfmt: Any = structlog.processors.LogfmtRenderer(key_order=["level", "event"])

    def rendered(logger: object, name: str, said: Any) -> str:
        if person:
            return _for_people(said["level"], said["event"])
        return f"{mark(said['level'])}{logfmt(logger, name, said)}"

    structlog.configure(
        processors=[structlog.processors.add_log_level, rendered],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    log = structlog.get_logger()

    def say(text: str, level: Level = "info", /) -> None:
        getattr(log, level)("\n".join(map(plain, text.split("\n"))))

    return say


def _for_people(level: str, text: str) -> str:
    return f"lockdown-watcher: {'' if level == 'info' else f'{level}: '}{text}"


def mark(level: str) -> str:
    """Give what tells the journal how grave a line is, if stderr goes there (sd-daemon(3))."""
    with contextlib.suppress(OSError):
        found = os.fstat(2)
        # systemd.exec(5): so a program finds out.
        if os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}":
            return f"<{_PRIORITY[level]}>"
    return ""
