"""Promise 1 under SIGKILL at random moments, with a real journald and the real /dev/kmsg."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journal.real import Journald, mark, unlimited_kmsg
from tests.outage.parts import Bulk, Daemon, until
from tests.replay import lines_of

KILLS = int(os.environ.get("KILLS", "300"))
LINES = 20_000
HITS = 2_000
SEED = 20_261_123
BATCH = 50

SINKS = """
[[sink]]
kind = "file"
path = "{folder}/events.jsonl"
batch = {batch}
[[sink]]
kind = "elastic"
url = "{url}"
batch = {batch}
"""


class Writer(threading.Thread):
    """Writes LINES lines to /dev/kmsg, evenly over about as long as kills every `each_s` take."""

    def __init__(self, write: Callable[..., None], word: str, each_s: float) -> None:
        super().__init__(daemon=True)
        self._write, self._word = write, word
        # A ring of 256 KiB holds 3,000 lines: slow enough that a second without a reader fits.
        self.pace_s = max(0.25, KILLS * each_s / (LINES / 100))
        self.done = False

    def run(self) -> None:
        """Write; every tenth line is a hit. A process wrote them, so they are forged ones."""
        for at in range(0, LINES, 100):
            self._write(*(self._line(number) for number in range(at, at + 100)))
            time.sleep(self.pace_s)
        self.done = True

    def _line(self, number: int) -> str:
        if number % (LINES // HITS):
            return f"<6>{self._word} line {number}\n"
        text = f"{self._word}: hibernation is restricted; see man kernel_lockdown.7 {number}"
        return f"<6>Lockdown: {text}\n"


@contextlib.contextmanager
def source(kind: str) -> Iterator[str]:
    """Give the [source] table of a real log."""
    if kind == "kmsg":
        yield '[source]\nkind = "kmsg"\n'
        return
    with Journald() as journald:
        yield f'[source]\nkind = "journal"\nnamespace = "{journald.namespace}"\n'


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["journal", "kmsg"])
def test_kills_lose_nothing_and_show_nothing_twice(kind: str, tmp_path: Path) -> None:
    """The store has exactly the hits, both sinks all of them in order; a sink sees at most one
    batch twice for each kill, and nothing twice by id."""
    dice, word = random.Random(SEED), mark()
    bulk = Bulk(delay_s=0.02)
    with unlimited_kmsg() as write, source(kind) as table:
        sinks = SINKS.format(folder=tmp_path, url=bulk.url, batch=BATCH)
        daemon = Daemon(tmp_path, table + sinks)
        start_s = first_start_s(daemon)
        writer = Writer(write, word, 1.3 * start_s)
        writer.start()
        for _ in range(KILLS):
            daemon.start()
            time.sleep(start_s * dice.uniform(0.1, 2.5))
            daemon.kill()
        started = begun(daemon)
        with daemon:
            # All may be delivered by now; but SIGTERM is only heard by one that has started.
            until(lambda: begun(daemon) > started, "the last start")
            until(lambda: writer.done, "the writer")
            until(lambda: len(daemon.recorded(word)) >= HITS, "the store", why=daemon.gaps)
            until(lambda: len(bulk.documents) >= len(daemon.recorded("")), "the receiver")
            file = tmp_path / "events.jsonl"
            until(lambda: bytes(daemon.recorded("")[-1], "ascii") in file.read_bytes(), "the file")
            took_s = daemon.stop()
    bulk.close()
    recorded, hits = daemon.recorded(""), daemon.recorded(word)
    assert len(hits) == len(set(hits)) == HITS
    assert bulk.order == recorded
    written = [line.split(b'"id":"', 1)[1][:36].decode() for line in lines_of(file)]
    first_seen = list(dict.fromkeys(written))
    assert first_seen == recorded
    asked = [name for request in bulk.requests for name in request]
    assert longest_repeat(written) <= BATCH
    assert longest_repeat(asked) <= BATCH
    assert took_s < 5
    assert started > KILLS / 3, "most were killed before they did anything"
    again = len(asked) - len(recorded)
    print(
        f"{kind}: {KILLS} kills ({started} once it read), {len(recorded)} events; written twice:"
        f" file {len(written) - len(recorded)}, bulk {again} (409); SIGTERM took {took_s:.2f} s"
    )


def begun(daemon: Daemon) -> int:
    """How often it has got as far as to read."""
    return daemon.log.read_text().count("the store is")


def first_start_s(daemon: Daemon) -> float:
    """How long this machine takes to start it until it reads; the kills fall around that moment."""
    began = time.monotonic()
    daemon.start()
    until(lambda: begun(daemon) > 0, "the first start")
    daemon.kill()
    return time.monotonic() - began


def longest_repeat(names: list[str]) -> int:
    """Give the longest stretch of names that came before, each in it once: what one kill cost."""
    seen: set[str] = set()
    stretch: set[str] = set()
    longest = 0
    for name in names:
        if name not in seen or name in stretch:
            stretch = set()
        if name in seen:
            stretch.add(name)
        seen.add(name)
        longest = max(longest, len(stretch))
    return longest
