"""Receivers that are down or hang, a full disk, a second daemon, a flood: nothing is lost."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.journal.real import Journald, mark, need_root, unlimited_kmsg
from tests.outage.parts import Bulk, Daemon, until
from tests.replay import lines_of

KMSG = '[source]\nkind = "kmsg"\n'
FILE = '[[sink]]\nkind = "file"\npath = "{folder}/events.jsonl"\nmax_mb = 0\n'
ELASTIC = '[[sink]]\nkind = "elastic"\nurl = "{url}"\ntimeout_s = 60.0\n'


def hits(word: str, count: int, first: int = 0) -> list[str]:
    """Give lines that become events."""
    form = "<6>Lockdown: {}: hibernation is restricted; see man kernel_lockdown.7 {}\n"
    return [form.format(word, first + number) for number in range(count)]


def written(file: Path, word: str) -> int:
    """Count the lines of a file that hold `word`."""
    return sum(word.encode() in line for line in lines_of(file)) if file.exists() else 0


def has(file: Path, word: str, count: int) -> bool:
    """Tell whether that many lines hold `word`."""
    return written(file, word) == count


class Tail:
    """Counts the lines of a growing file that hold `word`."""

    def __init__(self, file: Path, word: str) -> None:
        self._file, self._word = file, word.encode()
        self._read = self.count = 0

    def has(self, count: int) -> bool:
        """Look at what is new; tell whether there are `count` of them by now."""
        if self._file.exists():
            with self._file.open("rb") as stream:
                stream.seek(self._read)
                new = stream.read().rpartition(b"\n")[0]
            self._read += len(new)
            self.count += new.count(self._word)
        return self.count >= count


@pytest.mark.timeout(600)
def test_a_receiver_that_is_down_while_100_000_events_come(tmp_path: Path) -> None:
    """The other sink is undisturbed, memory stays flat, and once it is back all come, in order."""
    events, step = 100_000, 500
    bulk, word = Bulk(), mark()
    bulk.status = 503
    file = tmp_path / "events.jsonl"
    tables = "flood_per_minute = 0\n" + KMSG + FILE + ELASTIC
    with (
        unlimited_kmsg() as write,
        Daemon(tmp_path, tables.format(folder=tmp_path, url=bulk.url)) as daemon,
    ):
        tail, rss_mb = Tail(file, word), []
        for first in range(0, events, step):
            write(*hits(word, step, first))
            # Not faster than it is read: what the ring loses is another test's matter.
            until(partial(tail.has, first + step), "the file", why=daemon.gaps)
            rss_mb.append(daemon.rss_mb())
        assert not bulk.documents
        bulk.status = 200
        since = time.monotonic()
        everything = len(lines_of(file))  # what the ring held before is among it
        until(lambda: len(bulk.documents) >= everything, "the receiver", 400)
        print(
            f"{events} events came {time.monotonic() - since:.0f} s after the receiver was back;"
            f" RSS {rss_mb[0]:.0f} MB at first, {max(rss_mb):.0f} MB at most"
        )
        assert daemon.stop() < 5
    bulk.close()
    recorded = daemon.recorded(word)
    ours = set(recorded)
    assert len(recorded) == len(ours) == events
    assert [name for name in bulk.order if name in ours] == recorded
    assert max(rss_mb) < rss_mb[0] + 20


@pytest.mark.timeout(120)
def test_a_hung_receiver_delays_nobody(tmp_path: Path) -> None:
    """It takes a request and never answers: the other sink has each event within a second, and
    SIGTERM ends the daemon within five."""
    bulk, word = Bulk(delay_s=50), mark()
    file = tmp_path / "events.jsonl"
    tables = (KMSG + FILE + ELASTIC).format(folder=tmp_path, url=bulk.url)
    with unlimited_kmsg() as write, Daemon(tmp_path, tables) as daemon:
        write(*hits(word, 1))
        until(lambda: written(file, word) == 1, "the first event")
        waits = []
        for number in range(1, 21):
            since = time.monotonic()
            write(*hits(word, 1, number))
            until(partial(has, file, word, number + 1), "an event")
            waits.append(time.monotonic() - since)
        assert max(waits) < 1
        assert daemon.stop() < 5
    assert "not waited for: sink elastic" in daemon.log.read_text()
    assert len(daemon.recorded(word)) == 21
    bulk.close()


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Give a file system of that size."""
    need_root()
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.timeout(180)
def test_a_full_disk_is_said_and_outlived(tmp_path: Path) -> None:
    """Reading waits, the journal keeps what comes meanwhile, and with room all is recorded."""
    word = mark()
    with small_disk(tmp_path / "state", "16m") as disk, Journald() as journald:
        source = f'[source]\nkind = "journal"\nnamespace = "{journald.namespace}"\n'
        with unlimited_kmsg() as write, Daemon(tmp_path, source) as daemon:
            write(*hits(word, 10))
            until(lambda: len(daemon.recorded(word)) == 10, "the first events")
            (disk / "ballast").write_bytes(b"\0" * _room(disk))
            for first in range(10, 2010, 100):
                write(*hits(word, 100, first))
                time.sleep(0.02)
            until(lambda: "reading waits" in daemon.log.read_text(), "the word about it")
            (disk / "ballast").unlink()
            until(
                lambda: len(daemon.recorded(word)) >= 2010,
                "all of them",
                why=lambda: (len(daemon.recorded(word)), daemon.gaps()),
            )
            assert "can be written again" in daemon.log.read_text()
            assert daemon.stop() < 5
            assert len(daemon.recorded(word)) == len(set(daemon.recorded(word))) == 2010


