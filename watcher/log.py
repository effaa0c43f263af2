"""What the watcher says about itself, on stderr: one line each.

structlog did this, and took 75 ms and 8 MB, mostly for asyncio, which nothing here needs: a tenth
of what the daemon holds at rest, for one line of logfmt.
"""

from __future__ import annotations

import json
import re
import sys

_BARE = re.compile(r'[^\s"=\\]+')
"""A value that logfmt needs no quotes around."""


class Logger:
    """Says plain words to a terminal, key=value to a file or the journal."""

    def info(self, event: str) -> None:
        """Say what goes on."""
        self._say("info", event)

    def warning(self, event: str) -> None:
        """Say what somebody may have to look after."""
        self._say("warning", event)

    @staticmethod
    def _say(level: str, event: str) -> None:
        if sys.stderr.isatty():
            mark = "" if level == "info" else f"{level}: "
            text = f"lockdown-watcher: {mark}{event}"
        else:
            text = f"level={level} event={_value(event)}"
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is what print is for


def logger() -> Logger:
    """Give what says it."""
    return Logger()


def _value(text: str) -> str:
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
