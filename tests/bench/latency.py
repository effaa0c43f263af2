"""How long a line of the kernel's log takes to a receiver, and what a burst does."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.setting import Setting
from tests.bench.table import table
from tests.journal.real import KMSG, Journald, mark, unlimited_kmsg
from tests.outage.parts import Daemon

TITLE = "The daemon: from the kernel's log to a receiver"
_WORDS = """\
From the write to /dev/kmsg to the receipt, {samples} lines, 20 ms apart: the daemon with a store on
disk and a syslog sink to a Unix socket, and beside it what only shows the line (`dmesg --follow`,
`journalctl --follow`) on the same lines at the same time. By the journal, journald's own delay is
part of it.
"""
_BURST = """\
56,477 lines in 3 s, every hundredth a hit: {hits} hits; the daemon's receiver had {got} of them
{late:.2f} s after the last line was written ({gaps} gaps told); memory at most {rss:.0f} MB.
"""
_LINE: Final = "<6>Lockdown: {}: hibernation is restricted; see man kernel_lockdown.7 {}\n"
_BURST_LINES: Final = 56_477
_PATIENCE_S: Final = 10.0

Write = Callable[..., None]


@dataclass
class Ear:
    """Hears lines with a word, and when each came (seconds by number)."""

    descriptor: int
    word: bytes
    end: bytes = b""
    """What ends each piece besides, where pieces are datagrams."""

    def __post_init__(self) -> None:
        self.heard: dict[int, float] = {}
        self._rest = b""

    def hear(self) -> None:
        """Take what is there now."""
        now = time.monotonic()
        *lines, self._rest = (self._rest + os.read(self.descriptor, 1 << 20) + self.end).split(
            b"\n"
        )
        for line in lines:
            if self.word in line:
                number = line.split(b"kernel_lockdown.7 ", 1)[1]
                self.heard.setdefault(int(number[:6]), now)


def measure(setting: Setting) -> str:
    """Give the section of the page."""
    if os.geteuid() or not KMSG.exists():
        return "Not measured here: it takes root and /dev/kmsg.\n"
    samples = max(20, 500 // setting.smaller)
    rows = [*_kmsg(samples), *_journal(samples)]
    shown = table(("way", "p50", "p99", "worst"), rows)
    return "\n".join([_WORDS.format(samples=samples), shown, "", _burst()])


def _kmsg(samples: int) -> Iterator[tuple[str, ...]]:
    with unlimited_kmsg() as write:
        peer = ("dmesg", "--follow-new")
        yield from _side_by_side("kmsg", '[source]\nkind = "kmsg"\n', peer, write, samples)


def _journal(samples: int) -> Iterator[tuple[str, ...]]:
    with unlimited_kmsg() as write, Journald() as journald:
        table = f'[source]\nkind = "journal"\nnamespace = "{journald.namespace}"\n'
        peer = ("journalctl", f"--namespace={journald.namespace}", "-f", "-n0", "-o", "cat")
        yield from _side_by_side("journal", table, peer, write, samples)


def _side_by_side(
    name: str, source: str, peer: Sequence[str], write: Write, samples: int
) -> Iterator[tuple[str, ...]]:
    word = mark()
    with daemon(source) as (_, receiver), _running(peer) as other:
        ears = [Ear(receiver.fileno(), word.encode(), b"\n"), Ear(other, word.encode())]
        _settle(ears, write, word)
        written = {}
        for number in range(100_001, 100_001 + samples):
            written[number] = time.monotonic()
            write(_LINE.format(word, number))
            _listen(ears, time.monotonic() + 0.02)
        _listen(ears, time.monotonic() + 2)
    for label, ear in zip((f"daemon, {name}", " ".join(peer[:1])), ears, strict=True):
        waits = [ear.heard[number] - at for number, at in written.items() if number in ear.heard]
        yield _row(label, waits, samples)


def _row(label: str, waits: list[float], samples: int) -> tuple[str, ...]:
    if len(waits) < samples:
        label += f" ({samples - len(waits)} not seen)"
    cuts = statistics.quantiles(waits, n=100) if len(waits) > 1 else [float("nan")] * 99
    times = (cuts[49], cuts[98], max(waits, default=float("nan")))
    return (label, *(f"{each * 1000:.1f} ms" for each in times))


def _settle(ears: Sequence[Ear], write: Write, word: str) -> None:
    """Wait until all hear: what is in the ring already comes first."""
    end, number = time.monotonic() + _PATIENCE_S, 200_000
    while not all(any(heard >= 200_000 for heard in ear.heard) for ear in ears):
        if time.monotonic() > end:
            raise RuntimeError("somebody hears nothing")
        number += 1
        write(_LINE.format(word, number))
        _listen(ears, time.monotonic() + 0.2)


def _listen(ears: Sequence[Ear], until_s: float) -> None:
    by_fd = {ear.descriptor: ear for ear in ears}
    while (left := until_s - time.monotonic()) > 0:
        for descriptor in select.select([*by_fd], [], [], left)[0]:
            by_fd[descriptor].hear()


def _burst() -> str:
    word = mark()
    lines = [
        _LINE.format(word, 100_000 + n) if n % 100 == 0 else f"<6>noise {n}\n"
        for n in range(_BURST_LINES)
    ]
    with (
        unlimited_kmsg() as write,
        daemon('flood_per_minute = 0\n[source]\nkind = "kmsg"\n') as (running, receiver),
    ):
        ear = Ear(receiver.fileno(), word.encode(), b"\n")
        _settle([ear], write, word)
        settled, rss = len(ear.heard), 0.0
        begun = time.monotonic()
        for at in range(0, _BURST_LINES, 200):
            write(*lines[at : at + 200])
            rss = max(rss, running.rss_mb())
            _listen([ear], begun + 3 * at / _BURST_LINES)
        last = time.monotonic()
        _listen([ear], last + 3)
        hits = len(range(0, _BURST_LINES, 100))
        late = max(ear.heard.values()) - last
        gaps = len(running.gaps())
    got = len(ear.heard) - settled
    return _BURST.format(hits=hits, got=got, late=max(0.0, late), gaps=gaps, rss=rss)


@contextlib.contextmanager
def daemon(source: str) -> Iterator[tuple[Daemon, socket.socket]]:
    """Run a daemon whose events come to a socket."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = Path(folder, "receiver")
        receiver = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        receiver.bind(str(path))
        sink = f'[[sink]]\nkind = "syslog"\naddress = "unix://{path}"\nencoding = "native"\n'
        running = stack.enter_context(Daemon(Path(folder), source + sink))
        yield running, receiver


@contextlib.contextmanager
def _running(command: Sequence[str]) -> Iterator[int]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        try:
            yield process.stdout.fileno()
        finally:
            process.kill()