def _room(disk: Path) -> int:
    return int(subprocess.check_output(["df", "--output=avail", "-B1", disk]).split()[1])


@pytest.mark.timeout(60)
def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """With one clear line and status 3; the first one goes on."""
    need_root()
    with Daemon(tmp_path, KMSG) as first:
        until(lambda: "the store is" in first.log.read_text(), "the first one")
        second = Daemon(tmp_path, KMSG)
        second.start()
        assert second._process
        assert second._process.wait(10) == 3
        assert f"another daemon (pid {first.pid}) keeps its store here" in second.log.read_text()
        assert first.stop() < 5


@pytest.mark.timeout(300)
def test_a_flood_folds_and_counts(tmp_path: Path) -> None:
    """Promise 8: 5,000 forged denials by 5,000 names at a limit of 100 a minute."""
    word = mark()
    file = tmp_path / "events.jsonl"
    tables = ("flood_per_minute = 100\n" + KMSG + FILE).format(folder=tmp_path)
    with unlimited_kmsg() as write, Daemon(tmp_path, tables) as daemon:
        until(lambda: "the store is" in daemon.log.read_text(), "the daemon")
        _await_minute(write, file)
        for first in range(0, 5000, 250):
            write(
                *(
                    line.replace(word, f"{word}{number}")
                    for number, line in enumerate(hits(word, 250, first))
                )
            )
            time.sleep(0.05)
        until(lambda: _counted(file, word) >= 5000, "the folds", 130)
        daemon.stop()
    found = [line for line in lines_of(file) if word.encode() in line]
    assert _counted(file, word) == 5000
    assert len(found) <= 2 * 101  # a minute may end in between


def _await_minute(write: Callable[..., None], file: Path) -> None:
    """Wait until the kernel's clock begins a minute: the ring holds other tests' lines."""
    write(*hits("minute", 1))
    until(lambda: file.exists() and lines_of(file), "an event")
    since = _minute(file)
    end = time.monotonic() + 70
    while _minute(file) == since:
        assert time.monotonic() < end
        write(*hits("minute", 1))
        time.sleep(0.2)


def _minute(file: Path) -> int:
    times = (json.loads(line)["origin"]["monotonic_us"] for line in reversed(lines_of(file)))
    return int(next(filter(None, times))) // 60_000_000


def _counted(file: Path, word: str) -> int:
    lines = lines_of(file) if file.exists() else []
    found = [json.loads(line) for line in lines if word.encode() in line]
    return sum(each["lockdown"]["suppressed"] or 1 for each in found)
