"""Puts the daemon together: configuration, rules, store, logs, sinks, and systemd's wishes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from watcher import choose
from watcher.config import Config
from watcher.daemon.faults import Faults
from watcher.daemon.feed import Feed, Log, opened
from watcher.daemon.fleet import NAME, Fleet, removed
from watcher.daemon.loop import Daemon
from watcher.daemon.posture_watch import PostureWatch
from watcher.daemon.pulse import Pulse
from watcher.daemon.watchdog import Watchdog
from watcher.delivery.store import FILE, Store
from watcher.detect import gap_event
from watcher.errors import SourceError
from watcher.event import Event
from watcher.follow import Resumable, Stop
from watcher.health.canary import Canary
from watcher.host import now_us, this_host
from watcher.log import Say
from watcher.pack import load_pack
from watcher.record import Gap, Place
from watcher.rules import Pack
from watcher.rules.correlation import Correlator
from watcher.sources.journal_header import Header

SERVICE: Final = Path("/var/lib/lockdown-watcher")
"""Where the service keeps its store: StateDirectory= of its unit."""

_GIVEN_UP: Final = (
    "this program died while it was read, time and again; to have it tried once more, remove {}"
)


def state_folder(config: Config) -> Path:
    """Give where the store is (design: Contract, files and config)."""
    if chosen := config.store.dir or os.environ.get("STATE_DIRECTORY"):
        return Path(chosen)
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if home.startswith("/") else Path("~/.local/state").expanduser()
    return base / "lockdown-watcher"


def kept_folder(config: Config) -> Path:
    """Give the store to look into: the service's, but for who has one of their own and not that."""
    own = state_folder(config)
    if config.store.dir or os.environ.get("STATE_DIRECTORY"):
        return own
    seen = os.access(SERVICE / FILE, os.R_OK)
    alone = not (own / FILE).exists() and os.path.lexists(SERVICE)
    return SERVICE if seen or alone else own


def serve(load: Callable[[], Config], say: Say) -> None:
    """Run the daemon until a signal. Raises WatcherError with what is wrong and what to do.

    `load` reads the configuration, now and whenever a reload is asked for.
    """

    def reread() -> tuple[Pack, Config]:
        again = load()
        return pulse.timed(load_pack(again.chosen)), again

    config, watchdog, pulse = load(), Watchdog(), Pulse()
    folder = state_folder(config)
    # First of all: checking a large store takes a while, and SIGHUP would end the process.
    with Stop() as stop:
        stop.on_reload()
        with Store(folder) as store, closing(Faults(folder)) as faults, closing(pulse):
            for line in _begun_anew(store), _died(faults):
                if line:
                    say(line, "error")
            pack = pulse.timed(load_pack(config.chosen))
            opening = Logs(config, store, faults, pack)
            logs, why = opening.opened()
            pulse.follows(logs, opening.canary, opening.journal_shows_kernel)
            say(f"{why}; {len(config.sinks)} sinks; the store is {store.path}")
            posture, memory = PostureWatch(), opening.correlator.changes
            pulse.open(config.metrics.listen, folder, say)
            Daemon(
                config, store, logs, faults, posture, stop, say, reread, watchdog, pulse, memory
            ).run()


def _begun_anew(store: Store) -> str | None:
    """Record that the store was damaged, if it was: the sinks are to hear of it; say it."""
    if not store.set_aside:
        return None
    said = f"the store was damaged and is now {store.set_aside}; the journal is read again"
    place, now = Place("watcher"), now_us()
    gap = Gap("store_damaged", None, place, this_host(), now, said, to_us=now)
    with suppress(sqlite3.OperationalError):  # no room: it is said, and tried no more
        store.commit([gap_event(gap)], {}, now)
    return said


def _died(faults: Faults) -> str | None:
    if not faults.last:
        return None
    name, of = faults.last
    return f"the last run died while it read {name}: {of}" if name else f"the last run died: {of}"


