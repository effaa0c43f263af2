"""Follow one source until a signal: one loop that waits on the log and on a wake-up socket."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final, Protocol, Self

from watcher.detect import Detector
from watcher.event import Event
from watcher.record import Gap, Record
from watcher.rules.prefilter import Prefilter

QUIET_S: Final = 1.0
"""After this many seconds without a line, what is held back (an open gap) is told."""

HELD_S: Final = 5.0
"""After this many it is told anyway: a journal of many programs may never be quiet."""


class Source(Protocol):
    """What a live source offers; `read` gives all there is now and never waits."""

    name: str
    lines_read: int

    def fileno(self) -> int:
        """Give a descriptor that becomes readable when there is more; may change after `read`."""

    def read(self) -> Iterator[list[Record | Gap]]:
        """Give batches until the source is drained."""

    def close(self) -> None:
        """Let go of the log."""


class Resumable(Source, Protocol):
    """A log that is followed and can be gone on with, as the daemon does."""

    also: tuple[bytes, ...]
    """Texts it looks for besides the rules'."""

    @property
    def last_us(self) -> int | None:
        """Give when the last line read was written, in Epoch microseconds; None before any."""

    @property
    def position(self) -> str:
        """Give the place up to which all was given; a source made with it goes on there."""

    def use(self, prefilter: Prefilter) -> None:
        """Look for what other rules want."""


Write = Callable[[Event], None]


class Stop:
    """SIGINT and SIGTERM as a flag that also wakes a sleeping selector (set_wakeup_fd).

    Other threads wake it by `ring`, and SIGHUP does, which sets `reload`.
    """

    def __init__(self) -> None:
        self.requested = False
        self.requested_s = float("inf")
        self.reload = False
        self.socket, self._ring = socket.socketpair()
        self._before: list[tuple[signal.Signals, object]] = []

    def __enter__(self) -> Self:
        self.socket.setblocking(False)
        self._ring.setblocking(False)
        signal.set_wakeup_fd(self._ring.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before.append((number, signal.signal(number, self._request)))
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type]
        self.socket.close()
        self._ring.close()

    def on_reload(self) -> None:
        """Have SIGHUP set `reload` from now on, which would else end the process."""
        self._before.append((signal.SIGHUP, signal.signal(signal.SIGHUP, self._reload)))

    def ring(self) -> None:
        """Wake the loop; any thread may."""
        with contextlib.suppress(OSError):  # full: it is awake anyway; closed: it has ended
            self._ring.send(b"\0")

    def heard(self) -> None:
        """Forget all rings so far."""
        with contextlib.suppress(BlockingIOError):
            while self.socket.recv(4096):
                pass

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        self.requested_s = time.monotonic()

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True


def follow(
    source: Source, detector: Detector, write: Write, *, drained: Callable[[], None], stop: Stop
) -> None:
    """Carry events from `source` to `write` until `stop` is requested.

    `drained` is called whenever all that was there has been written.
    """
    with selectors.DefaultSelector() as selector, contextlib.closing(source):
        selector.register(stop.socket, selectors.EVENT_READ)
        held = _Held()
        while not stop.requested:
            waiting = _drain(source, detector, write, stop)
            drained()
            if stop.requested:
                break
            quiet = not _wait(selector, source, QUIET_S if waiting else None)
            if quiet or held.too_long(waiting=waiting):
                _write_all(detector.flush(), write)
        _write_all(detector.flush(), write)
        drained()


class _Held:
    """For how long something has been held back."""

    def __init__(self) -> None:
        self._until_s = float("inf")

    def too_long(self, *, waiting: bool) -> bool:
        """Take note whether something is held back; tell whether it has been for HELD_S."""
        now = time.monotonic()
        self._until_s = min(self._until_s, now + HELD_S) if waiting else float("inf")
        if now < self._until_s:
            return False
        self._until_s = float("inf")
        return True


def _drain(source: Source, detector: Detector, write: Write, stop: Stop) -> bool:
    """Write the events of all there is; tell whether a gap is held back."""
    for batch in source.read():
        for item in batch:
            _write_all(detector.events(item), write)
        if stop.requested:
            break
    return detector.holds_back


def _wait(selector: selectors.BaseSelector, source: Source, timeout_s: float | None) -> bool:
    # The journal's descriptor is another one after it was reopened, so it is registered anew.
    log = source.fileno()
    selector.register(log, selectors.EVENT_READ)
    try:
        return bool(selector.select(timeout_s))
    finally:
        selector.unregister(log)


def _write_all(events: Iterator[Event], write: Write) -> None:
    for event in events:
        write(event)
