"""Puts the daemon together: configuration, rules, store, logs, sinks, and systemd's wishes."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from watcher import choose
from watcher.config import Config
from watcher.daemon import Daemon
from watcher.detect import gap_event
from watcher.faults import Faults
from watcher.feed import Feed, Log, opened
from watcher.fleet import NAME, Fleet, removed
from watcher.follow import Stop
from watcher.host import now_us
from watcher.pack import load_pack
from watcher.posture_watch import PostureWatch
from watcher.rules import Pack
from watcher.sources.journal_header import Header
from watcher.store import Store

Say = Callable[[str], None]


def state_folder(config: Config) -> Path:
    """Give where the store is (design: Contract, files and config)."""
    if chosen := config.store.dir or os.environ.get("STATE_DIRECTORY"):
        return Path(chosen)
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if home.startswith("/") else Path("~/.local/state").expanduser()
    return base / "lockdown-watcher"


def serve(config: Config, say: Say) -> None:
    """Run the daemon until a signal. Raises WatcherError with what is wrong and what to do."""
    folder = state_folder(config)
    with Store(folder) as store, closing(Faults(folder)) as faults, Stop() as stop:
        stop.on_reload()
        if store.set_aside:
            say(f"the store was damaged and is now {store.set_aside}; the journal is read again")
        if faults.last:
            say("the last run died while it read {}: {}".format(*faults.last))
        logs, why = Logs(config, store, faults).opened()
        say(f"{why}; {len(config.sinks)} sinks; the store is {store.path}")
        Daemon(config, store, logs, faults, PostureWatch(), stop, say, load_pack).run()


class Logs:
    """Opens what the daemon is to follow, each log where the store says it stopped.

    Of files in a folder that nothing is known of, what is newer than `since_us` (Epoch
    microseconds; by default a week old).
    """

    def __init__(
        self, config: Config, store: Store, faults: Faults, since_us: int | None = None
    ) -> None:
        self._store, self._faults = store, faults
        self._limit = config.store.flood_per_minute
        source = config.source
        self._wish = choose.Wish(source.kind, source.journal_dir or None, source.namespace or None)
        self._pack = load_pack()
        self._since_us = now_us() - choose.RECOVERED_US if since_us is None else since_us

    def opened(self) -> tuple[list[Log], str]:
        """Open them and say which. Raises SourceError."""
        given_up = self._faults.given_up()
        if self._wish.directory or "journal" in given_up:
            return self._files(given_up)
        return self._own()

    def _own(self) -> tuple[list[Log], str]:
        self._faults.reading("journal")
        states = {name: self._store.position(name) for name in ("kmsg", "journal")}
        places = {name: opened(state).get("at") for name, state in states.items()}
        sources, why = choose.followed(
            self._wish, self._pack, places, recover=bool(self._store.set_aside)
        )
        feeds = [Feed(each, self._pack, self._limit, states[each.name]) for each in sources]
        return list(feeds), why

    def _files(self, given_up: set[str]) -> tuple[list[Log], str]:
        """Follow file by file: a folder of many machines, or this one's with a file that kills."""
        folders = choose.folders(self._wish)
        fleet = Fleet(folders, self._pack, self._open_file, given_up)

        self._tell_gone(fleet)
        logs: list[Log] = [fleet]
        if not self._wish.directory and self._wish.kind in {"auto", "both"}:
            logs.insert(0, self._kmsg())
        return logs, f"reading each file in {', '.join(map(str, folders))}"

    def _tell_gone(self, fleet: Fleet) -> None:
        """Tell of files that were removed while nobody read, and forget them."""
        states = self._store.positions(NAME)
        gone = states.keys() - fleet.names()
        gaps = [gap for name in sorted(gone) if (gap := removed(name, opened(states[name])))]
        self._store.forget(gone, [gap_event(gap) for gap in gaps], now_us())

    def _kmsg(self) -> Feed:
        state = self._store.position("kmsg")
        source = choose.followed_kmsg(self._pack, opened(state).get("at"))
        return Feed(source, self._pack, self._limit, state)

    def _open_file(self, name: str, file: str, head: Header, pack: Pack) -> Feed:
        self._faults.reading(name)
        state = self._store.position(name)
        source = choose.followed_file(pack, file, opened(state).get("at"), self._since_us)
        return Feed(source, pack, self._limit, state, name=name, complete=head.archived)
