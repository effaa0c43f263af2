"""What the service runs: logs into the store, and a forwarder for each sink out of it.

The main thread waits in one place, on the logs and on a socket that signals and dying forwarders
ring. Between reading and recording there is no queue: the store is the queue, and what a full
disk keeps from being recorded stays in the journal until there is room.
"""

from __future__ import annotations

import contextlib
import selectors
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from watcher.config import Config, name_of, sink_module
from watcher.daemon.faults import Faults
from watcher.daemon.feed import Feed, Log
from watcher.daemon.posture_watch import PostureWatch
from watcher.daemon.pulse import Pulse
from watcher.daemon.status_line import StatusLine
from watcher.daemon.watchdog import Watchdog
from watcher.delivery.forwarder import Forwarder
from watcher.delivery.outbox import Outbox
from watcher.delivery.store import DROPPED, Lost, Store
from watcher.detect import gap_event
from watcher.errors import SourceError, StoreError, WatcherError
from watcher.event import Event
from watcher.follow import Stop
from watcher.host import now_us, this_host
from watcher.kinds import SEVERITIES
from watcher.log import Level, Say
from watcher.record import Gap, Place
from watcher.rules import Pack
from watcher.sinks.sink import SinkOptions

POSITION_S: Final = 5.0
"""Lines that are no events move the position at most so often."""
END_S: Final = 3.0
"""What forwarders get to finish when the daemon is to end; systemd and people wait for 5."""
PRUNE_S: Final = 600.0
_DAY_US: Final = 86_400_000_000
_SLIGHT: Final = {"informational", "low"}


class _UnrecordedError(Exception):
    """The daemon is to end, and the store could not be written to the last."""