class Logs:
    """Opens what the daemon is to follow, each log where the store says it stopped.

    Of files in a folder that nothing is known of, what is newer than `since_us` (Epoch
    microseconds; by default a week old).
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        faults: Faults,
        pack: Pack | None = None,
        since_us: int | None = None,
    ) -> None:
        self._store, self._faults = store, faults
        self.correlator = Correlator(store.memory())
        self._limit = config.store.flood_per_minute
        source = config.source
        every_s = config.health.canary_s
        self.canary = Canary(every_s, source.namespace) if every_s else None
        self._wish = choose.Wish(
            source.kind,
            source.journal_dir or None,
            source.namespace or None,
            canary=self.canary.heard if self.canary else None,
        )
        self._wanted = choose.wanted(self._wish)
        self._pack = pack or load_pack(config.chosen)
        self._since_us = now_us() - choose.RECOVERED_US if since_us is None else since_us

    def opened(self) -> tuple[list[Log], str]:
        """Open them and say which. Raises SourceError."""
        given_up = self._faults.given_up()
        if self._wish.directory or "journal" in given_up.intersection(self._wanted):
            return self._files(given_up)
        return self._own()

    def journal_shows_kernel(self) -> bool:
        """Tell whether there is any line of the kernel in the journal that is followed."""
        return "journal" in self._wanted and choose.journal_shows_kernel(self._wish)

    def _own(self) -> tuple[list[Log], str]:
        self._faults.reading(self._wanted[0])
        states = {name: self._store.position(name) for name in ("kmsg", "journal")}
        places = {name: opened(state).get("at") for name, state in states.items()}
        sources, why = choose.followed(
            self._wish, self._pack, places, recover=bool(self._store.set_aside)
        )
        feeds = [self._feed(each, states[each.name]) for each in sources]
        return list(feeds), why

    def _files(self, given_up: set[str]) -> tuple[list[Log], str]:
        """Follow file by file: a folder of many machines, or this one's with a file that kills."""
        folders = choose.folders(self._wish)
        said = [f"reading each file in {', '.join(map(str, folders))}"]
        why = dict.fromkeys(given_up, _GIVEN_UP.format(self._faults.path))
        if not self._wish.directory:
            said.append(f"the journal as a whole is left out: {why['journal']}")
        fleet = Fleet(folders, self._pack, self._open_file, self._forget, why)
        counted = {name for name in self._faults.counted() if name.startswith(NAME)}
        fleet.begin(counted.union(self._store.positions(NAME)))
        kmsg = self._kmsg(said) if "kmsg" in self._wanted else []
        return [*kmsg, fleet], "; ".join(said)

    def _kmsg(self, said: list[str]) -> list[Log]:
        state = self._store.position("kmsg")
        try:
            source = choose.followed_kmsg(self._pack, opened(state).get("at"), covered=True)
        except SourceError as error:
            if self._wish.kind != "auto":
                raise
            said.append(str(error))
            return []
        return [self._feed(source, state)]

    def _feed(self, source: Resumable, state: str | None) -> Feed:
        return Feed(source, self._pack, self._limit, state, correlator=self.correlator)

    def _forget(self, gone: Mapping[str, bool]) -> list[Event]:
        """Forget the logs of files that were removed, and tell of those not read to the end.

        `gone` says of each whether it was. Nothing is forgotten while there is no room to tell.
        """
        states = self._store.positions(NAME)
        unread = [name for name, read in gone.items() if name in states and not read]
        gaps = [gap for name in unread if (gap := removed(name, opened(states[name])))]
        events = [gap_event(gap) for gap in gaps]
        with suppress(sqlite3.Error):
            self._store.forget(gone, events, now_us())
            self._faults.forget(gone)
            return events
        return []

    def _open_file(self, name: str, file: str, head: Header, pack: Pack) -> Feed:
        self._faults.reading(name)
        state = self._store.position(name)
        source = choose.followed_file(pack, file, opened(state).get("at"), self._since_us)
        return Feed(
            source,
            pack,
            self._limit,
            state,
            name=name,
            complete=head.archived,
            correlator=self.correlator,
        )
