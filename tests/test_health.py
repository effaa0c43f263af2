"""`health`: blind is never healthy, and what is missing is said."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.outage.parts import Daemon, until
from tests.parts import missing as missing_part
from tests.replay import PACK, Replay, events, kernel_record
from watcher.config import load
from watcher.daemon.faults import Faults
from watcher.daemon.feed import Feed
from watcher.daemon.loop import Daemon as WatcherDaemon
from watcher.daemon.posture_watch import PostureWatch
from watcher.daemon.pulse import Pulse
from watcher.daemon.watchdog import Watchdog
from watcher.delivery.store import Delivery, Reading, Store
from watcher.errors import SourceError
from watcher.follow import Stop
from watcher.health.canary import GRACE_S, Canary, CanaryVitals
from watcher.health.figures import kept
from watcher.health.report import for_people, is_healthy, look
from watcher.health.verdict import BACKLOG_S, Check, Now, checks, within_s
from watcher.health.vitals import LogVitals, Vitals, parsed
from watcher.host import now_us
from watcher.record import Gap, Record
from watcher.rules.prefilter import Prefilter
from watcher.sources.journal_entry import CANARY, CANARY_ID
from watcher.sources.kmsg import KmsgSource

NOW_US = 1_790_000_000_000_000
WELL = Vitals(
    boot_id="b",
    pid=7,
    kernel="/dev/kmsg",
    canary=CanaryVitals(300, sent_s=900.0, seen_s=900.1, took_s=0.1),
    logs={"kmsg": LogVitals(5, NOW_US - 10, NOW_US, caught_up=True)},
)
SEEN = Now(WELL, pid=7, state="S", boot_id="b", clock_s=1000.0, now_us=NOW_US)


def missing(now: Now) -> list[str]:
    """What `health` would complain of."""
    return [f"{each.id}: {each.text}" for each in checks(now) if not each.ok]


def test_all_is_well() -> None:
    """And the bound is said: a canary's interval and its grace."""
    assert missing(SEEN) == []
    assert [each.id for each in checks(SEEN)] == ["daemon", "kernel_log", "reading", "canary"]
    assert within_s(WELL) == 315


CANARY_OF_300 = CanaryVitals(300, sent_s=900.0, seen_s=900.1)
WRONG: dict[str, tuple[Now, str]] = {
    "no daemon": (replace(SEEN, pid=None), "daemon: the daemon does not run"),
    "stopped": (replace(SEEN, state="T"), "daemon: the daemon (pid 7) is stopped"),
    "another run": (replace(SEEN, pid=8), "daemon: the daemon (pid 8) has recorded nothing yet"),
    "another boot": (replace(SEEN, boot_id="c"), "daemon: the daemon (pid 7) has recorded nothing"),
    "nothing told": (replace(SEEN, vitals=None), "daemon: the daemon (pid 7) has recorded nothing"),
    "no kernel line": (
        replace(SEEN, vitals=replace(WELL, kernel=None)),
        "kernel_log: the daemon sees no kernel line",
    ),
    "stands still": (
        replace(SEEN, vitals=replace(WELL, logs={"kmsg": LogVitals(5, 1, NOW_US - 16_000_000)})),
        "reading: reading kmsg stands still",
    ),
    "no canary yet": (
        replace(SEEN, vitals=replace(WELL, canary=CanaryVitals(300, sent_s=999.0))),
        "canary: no canary has come back yet: nothing proves yet",
    ),
    "canary lost": (
        replace(SEEN, vitals=replace(WELL, canary=replace(CANARY_OF_300, sent_s=980.0))),
        "canary: the last canary came back 100 s ago: what is written to the journal no longer",
    ),
    "daemon hangs": (
        replace(SEEN, clock_s=900.1 + 300 + GRACE_S + 0.1),
        "canary: the last canary came back 315 s ago: the daemon hangs",
    ),
    "no journald": (
        replace(SEEN, vitals=replace(WELL, canary=replace(CANARY_OF_300, trouble="x: refused"))),
        "canary: the journal takes no entry: x: refused",
    ),
    "a sink": (
        replace(
            SEEN,
            deliveries=(Delivery("siem", 1, 5, 3, 0, "down", NOW_US - int(BACKLOG_S * 2e6)),),
        ),
        "sink: sink siem: 5 events wait, the first for 2 h: down",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case: str) -> None:
    """Once, with what is missing."""
    now, said = WRONG[case]
    found = missing(now)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_what_may_yet_come_is_waited_for() -> None:
    """A canary on its way, one that is nearly due, a catch-up that gets on, a parked event."""
    for vitals, clock_s in (
        (replace(WELL, canary=replace(CANARY_OF_300, sent_s=990.0)), 1000.0),
        (WELL, 900.1 + 300 + GRACE_S),
        (replace(WELL, logs={"journal": LogVitals(5, 1, NOW_US - 5_000_000)}), 1000.0),
        (replace(WELL, canary=None), 9e9),
    ):
        assert missing(replace(SEEN, vitals=vitals, clock_s=clock_s)) == []
    parked = Delivery("siem", 1, 5, 3, 2, None, NOW_US - 5)
    assert missing(replace(SEEN, deliveries=(parked,))) == []


def test_without_a_canary_it_says_what_it_rests_on() -> None:
    """Nothing bounds it then but systemd's watchdog."""
    told = [each.text for each in checks(replace(SEEN, vitals=replace(WELL, canary=None)))]
    assert "no canary: that the daemon is alive rests on systemd's watchdog alone" in told
    assert within_s(replace(WELL, canary=None)) is None


def test_people_get_a_harmless_line_each() -> None:
    """What a sink's name or trouble holds moves no cursor."""
    found = (Check("sink", ok=False, text="sink \x1b[2J\n: x"), Check("a", ok=True, text="b"))
    said = for_people(found, 315)
    assert len(said.splitlines()) == 1
    assert "\x1b" not in said
    assert not is_healthy(found)
    assert for_people(found[1:], 315) == "healthy; it would be told within 315 s\n  b"


# --- the canary


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """The native socket of a journald that a test is."""
    (tmp_path / "journal").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "journal" / "socket"))
        sock.settimeout(5)
        yield sock


