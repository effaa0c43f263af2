"""How the daemon stands, in the one line that `systemctl status` shows."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

from watcher.daemon.posture_watch import PostureWatch
from watcher.delivery.store import Store
from watcher.sinks.plain import plain

_MOST: Final = 200
"""Characters of a trouble: it is told whole in the log."""


class StatusLine:
    """Puts the line together when it is asked for; what changes is told to it."""

    def __init__(self, store: Store, posture: PostureWatch) -> None:
        self._store, self._posture = store, posture
        self._seen_s: float | None = None
        self.trouble = ""
        self.is_begun = False

    def seen(self) -> None:
        """Take note that lines were read just now."""
        self._seen_s = time.time()

    def __call__(self) -> str:
        """Give level, when a line was last read, what waits for which sink, and any trouble."""
        told = [
            "" if self.is_begun else "reading what was logged before",
            f"lockdown: {self._level()}",
            self._last(),
            self._backlog(),
            plain(self.trouble.partition("\n")[0])[:_MOST],
        ]
        return "; ".join(filter(None, told))

    def _level(self) -> str:
        posture = self._posture.last
        return (posture and posture.level) or "cannot be seen"

    def _last(self) -> str:
        if self._seen_s is None:
            return "no line read yet"
        return f"last line read {time.strftime('%F %T', time.gmtime(self._seen_s))} UTC"

    def _backlog(self) -> str:
        try:
            waiting = self._store.waiting()
        except sqlite3.OperationalError:
            return "the store cannot be read"
        told = [f"{count:,} for {plain(sink)}" for sink, count in waiting.items() if count]
        return f"events waiting: {', '.join(told)}" if told else "nothing waits"
