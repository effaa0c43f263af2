"""A log of known lines, replayed: where the real part could not be stopped at a chosen moment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from watcher.daemon.feed import Feed
from watcher.detect import Detector
from watcher.event import Event
from watcher.pack import load_pack
from watcher.record import Gap, Host, Place, Record
from watcher.rules.prefilter import Prefilter
from watcher.sinks.sink import Parcel

PACK: Final = load_pack()
HOST: Final = Host("h", "5" * 32, "b" * 32)
HIT: Final = "Lockdown: prog{}: hibernation is restricted; see man kernel_lockdown.7"
START_US: Final = 1_700_000_000_000_000


def kernel_record(text: str, us: int, seq: int = 0) -> Record:
    """Make a kernel line of the boot, `us` microseconds after its start."""
    return Record(
        text=text,
        place=Place("kmsg", seq=seq),
        trust="kernel",
        fields={"MESSAGE": text, "_TRANSPORT": "kernel", "SYSLOG_FACILITY": "0"},
        host=HOST,
        observed_us=START_US + us,
        time_us=START_US + us,
        monotonic_us=us,
    )


def stream(lines: int, every: int) -> list[Record | Gap]:
    """Make a log in which each line whose number `every` divides is a denial.

    Three of five denials are equal to the one before in text and microsecond.
    """
    return [
        kernel_record(HIT.format(at // every // 5), at // every // 5 * 1000, at)
        if at % every == 0
        else kernel_record(f"usb 1-1: line {at}", at // every // 5 * 1000, at)
        for at in range(lines)
    ]


def events(count: int) -> list[Event]:
    """Make `count` events, all different."""
    detector = Detector(PACK)
    return [
        event
        for at in range(count)
        for event in detector.events(kernel_record(HIT.format(at), at, at))
    ]


def parcels(found: Sequence[Event]) -> list[Parcel]:
    """Make of events what sinks are given."""
    return [Parcel(at, event.id, event.json_line()) for at, event in enumerate(found, 1)]


class Replay:
    """Gives the items of a list in batches, and goes on after a `position`; `end` is readable
    for ever, as a log with more to read is."""

    name = "kmsg"
    also: tuple[bytes, ...] = ()

    def __init__(self, items: Sequence[Record | Gap], batch: int, after: str | None = None) -> None:
        self._items, self._batch = items, batch
        self._at = int(after or 0)
        self.lines_read = 0
        self.last_us: int | None = None
        self._fd = os.open(os.devnull, os.O_RDONLY)

    @property
    def position(self) -> str:
        """How many items were given."""
        return str(self._at)

    def read(self) -> Iterator[list[Record | Gap]]:
        """Give all that is left."""
        while self._at < len(self._items):
            batch = list(self._items[self._at : self._at + self._batch])
            self._at += len(batch)
            self.lines_read += len(batch)
            yield batch

    def fileno(self) -> int:
        """A descriptor as good as any."""
        return self._fd

    def use(self, prefilter: Prefilter) -> None:
        """It filters nothing."""

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self._fd)


def feed(items: Sequence[Record | Gap], state: str | None, batch: int = 7, flood: int = 0) -> Feed:
    """Make a feed of a replay that goes on from `state`."""
    from watcher.daemon.feed import opened

    return Feed(Replay(items, batch, opened(state).get("at")), PACK, flood, state)


def lines_of(file: Path) -> list[bytes]:
    """Give the whole lines of a file; fails on half a line."""
    data = file.read_bytes() if file.exists() else b""
    assert not data or data.endswith(b"\n")
    return data.splitlines()