def sent(journal: socket.socket) -> dict[str, str]:
    """The fields of the entry that came."""
    lines = journal.recv(65536).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_only_the_canary_on_its_way_counts(journal: socket.socket, tmp_path: Path) -> None:
    """Not an old one, not one somebody made up, not the same one twice."""
    canary = Canary(300, run=tmp_path)
    assert canary.due_s() == 0
    assert not canary.heard(f"{CANARY} None")
    canary.send()
    first = sent(journal)
    assert first["MESSAGE_ID"] == CANARY_ID
    assert first["PRIORITY"] == "5", "the kernel's denials are notices; what drops those, drops it"
    assert 299 < canary.due_s() <= 300
    canary.send()
    second = sent(journal)
    assert len({first["MESSAGE"], second["MESSAGE"]}) == 2
    for forged in (first["MESSAGE"], f"{CANARY} {'0' * 32}", CANARY, ""):
        assert not canary.heard(forged)
    assert canary.vitals.seen_s is None
    assert canary.heard(second["MESSAGE"])
    assert canary.vitals.took_s is not None
    assert not canary.heard(second["MESSAGE"])


def test_a_journal_that_takes_nothing_is_trouble(journal: socket.socket, tmp_path: Path) -> None:
    """None there, one that has ended, one that hangs: said at once, and tried again sooner."""
    hung = Canary(300, run=tmp_path)
    for _ in range(10_000):
        hung.send()
        if hung.vitals.trouble:
            break
    assert "hung?" in str(hung.vitals.trouble)
    assert hung.due_s() <= 30
    journal.close()
    hung.send()
    assert "refused" in str(hung.vitals.trouble)
    none = Canary(300, "nowhere", run=tmp_path)
    none.send()
    assert none.vitals.trouble == f"{tmp_path}/journal.nowhere/socket: No such file or directory"


def test_no_canary_no_wake_up() -> None:
    """With canary_s = 0, or no journal of this machine that is followed."""
    pulse = Pulse()
    pulse.follows([], Canary(5), bool)
    pulse.told()
    pulse.beat()
    assert pulse.due_s() == float("inf")
    assert pulse.vitals.canary is None


# --- /dev/kmsg


@pytest.mark.parametrize("other", ["/dev/null", "/dev/zero", "/etc/passwd", "/etc"])
def test_another_file_in_the_place_of_kmsg_is_refused(other: str) -> None:
    """An empty one would read as a log in which nothing ever happens."""
    with pytest.raises(SourceError, match="is not the kernel's log"):
        KmsgSource(Prefilter([None]), path=other)


