"""The daemon's side of `metrics` and `health`: notes how reading goes, and has it recorded.

Nothing is written that did not change, and no more than once in TOLD_S; an idle daemon neither
writes nor wakes for this.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from watcher import __version__
from watcher.daemon.feed import Feed, Log
from watcher.event import Event
from watcher.follow import Resumable
from watcher.health.canary import Canary
from watcher.health.rule_time import RuleTime
from watcher.health.vitals import FLEET, LogVitals, Vitals
from watcher.host import now_us, this_host
from watcher.log import Say
from watcher.rules import Pack

if TYPE_CHECKING:
    from watcher.health.endpoint import Endpoint

TOLD_S: Final = 5.0
KMSG, JOURNAL = "/dev/kmsg", "the journal"
LOOKED_S: Final = 60.0
"""How long it holds that the journal shows kernel lines: looking takes some milliseconds."""


class Pulse:
    """Belongs to the main thread; `vitals` may be read by any."""

    def __init__(self) -> None:
        self._rule_time = RuleTime()
        self._vitals = Vitals(__version__, this_host().boot_id, os.getpid(), now_us())
        self._canary: Canary | None = None
        self._journal_shows: Callable[[], bool] = bool
        self._looked_s = float("-inf")
        self._counted: WeakKeyDictionary[Resumable, int] = WeakKeyDictionary()
        self._changed = True
        self._told_s = float("-inf")
        self._endpoint: Endpoint | None = None

    @property
    def vitals(self) -> Vitals:
        """Give all there is to tell now."""
        canary = self._canary.vitals if self._canary else None
        return replace(self._vitals, rules=self._rule_time.seconds(), canary=canary)

    def timed(self, pack: Pack) -> Pack:
        """Give the same rules, which from now on are timed."""
        return self._rule_time.timed(pack)

    def read(self, name: str, source: Resumable, *, caught_up: bool) -> None:
        """Note how far a log was read."""
        new = source.lines_read - self._counted.get(source, 0)
        name = FLEET.strip() if name.startswith(FLEET) else name
        log = self._vitals.logs.get(name, LogVitals())
        if new:
            self._counted[source] = source.lines_read
            log = LogVitals(log.lines + new, source.last_us, now_us())
        elif log.caught_up == caught_up:
            return
        self._note(logs={**self._vitals.logs, name: replace(log, caught_up=caught_up)})

    def hear(self, events: Iterable[Event]) -> None:
        """Note what this boot's kernel says of why it is locked down."""
        for event in events:
            ours = event.host.boot_id == self._vitals.boot_id
            if ours and event.kind == "lockdown.enabled" and event.origin.trust == "kernel":
                self._note(cause=event.lockdown.cause)

    def _note(self, **changed: object) -> None:
        self._vitals = replace(self._vitals, **changed)  # type: ignore[arg-type]
        self._changed = True

    def follows(
        self, logs: Iterable[Log], canary: Canary | None, shows: Callable[[], bool]
    ) -> None:
        """Note which logs are read.

        `shows` tells whether there is a kernel line in the journal; `canary` is sent into this
        machine's, if that is one of them.
        """
        own = {log.name for log in logs if isinstance(log, Feed)}
        if "kmsg" in own:  # it stays open as long as the daemon lives
            self._note(kernel=KMSG)
        self._journal_shows = shows
        self._canary = canary if "journal" in own else None

    def beat(self) -> None:
        """Send a canary, if one is due."""
        if self._canary and not self._canary.due_s():
            self._canary.send()
            self._changed = True

    def due_s(self) -> float:
        """Give the seconds until there is something to send or to tell; infinite if never."""
        canary_s = self._canary.due_s() if self._canary else float("inf")
        return min(canary_s, self._untold_s())

    @property
    def is_untold(self) -> bool:
        """Tell whether it is time to record what `told` gives."""
        return not self._untold_s()

    def _untold_s(self) -> float:
        """Give the seconds until `told` has something to give; infinite while nothing changed."""
        if not self._changed:
            return float("inf")
        return max(0.0, self._told_s + TOLD_S - time.monotonic())

    def told(self) -> str | None:
        """Give what is to be recorded, if it is time and anything changed."""
        if self._untold_s():
            return None
        self._changed = False
        self._told_s = time.monotonic()
        self._look(self._told_s)
        return self.vitals.text()

    def _look(self, now_s: float) -> None:
        """See whether the journal shows kernel lines by now: what it had may have been removed."""
        seen = self._vitals.kernel
        if seen == KMSG or (seen and now_s - self._looked_s < LOOKED_S):
            return
        self._looked_s = now_s
        self._vitals = replace(self._vitals, kernel=JOURNAL if self._journal_shows() else None)

    def open(self, listen: str, folder: Path, say: Say) -> None:
        """Begin to answer at `listen`, if that is not empty; `folder` is the store's."""
        if not listen:
            return
        from watcher.health.endpoint import Endpoint

        host, _, port = listen.rpartition(":")
        try:
            self._endpoint = Endpoint((host.strip("[]"), int(port)), lambda: self._text(folder))
        except OSError as error:  # what is recorded matters more
            say(f"no metrics: {listen}: {error.strerror}", "error")
        else:
            say(f"metrics are at http://{listen}/metrics")

    def _text(self, folder: Path) -> bytes:
        from watcher.health.exposition import render
        from watcher.health.figures import families, gather

        return render(families(gather(folder, self.vitals)))

    def close(self) -> None:
        """Answer no more."""
        if self._endpoint:
            self._endpoint.close()
