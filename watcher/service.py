"""Puts the daemon together: configuration, rules, store, logs, sinks, and systemd's wishes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from watcher import choose
from watcher.config import Config
from watcher.daemon import Daemon
from watcher.feed import Feed, opened
from watcher.follow import Stop
from watcher.pack import load_pack
from watcher.rules import Pack
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
    pack = load_pack()
    with Store(state_folder(config)) as store, Stop() as stop:
        stop.on_reload()
        if store.set_aside:
            say(f"the store was damaged and is now {store.set_aside}; the journal is read again")
        feeds, why = _feeds(config, store, pack)
        daemon = Daemon(config, store, feeds, stop, say, load_pack)
        say(f"{why}; {len(config.sinks)} sinks; the store is {store.path}")
        daemon.run()


def _feeds(config: Config, store: Store, pack: Pack) -> tuple[list[Feed], str]:
    states = {name: store.position(name) for name in ("kmsg", "journal")}
    places = {name: opened(state).get("at") for name, state in states.items()}
    source = config.source
    wish = choose.Wish(source.kind, source.journal_dir or None, source.namespace or None)
    sources, why = choose.followed(wish, pack, places, recover=bool(store.set_aside))
    limit = config.store.flood_per_minute
    return [Feed(each, pack, limit, states[each.name]) for each in sources], why