# --- the command


def health(config: Path, *args: str) -> tuple[int, dict[str, Any]]:
    """Ask; give the status and the answer."""
    command = [sys.executable, "-m", "watcher", "health", "--config", str(config), *args]
    done = subprocess.run(command, capture_output=True, check=False)
    assert not done.stderr, done.stderr.decode()
    return done.returncode, json.loads(done.stdout)


def wrong(answer: tuple[int, dict[str, Any]]) -> list[str]:
    """Ids of the checks that fail; the status must say the same."""
    status, told = answer
    found = [each["id"] for each in told["checks"] if not each["ok"]]
    assert status == (1 if found else 0)
    assert told["healthy"] == (not found)
    return found


KMSG = '[source]\nkind = "kmsg"\n'


def test_a_real_daemon_is_healthy_and_one_that_hangs_is_not(tmp_path: Path) -> None:
    """One that is stopped is told at once, one that is gone too, and none that ever was."""
    with Daemon(tmp_path, KMSG) as daemon:
        until(lambda: wrong(health(daemon.config)) == [], "health", 20, daemon.log.read_text)
        os.kill(daemon.pid, signal.SIGSTOP)
        assert wrong(health(daemon.config)) == ["daemon"]
        os.kill(daemon.pid, signal.SIGCONT)
        until(lambda: wrong(health(daemon.config)) == [], "health", 20)
        daemon.kill()
        assert wrong(health(daemon.config)) == ["daemon"]
    empty = tmp_path / "empty.toml"
    empty.write_text(f'[store]\ndir = "{tmp_path}/none"\n')
    assert wrong(health(empty)) == ["store"]


def test_a_store_that_may_not_be_read_is_unhealthy(tmp_path: Path) -> None:
    """To one who is not root; it says so, and does not take it for a daemon that is down."""
    if os.geteuid() != 0:
        missing_part("root, to become another user")
    with Store(tmp_path / "kept") as store:
        store.commit(events(1), {}, now_us())
    (tmp_path / "kept").chmod(0o700)
    code = (
        "import sys; from pathlib import Path; from watcher.health.report import look\n"
        "import os; os.setgid(65534); os.setuid(65534); print(look(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, check=True)
    assert b"cannot be read: [Errno 13] Permission denied" in done.stdout
    (found,), _ = look(tmp_path / "none")
    assert "has the daemon ever run?" in found.text


def test_a_process_of_any_name_is_looked_at(tmp_path: Path) -> None:
    """The state stands behind the name, which may hold brackets and blanks."""
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(tmp_path))
        store.commit([], {}, now_us())
        assert kept(tmp_path).pid == os.getpid()
        assert kept(tmp_path).state == "R"
    assert kept(tmp_path).pid is None


def test_a_long_catch_up_is_told_while_it_gets_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read for minutes without an event is no reading that stands still."""
    monkeypatch.setattr("watcher.daemon.loop.POSITION_S", 0)
    monkeypatch.setattr("watcher.daemon.pulse.TOLD_S", 0)
    told: list[str | None] = []
    event = os.eventfd(1)

    class Slow(Replay):
        def read(self) -> Iterator[list[Record | Gap]]:
            for batch in super().read():
                yield batch
                with Reading(tmp_path) as reading:
                    told.append(reading.vitals())
            stop.requested = True

        def fileno(self) -> int:
            return event

    source = Slow([kernel_record("x", at) for at in range(30)], 10)
    config, pulse = load(str(empty(tmp_path))), Pulse()
    with Stop() as stop, Store(tmp_path) as store, contextlib.closing(Faults(tmp_path)) as faults:
        log = Feed(source, PACK, 0, None)
        rest = faults, PostureWatch(), stop, print, lambda: (PACK, config), Watchdog(), pulse, dict
        WatcherDaemon(config, store, [log], *rest).run()
    os.close(event)
    seen = [vitals.logs["kmsg"] for text in told if (vitals := parsed(text))]
    assert [log.lines for log in seen] == [10, 20, 30]
    assert not any(log.caught_up for log in seen)


def empty(folder: Path) -> Path:
    """A configuration of defaults."""
    file = folder / "empty.toml"
    file.touch()
    return file