class Daemon:
    """Runs until `stop` is requested. `reread` is called on SIGHUP: rules and configuration.

    `memory` gives what changed of what correlations remember, to be committed with the next events.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - everything meets here
        self,
        config: Config,
        store: Store,
        logs: Sequence[Log],
        faults: Faults,
        posture: PostureWatch,
        stop: Stop,
        say: Say,
        reread: Callable[[], tuple[Pack, Config]],
        watchdog: Watchdog,
        pulse: Pulse,
        memory: Callable[[], dict[str, str | None]],
    ) -> None:
        self._config, self._store = config, store
        self._logs, self._faults, self._posture = logs, faults, posture
        self._stop, self._say, self._reread = stop, say, reread
        self._watchdog, self._status = watchdog, StatusLine(store, posture)
        self._pulse, self._memory = pulse, memory
        self._forwarders = [self._forwarder(options) for options in config.sinks]
        self._unsaved: dict[str, str] = {}
        self._saved_s = self._pruned_s = time.monotonic()

    def _forwarder(self, options: SinkOptions) -> Forwarder:
        name = name_of(options)
        sink = sink_module(options.kind).open_sink(options)
        severity = SEVERITIES.index(options.min_severity)
        return Forwarder(
            name,
            lambda: sink,
            lambda: Outbox(self._store.path, name, severity, options.fold_s),
            options.batch,
            self._say,
            self._stop.ring,
        )

    def run(self) -> None:
        """Carry lines into the store and events out of it. Raises WatcherError where it cannot."""
        for name, count in self._store.keep_sinks(each.name for each in self._forwarders):
            said = f"sink {name} is no longer configured; {count} events waited for it"
            self._say(said, "warning" if count else "info")
        for each in self._forwarders:
            each.start()
        try:
            self._loop()
        except _UnrecordedError:
            self._unsaved.clear()  # they are behind what was read
            self._say("ended before all was recorded; it is read again at the next start", "error")
        finally:
            self._end()

    def _loop(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop.socket, selectors.EVENT_READ)
            quiet = False
            while not self._stop.requested:
                for log in self._logs:
                    self._read(log, quiet=quiet)
                self._pulse.beat()
                self._save_positions(due_only=True)
                self._look_after()
                self._begun()
                self._watchdog.alive(self._status)
                quiet = not self._wait(selector)

    def _begun(self) -> None:
        """Tell systemd, once, that all is read that was there at the start."""
        if not self._status.is_begun and not self._stop.requested:
            self._status.is_begun = True
            self._watchdog.ready(self._status)

    def _read(self, log: Log, *, quiet: bool) -> None:
        for feed in log.feeds():
            try:
                self._drain(feed)
            except SourceError as error:
                log.gave_up(feed, error)
            self._record(feed, feed.overdue(quiet=quiet))
            if self._stop.requested:
                break
        if troubles := log.troubles():
            self._tell(troubles)

    def _drain(self, feed: Feed) -> None:
        self._faults.reading(feed.name)
        before, since_s = feed.source.lines_read, time.monotonic()
        for events in feed.batches():
            self._record(feed, events)
            before = self._got_on(before, feed.source.lines_read)
            self._pulse.read(feed.name, feed.source, caught_up=False)
            if time.monotonic() - since_s > POSITION_S:  # a long past: `health` is to see it get on
                self._save_positions(due_only=True)
            if self._stop.requested:
                break
        else:
            self._pulse.read(feed.name, feed.source, caught_up=True)
        if feed.moved and (state := feed.state()):
            self._unsaved[feed.name] = state
        self._faults.well(feed.name)

    def _got_on(self, before: int, now: int) -> int:
        """Note that lines were read; batches without one are no sign of life."""
        if now != before:
            self._status.seen()
            self._watchdog.news()
            self._watchdog.alive(self._status)
        return now

    # --- recording

    def _record(self, feed: Feed, events: Sequence[Event]) -> None:
        if not events:
            return
        state = feed.state()
        if self._commit(events, {feed.name: state} if state else {}):
            self._ring()
        self._unsaved.pop(feed.name, None)
        self._posture.hear(events)
        self._pulse.hear(events)
        self._bound_size()

    def _tell(self, events: Sequence[Event]) -> None:
        """Record events that no line bore, and say them."""
        if not events:
            return
        for event in events:
            self._say(event.message, "info" if event.severity in _SLIGHT else "warning")
        self._commit(events, {})
        self._ring()

    def _ring(self) -> None:
        for each in self._forwarders:
            each.ring()

    def _save_positions(self, *, due_only: bool) -> None:
        now = time.monotonic()
        due = now - self._saved_s >= POSITION_S or not due_only
        if not (self._unsaved and due) and not self._pulse.is_untold:
            return
        self._commit([], self._unsaved)
        self._unsaved.clear()
        self._saved_s = now

    def _commit(self, events: Sequence[Event], states: dict[str, str]) -> int:
        """Commit, and while that cannot be (a full disk), try again; reading waits meanwhile."""
        said, vitals, memory = False, self._pulse.told(), self._memory()
        while True:
            try:
                new = self._store.commit(events, states, now_us(), vitals, memory)
            except sqlite3.OperationalError as error:
                if not said:
                    self._trouble(f"the store cannot be written, reading waits: {error}")
                said = True
                self._watchdog.alive(self._status)  # another daemon would have no more room
                self._stop_or_wait(1.0)
                if self._stop.requested:
                    raise _UnrecordedError from error
            except sqlite3.DatabaseError as error:
                raise StoreError(
                    f"{self._store.path}: {error}; start again to set it aside"
                ) from error
            else:
                if said:
                    self._trouble("")
                    self._say("the store can be written again")
                return new

    def _trouble(self, said: str, level: Level = "error") -> None:
        """Say it, and show it in the status until there is another word, or none."""
        self._status.trouble = said
        self._watchdog.news()
        if said:
            self._say(said, level)

    def _stop_or_wait(self, seconds: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop.socket, selectors.EVENT_READ)
            selector.select(seconds)
            self._stop.heard()

    # --- what may go

    def _look_after(self) -> None:
        if self._stop.reload:
            self._stop.reload = False
            self._reload()
            self._ring()  # somebody may have asked for another try
        for each in self._forwarders:
            if each.failure:
                raise StoreError(f"the forwarder of sink {each.name} ended: {each.failure}")
        if not self._posture.due_s():
            self._tell(self._posture.look())
        if not self._store.is_there():
            raise StoreError(f"{self._store.path} was removed or replaced; start again")
        now = time.monotonic()
        if now - self._pruned_s > PRUNE_S:
            self._pruned_s = now
            with contextlib.suppress(sqlite3.OperationalError):  # next time, then
                self._store.prune(now_us() - self._config.store.keep_days * _DAY_US)

    def _bound_size(self) -> None:
        most = self._config.store.max_mb << 20
        with contextlib.suppress(sqlite3.OperationalError):  # next time, then
            while (used := self._store.bytes_used()) > most and len(self._store) > 1:
                share = max(1, round(len(self._store) * (used - 0.95 * most) / used))
                self._store.drop_oldest(share, self._dropped, now_us())
                self._ring()

    def _dropped(self, lost: Lost) -> Event:
        detail = f"the store is full (max_mb): {lost.count} events went before every sink had them"
        self._say(detail, "error")
        place = Place("watcher")
        bounds = lost.first_us, lost.last_us
        return gap_event(Gap(DROPPED, lost.count, place, this_host(), now_us(), detail, *bounds))

    def _reload(self) -> None:
        self._watchdog.reloading()
        try:
            pack, config = self._reread()
        except WatcherError as error:
            self._trouble(f"the old rules and configuration stay: {error}")
        else:
            for log in self._logs:
                log.use(pack)
            self._say(f"{len(pack.rules)} rules loaded")
            changed = replace(config, rules=self._config.rules) != self._config
            news = "config.toml has changed: restart to use it" if changed else ""
            self._trouble(news, "warning")
        self._watchdog.ready(self._status)

    # --- waiting and ending

    def _wait(self, selector: selectors.BaseSelector) -> bool:
        """Wait for a line, a signal, or for something that is due; tell whether a line came."""
        # A log may have another descriptor after each reading.
        fds = [fd for log in self._logs if (fd := log.fileno()) is not None]
        for fd in fds:
            selector.register(fd, selectors.EVENT_READ)
        try:
            ready = selector.select(min(self._due()))
        finally:
            for fd in fds:
                selector.unregister(fd)
        self._stop.heard()
        return any(key.fd in fds for key, _ in ready)

    def _due(self) -> Iterator[float]:
        yield self._posture.due_s()
        yield self._watchdog.due_s()
        yield self._pulse.due_s()
        for log in self._logs:
            if (due := log.due_s()) is not None:
                yield due
        if self._unsaved:
            yield max(0.1, self._saved_s + POSITION_S - time.monotonic())

    def _end(self) -> None:
        self._watchdog.stopping()
        for each in self._forwarders:
            each.stop()
        try:
            with contextlib.suppress(_UnrecordedError):
                self._save_positions(due_only=False)
        finally:
            deadline = min(time.monotonic(), self._stop.requested_s) + END_S
            late = [
                f.name
                for f in self._forwarders
                if not f.join(max(0.0, deadline - time.monotonic()))
            ]
            if late:
                said = f"not waited for: sink {', '.join(late)}; the store has its place"
                self._say(said, "warning")
            for log in self._logs:
                log.close()
