"""What the daemon tells systemd: a real daemon, and a socket in systemd's place."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.journal.real import START_US, build, line, lockdown_line
from tests.parts import missing
from tests.scripted import free_port
from watcher.daemon.watchdog import MORE_S, NEWS_S, Watchdog
from watcher.delivery.store import Reading

STUCK: Final = Path(__file__).parent / "stuck"
INTERVAL_S: Final = 2.0
ROOT: Final = Path(__file__).parent.parent


class Told:
    """systemd's end of the notification socket, and the daemon that speaks to it."""

    def __init__(self, folder: Path, config: str) -> None:
        self.folder, self.config = folder, folder / "config.toml"
        self.interval_s = INTERVAL_S
        self.first, self.stuck = config, folder / "stuck"
        self.write(config)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, config: str) -> None:
        """Put another configuration in place."""
        self.config.write_text(f'[store]\ndir = "{self.folder}/state"\n{config}')

    def start(self) -> None:
        """Start the daemon as systemd would."""
        told = {
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            "WATCHDOG_USEC": str(int(self.interval_s * 1e6)),
            "PYTHONPATH": f"{STUCK}:{ROOT}",
            "STUCK": str(self.stuck),
        }
        with (self.folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "watcher", "daemon", "--config", str(self.config)],
                env=os.environ | told,
                cwd=ROOT,
                stderr=said,
            )

    def said(self) -> str:
        """Give what it wrote since it was started."""
        return (self.folder / "said").read_text()

    def hear(self, timeout_s: float = 20) -> dict[str, str]:
        """Give the next message, by names; empty if there is none for so long."""
        self._socket.settimeout(timeout_s)
        try:
            lines = self._socket.recv(65_536).decode().splitlines()
        except TimeoutError:
            return {}
        return dict(line.split("=", 1) for line in lines)

    def hear_until(self, name: str, patience_s: float = 20) -> list[dict[str, str]]:
        """Give all messages up to the first with `name`."""
        heard, end = [self.hear()], time.monotonic() + patience_s
        while name not in heard[-1]:
            assert time.monotonic() < end, f"no {name} in {heard}"
            heard.append(self.hear())
        return heard

    def signal(self, number: int) -> None:
        """Send the daemon a signal."""
        assert self._process
        self._process.send_signal(number)

    def wait(self) -> int:
        """Give the status it ends with."""
        assert self._process
        return self._process.wait(20)

    def close(self) -> None:
        """End it, however it is."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._socket.close()


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """A daemon that reads a folder of journals with 40 refusals; it is not started yet."""
    logs = tmp_path / "logs"
    logs.mkdir()
    ago_us = (int(time.time()) - 3600) * 1_000_000 - START_US
    build(logs / "a.journal", [line(lockdown_line(f"dd-{n}"), ago_us + n) for n in range(40)])
    with contextlib.closing(Told(tmp_path, f'[source]\njournal_dir = "{logs}"\n')) as telling:
        yield telling


def recorded(told: Told) -> int:
    """Give how many events are in the store."""
    with Reading(told.folder / "state") as reading:
        return len(list(reading.lines()))


def test_ready_means_that_the_past_is_read(told: Told) -> None:
    """READY comes once all that was logged before is recorded; before it, only pleas for time."""
    told.start()
    *before, ready = told.hear_until("READY")
    assert recorded(told) == 40
    assert before
    for each in before:
        assert each["EXTEND_TIMEOUT_USEC"] == str(MORE_S * 1_000_000)
        assert each["STATUS"].startswith("reading what was logged before; ")
    assert ready["STATUS"].startswith("lockdown: ")
    assert "; last line read 20" in ready["STATUS"]
    assert ready["STATUS"].endswith("; nothing waits")


def test_it_beats_twice_an_interval(told: Told) -> None:
    """Idle, it is heard in time again and again, with the status; nothing else is said."""
    told.start()
    told.hear_until("READY")
    since = time.monotonic()
    beats = [told.hear(INTERVAL_S) for _ in range(3)]
    taken_s = time.monotonic() - since
    assert all(set(each) == {"WATCHDOG", "STATUS"} for each in beats), beats
    assert taken_s == pytest.approx(1.5 * INTERVAL_S, rel=0.3)


def test_a_reader_that_hangs_is_heard_no_more(told: Told) -> None:
    """Reading hangs, every other thread lives: not one more beat. When it gets on, it is heard."""
    if os.geteuid():
        missing("root, to read /dev/kmsg")
    port = free_port()
    sink = f'[[sink]]\nkind = "syslog"\naddress = "tcp://127.0.0.1:{port}"\n'
    told.write(f'[source]\nkind = "kmsg"\n{sink}')
    told.start()
    told.hear_until("READY")
    told.stuck.touch()
    while told.hear(2 * INTERVAL_S):  # what it was about to say
        pass
    assert told.hear(INTERVAL_S) == {}
    told.stuck.unlink()
    assert "WATCHDOG" in told.hear(INTERVAL_S)


def test_a_hung_reader_dies_by_sigabrt_and_the_next_one_knows(told: Told) -> None:
    """systemd's signal ends it though it hangs, and what it was reading is told at the start."""
    if os.geteuid():
        missing("root, to read /dev/kmsg")
    told.write('[source]\nkind = "kmsg"\n')
    told.start()
    told.hear_until("READY")
    told.stuck.touch()
    while told.hear(2 * INTERVAL_S):
        pass
    told.signal(signal.SIGABRT)
    assert told.wait() == -signal.SIGABRT
    told.stuck.unlink()
    told.start()
    told.hear_until("READY")
    assert "the last run died while it read kmsg: Aborted" in told.said()


