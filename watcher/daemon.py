"""What the service runs: logs into the store, and a forwarder for each sink out of it.

The main thread waits in one place, on the logs and on a socket that signals and dying forwarders
ring. Between reading and recording there is no queue: the store is the queue, and what a full
disk keeps from being recorded stays in the journal until there is room.
"""

from __future__ import annotations

import selectors
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from watcher.config import Config, name_of, sink_module
from watcher.detect import gap_event
from watcher.errors import StoreError, WatcherError
from watcher.event import Event
from watcher.feed import Feed
from watcher.follow import HELD_S, QUIET_S, Stop
from watcher.forwarder import Forwarder
from watcher.host import now_us, this_host
from watcher.kinds import SEVERITIES
from watcher.outbox import Outbox
from watcher.record import Gap, Place
from watcher.rules import Pack
from watcher.sinks.sink import SinkOptions
from watcher.store import Store

POSITION_S: Final = 5.0
"""Lines that are no events move the position at most so often."""
FLOOD_S: Final = 60.0
"""A fold is told after this much quiet."""
END_S: Final = 3.0
"""What forwarders get to finish when the daemon is to end; systemd and people wait for 5."""
PRUNE_S: Final = 600.0
_DAY_US: Final = 86_400_000_000

Say = Callable[[str], None]


class Daemon:
    """Runs until `stop` is requested. `load_rules` is called again on SIGHUP."""

    def __init__(  # noqa: PLR0913, PLR0917 - everything meets here
        self,
        config: Config,
        store: Store,
        feeds: Sequence[Feed],
        stop: Stop,
        say: Say,
        load_rules: Callable[[], Pack],
    ) -> None:
        self._config, self._store, self._feeds = config, store, list(feeds)
        self._stop, self._say, self._load_rules = stop, say, load_rules
        self._forwarders = [self._forwarder(options) for options in config.sinks]
        self._unsaved: set[str] = set()
        self._saved_s = self._pruned_s = time.monotonic()
        self._held_s: dict[str, float] = {}

    def _forwarder(self, options: SinkOptions) -> Forwarder:
        name = name_of(options)
        sink = sink_module(options.kind).open_sink(options)
        severity = SEVERITIES.index(options.min_severity)
        return Forwarder(
            name,
            lambda: sink,
            lambda: Outbox(self._store.path, name, severity),
            options.batch,
            self._say,
            self._stop.ring,
        )

    def run(self) -> None:
        """Carry lines into the store and events out of it. Raises WatcherError where it cannot."""
        self._store.keep_sinks(each.name for each in self._forwarders)
        for each in self._forwarders:
            each.start()
        try:
            self._loop()
        finally:
            self._end()

    def _loop(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop.socket, selectors.EVENT_READ)
            quiet = False
            while not self._stop.requested:
                for feed in self._feeds:
                    self._drain(feed)
                    self._flush(feed, quiet=quiet)
                self._save_positions(due_only=True)
                self._look_after()
                quiet = not self._wait(selector)

    def _drain(self, feed: Feed) -> None:
        read = feed.source.lines_read
        for events in feed.batches():
            if events:
                self._record(feed, events)
            if self._stop.requested:
                break
        if feed.source.lines_read != read:
            self._unsaved.add(feed.name)

    def _flush(self, feed: Feed, *, quiet: bool) -> None:
        now = time.monotonic()
        if not (feed.holds_gap or feed.folding):
            self._held_s.pop(feed.name, None)
            return
        held = now - self._held_s.setdefault(feed.name, now)
        events = feed.flush_gap() if feed.holds_gap and (quiet or held > HELD_S) else []
        if feed.folding and held > FLOOD_S:
            events += feed.flush_flood()
        if events:
            self._record(feed, events)

    # --- recording

    def _record(self, feed: Feed, events: Sequence[Event]) -> None:
        state = feed.state()
        new = self._commit(events, {feed.name: state} if state else {})
        self._unsaved.discard(feed.name)
        if new:
            for each in self._forwarders:
                each.ring()
        self._bound_size()

    def _save_positions(self, *, due_only: bool) -> None:
        now = time.monotonic()
        if not self._unsaved or (due_only and now - self._saved_s < POSITION_S):
            return
        states = {feed.name: feed.state() for feed in self._feeds if feed.name in self._unsaved}
        self._commit([], {name: state for name, state in states.items() if state})
        self._unsaved.clear()
        self._saved_s = now

    def _commit(self, events: Sequence[Event], states: dict[str, str]) -> int:
        """Commit, and while that cannot be (a full disk), try again; reading waits meanwhile."""
        said = False
        while True:
            try:
                new = self._store.commit(events, states, now_us())
            except sqlite3.OperationalError as error:
                if not said:
                    self._say(f"the store cannot be written, reading waits: {error}")
                said = True
                if self._stop.requested:
                    return 0
                self._stop_or_wait(1.0)
            except sqlite3.DatabaseError as error:
                raise StoreError(
                    f"{self._store.path}: {error}; start again to set it aside"
                ) from error
            else:
                if said:
                    self._say("the store can be written again")
                return new

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
        for each in self._forwarders:
            if each.failure:
                raise StoreError(f"the forwarder of sink {each.name} ended: {each.failure}")
        now = time.monotonic()
        if now - self._pruned_s > PRUNE_S:
            self._pruned_s = now
            self._store.prune(now_us() - self._config.store.keep_days * _DAY_US)

    def _bound_size(self) -> None:
        most = self._config.store.max_mb << 20
        while (used := self._store.bytes_used()) > most and len(self._store):
            share = max(1, round(len(self._store) * (used - 0.95 * most) / used))
            lost, first_us, last_us = self._store.drop_oldest(share)
            if lost:
                self._tell_dropped(lost, first_us, last_us)

    def _tell_dropped(self, lost: int, first_us: int | None, last_us: int | None) -> None:
        detail = f"the store is full (max_mb): {lost} events went before every sink had them"
        self._say(detail)
        place, now = Place("watcher"), now_us()
        gap = Gap("backlog_dropped", lost, place, this_host(), now, detail, first_us, last_us)
        self._commit([gap_event(gap)], {})

    def _reload(self) -> None:
        try:
            pack = self._load_rules()
        except WatcherError as error:
            self._say(f"the old rules stay: {error}")
            return
        for feed in self._feeds:
            feed.use(pack)
        self._say(f"{len(pack.rules)} rules loaded")

    # --- waiting and ending

    def _wait(self, selector: selectors.BaseSelector) -> bool:
        """Wait for a line, a signal, or for something that is due; tell whether a line came."""
        logs = [feed.source.fileno() for feed in self._feeds]
        for log in logs:
            selector.register(log, selectors.EVENT_READ)
        try:
            ready = selector.select(min(self._due(), default=None))
        finally:
            for log in logs:
                selector.unregister(log)
        self._stop.heard()
        return any(key.fd in logs for key, _ in ready)

    def _due(self) -> Iterator[float]:
        if any(feed.holds_gap for feed in self._feeds):
            yield QUIET_S
        if any(feed.folding for feed in self._feeds):
            yield FLOOD_S
        if self._unsaved:
            yield max(0.1, self._saved_s + POSITION_S - time.monotonic())

    def _end(self) -> None:
        for each in self._forwarders:
            each.stop()
        try:
            self._save_positions(due_only=False)
        finally:
            deadline = time.monotonic() + END_S
            late = [
                f.name
                for f in self._forwarders
                if not f.join(max(0.0, deadline - time.monotonic()))
            ]
            if late:
                self._say(f"not waited for: sink {', '.join(late)}; the store has its place")
            for feed in self._feeds:
                feed.source.close()