def test_a_reload_is_told_with_what_came_of_it(told: Told) -> None:
    """RELOADING with the time, then READY: with what is wrong, without, or with what is to do."""
    told.start()
    told.hear_until("READY")
    for text, ending in (
        ("x =\n", "the old rules and configuration stay: "),
        ("[store]\nkeep_days = 0\n", "the old rules and configuration stay: "),
        ('[source]\nkind = "journal"\n', "config.toml has changed: restart to use it"),
        (None, "nothing waits"),
    ):
        if text is None:
            told.write(told.first)
        else:
            told.config.write_text(text)
        before_us = time.monotonic_ns() // 1000
        told.signal(signal.SIGHUP)
        reloading = told.hear_until("RELOADING")[-1]
        assert before_us < int(reloading["MONOTONIC_USEC"]) < time.monotonic_ns() // 1000
        ready = told.hear()
        assert ready["READY"] == "1"
        last = ready["STATUS"].split("; ")[-1]
        assert last.startswith(ending)


def test_the_status_is_one_harmless_line(told: Told) -> None:
    """A fault that holds control characters is shown, not obeyed; a long one is shortened."""
    told.start()
    told.hear_until("READY")
    told.config.write_text('"a\\u001b[31m\\n\\u202e' + "x" * 500 + '" = 1\n')
    told.signal(signal.SIGHUP)
    told.hear_until("RELOADING")
    status = told.hear()["STATUS"]
    assert "\x1b" not in status
    assert "\u202e" not in status
    assert len(status) < 400


def test_the_status_says_what_waits_for_whom(told: Told) -> None:
    """A receiver that is not there: so many events wait for it, and it is named."""
    sink = f'[[sink]]\nname = "siem"\nkind = "syslog"\naddress = "tcp://127.0.0.1:{free_port()}"\n'
    told.write(f"{told.first}{sink}")
    told.start()
    assert "events waiting: 40 for siem" in told.hear_until("READY")[-1]["STATUS"]
    assert "events waiting: 40 for siem" in told.hear()["STATUS"]


def test_what_has_been_delivered_waits_no_more(told: Told, tmp_path: Path) -> None:
    """Soon after the start the status is told anew, though the next beat is far away."""
    told.write(f'{told.first}[[sink]]\nkind = "file"\npath = "{tmp_path}/events"\n')
    told.interval_s = 600.0
    told.start()
    told.hear_until("READY")
    assert told.hear(2 * NEWS_S)["STATUS"].endswith("; nothing waits")


def test_the_end_is_told(told: Told) -> None:
    """STOPPING, then status 0."""
    told.start()
    told.hear_until("READY")
    told.signal(signal.SIGTERM)
    told.hear_until("STOPPING")
    assert told.wait() == 0


def test_without_systemd_nothing_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket: nothing is said, and nobody is woken for it; nor for another's watchdog."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    watchdog = Watchdog()
    watchdog.news()
    watchdog.ready(str)
    assert watchdog.due_s() == float("inf")


@pytest.mark.parametrize(
    ("usec", "pid", "due_s"),
    [
        ("4000000", None, 2.0),
        ("4000000", "1", float("inf")),
        ("", None, float("inf")),
        ("0", None, float("inf")),
        ("soon", None, float("inf")),
    ],
)
def test_the_beat_is_half_of_what_systemd_waits(
    usec: str, pid: str | None, due_s: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As WATCHDOG_USEC says, if that is meant for this process."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid or str(os.getpid()))
    watchdog = Watchdog()
    watchdog.ready(str)
    assert watchdog.due_s() == pytest.approx(min(due_s, NEWS_S), abs=0.2)
    watchdog.alive(str)
    now_s = time.monotonic() + NEWS_S
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    watchdog.alive(str)
    assert watchdog.due_s() == pytest.approx(due_s, abs=0.2)
