"""`metrics`: what it counts never falls, what is hostile stays text, and idle costs nothing."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.outage.parts import Daemon, until
from tests.replay import HOST, events, feed, kernel_record
from watcher.config import check
from watcher.daemon.pulse import Pulse
from watcher.delivery.outbox import Outbox
from watcher.delivery.store import DROPPED, FILE, Store
from watcher.delivery.totals import MOST
from watcher.detect import Detector, gap_event
from watcher.errors import StoreError
from watcher.event import Event
from watcher.gaps import CAUSES
from watcher.health.canary import CanaryVitals
from watcher.health.endpoint import CONNECTIONS, TIMEOUT_S, Endpoint
from watcher.health.exposition import PREFIX, render, write
from watcher.health.figures import Family, families, gather
from watcher.health.rule_time import RuleTime
from watcher.health.vitals import LogVitals, Vitals, parsed
from watcher.host import now_us, this_host
from watcher.kinds import KINDS, SEVERITIES
from watcher.pack import load_pack
from watcher.record import Gap, Place

NOW_US = 1_790_000_000_000_000


def gap(count: int | None, cause: str = "kmsg_overrun", at_us: int = 0) -> Event:
    """A gap of so many lines."""
    return gap_event(Gap(cause, count, Place("kmsg"), HOST, NOW_US, "lost", at_us, at_us + 1))


Samples = dict[tuple[str, ...], float]


def read(text: bytes) -> dict[str, Samples]:
    """Read the text as Prometheus does: values by name, and by the values of the labels."""
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            name = sample.name.removeprefix(PREFIX)
            found.setdefault(name, {})[tuple(sample.labels.values())] = sample.value
    return found


def told(folder: Path) -> dict[str, Samples]:
    """What `metrics` tells of a store."""
    return read(render(families(gather(folder))))


# --- events and gaps


def test_events_and_gaps_are_counted_once(tmp_path: Path) -> None:
    """By kind, severity and cause, with their lines; what is read again does not count again."""
    found = [*events(3), gap(5), gap(None, at_us=9), gap(7, "journald_missed")]
    with Store(tmp_path) as store:
        store.commit(found[:4], {}, NOW_US)
        store.commit(found, {}, NOW_US)
        store.commit([found[0], found[0]], {}, NOW_US)
    metrics = told(tmp_path)
    assert nonzero(metrics["events_total"]) == {"lockdown.denied": 3, "watch.gap": 3}
    assert nonzero(metrics["events_by_severity_total"]) == {"low": 3, "medium": 3}
    assert nonzero(metrics["gaps_total"]) == {"kmsg_overrun": 2, "journald_missed": 1}
    assert nonzero(metrics["gap_lines_total"]) == {"kmsg_overrun": 5, "journald_missed": 7}


def test_what_never_happened_is_told_as_0(tmp_path: Path) -> None:
    """Prometheus sees no increase in a series that begins with 1."""
    Store(tmp_path).close()
    metrics = told(tmp_path)
    assert metrics["events_total"] == {(kind,): 0 for kind in KINDS}
    assert metrics["events_by_severity_total"] == {(severity,): 0 for severity in SEVERITIES}
    assert metrics["gaps_total"] == metrics["gap_lines_total"] == {(each,): 0 for each in CAUSES}


def test_every_cause_of_a_gap_is_known() -> None:
    """The list has all that the sources and the store make."""
    made = set()
    for file in (Path(__file__).parent.parent / "watcher").rglob("*.py"):
        text = file.read_text()
        made |= set(
            re.findall(r"(?:Gap\(|cause=|return )\s*\"((?:kmsg|journal\w*|store)_\w+)\"", text)
        )
    assert len(made) >= 6
    assert made <= set(CAUSES)


def nonzero(samples: Samples) -> dict[str, float]:
    """What has happened, by its only label."""
    return {label: value for (label,), value in samples.items() if value}


def test_counters_never_fall(tmp_path: Path) -> None:
    """Though the events are pruned and the oldest dropped."""
    with Store(tmp_path) as store:
        store.commit(events(50), {}, NOW_US)
        store.prune(NOW_US + 1)
        assert len(store) == 0
    assert sum(told(tmp_path)["events_total"].values()) == 50


def test_what_was_dropped_is_not_counted_twice(tmp_path: Path) -> None:
    """An event of dropped ones that is dropped itself is told of again, for it carries them on."""
    with Store(tmp_path) as store:
        store.keep_sinks(["slow"])
        store.commit(events(20), {}, NOW_US)
        times = itertools.count(1)
        for count in (8, 8, 5):
            store.drop_oldest(count, lambda lost: gap(lost.count, DROPPED, next(times)), NOW_US)
    metrics = told(tmp_path)
    # All 20 are gone and the first gap with them, whose 8 the last one carries on.
    assert nonzero(metrics["gap_lines_total"]) == {DROPPED: 20}


def test_a_store_of_before_is_counted(tmp_path: Path) -> None:
    """What version 1 recorded is in the totals after the migration, whatever it says."""
    huge = [gap(10**30, at_us=at) for at in range(3)]
    with Store(tmp_path) as store:
        store.commit([*events(4), gap(5, "journald_missed"), *huge], {}, NOW_US)
    before = told(tmp_path)
    assert before["gap_lines_total"][("kmsg_overrun",)] == MOST
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as db:
        first = ("events", "positions", "sinks", "parked", "sqlite_sequence")
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            if name not in first:
                db.execute(f"DROP TABLE {name}")
        db.execute("PRAGMA user_version = 1")
    with pytest.raises(StoreError, match="a daemon of this version has not run yet"):
        gather(tmp_path)
    Store(tmp_path).close()
    after = told(tmp_path)
    for name in ("events_total", "gaps_total", "gap_lines_total"):
        assert after[name] == before[name], name


# --- sinks


def test_sinks_are_told_with_hostile_names(tmp_path: Path) -> None:
    """What waits, for how long, what was delivered and set aside; a name opens no line."""
    name = 'a"} 1\nlockdown_watcher_up 7\\'
    with Store(tmp_path) as store:
        store.keep_sinks([name])
        store.commit(events(5), {}, now_us() - 90_000_000)
        with contextlib.closing(Outbox(store.path, name)) as outbox:
            first = outbox.waiting(2)
            outbox.settle(first[:1], [(first[1], "no")], NOW_US)
            outbox.failed("down")
    metrics = told(tmp_path)
    assert metrics["up"] == {(): 0}
    assert metrics["sink_waiting_events"] == {(name,): 3}
    assert 90 <= metrics["sink_oldest_waiting_seconds"][(name,)] < 100
    assert metrics["sink_delivered_events_total"] == {(name,): 1}
    assert metrics["sink_retries_total"] == {(name,): 1}
    assert metrics["sink_parked_events"] == {(name,): 1}


def test_half_a_character_is_written_as_text() -> None:
    """What no UTF-8 can be made of stops no scrape."""
    text = render([Family("x", "x", ("a",), [(("b\udcff",), 1.0)])])
    assert read(text)["x"] == {("b\\udcff",): 1}


# --- the machine


def test_states_are_told_with_all_they_might_be(tmp_path: Path) -> None:
    """Each level, cause and state has a series, and exactly one of each is 1."""
    metrics = told(tmp_path)
    for name, one in (
        ("lockdown_level", "integrity"),
        ("lockdown_cause", "efi_secure_boot"),
        ("secure_boot", "enabled"),
    ):
        assert (one,) in metrics[name]
        assert ("unknown",) in metrics[name]
        assert sorted(metrics[name].values())[-2:] == [0, 1], name


def test_the_cause_is_what_the_kernel_announced(tmp_path: Path) -> None:
    """In this boot; of another one it says nothing."""
    boot = this_host().boot_id
    for boot_id, known in ((boot, True), ("0" * 32, False)):
        with Store(tmp_path) as store:
            vitals = Vitals(boot_id=boot_id, cause="power")
            store.commit([], {}, NOW_US, vitals.text())
        found = gather(tmp_path)
        locked = found.posture.level not in (None, "none")
        told_of = {each.name: each for each in families(found)}["lockdown_cause"]
        assert ((("power",), 1.0) in told_of.samples) == (known and locked)


def test_no_store_is_no_daemon(tmp_path: Path) -> None:
    """The machine's figures are there all the same; a store that cannot be read is an error."""
    metrics = told(tmp_path / "none")
    assert metrics["up"] == {(): 0}
    assert "lockdown_level" in metrics
    (tmp_path / FILE).write_bytes(b"x" * 5000)
    with pytest.raises(StoreError, match="cannot be read"):
        gather(tmp_path)


# --- what the daemon knows


@pytest.mark.parametrize(
    ("log", "lag_s"),
    [
        (LogVitals(), 0),
        (LogVitals(1, 90, 100, caught_up=True), 0),
        (LogVitals(1, 40_000_090, 42_000_090, caught_up=True), 2),
        (LogVitals(1, 1_000_000, 42_000_000, caught_up=True), 32),  # before the start, at 10 s
        (LogVitals(1, 1_000_000, 42_000_000, caught_up=False), 49),
        (LogVitals(1, 99_000_000, 42_000_000, caught_up=True), 0),  # a clock set back
    ],
)
def test_lag(log: LogVitals, lag_s: float) -> None:
    """How late the last line was read; while catching up, how old the last one is now."""
    assert log.lag_s(10_000_000, 50_000_000) == pytest.approx(lag_s, abs=0.001)


def test_vitals_survive_the_store() -> None:
    """What is written is read; what is not of this version is as good as nothing."""
    vitals = Vitals(
        cause="ipl",
        canary=CanaryVitals(300, 1.5, None, None, "no socket"),
        logs={"kmsg": LogVitals(3, 4, 5, caught_up=True)},
        rules={"r": ("t", 0.5)},
    )
    read_back = parsed(vitals.text())
    assert read_back is not None
    assert (read_back.logs, read_back.canary) == (vitals.logs, vitals.canary)
    assert list(read_back.rules["r"]) == ["t", 0.5]
    for text in (None, "", "[]", "{}", '{"logs": {"kmsg": {"new": 1}}}', '{"logs": 5}'):
        assert parsed(text) is None


def test_an_idle_daemon_has_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has told how it started; what changes is told once in 5 s, with no wake-up else."""
    now = 1000.0
    monkeypatch.setattr("watcher.daemon.pulse.time.monotonic", lambda: now)
    pulse = Pulse()
    assert pulse.due_s() == 0
    assert pulse.told()
    assert (pulse.due_s(), pulse.told()) == (float("inf"), None)
    with contextlib.closing(feed([kernel_record("x", at) for at in range(20)], None)) as log:
        for _ in log.batches():
            pulse.read("kmsg", log.source, caught_up=False)
        pulse.read("kmsg", log.source, caught_up=True)
        assert pulse.due_s() == 5
        assert pulse.told() is None
        now += 5
        assert '"lines": 20' in (pulse.told() or "")
        pulse.read("kmsg", log.source, caught_up=True)
        assert pulse.due_s() == float("inf")


def test_what_the_journal_shows_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was seen once, and may have been vacuumed since; not more than once a minute."""
    now, shown, looked = 1000.0, True, 0

    def shows() -> bool:
        nonlocal looked
        looked += 1
        return shown

    def kernel_at(now_s: float) -> str | None:
        nonlocal now
        now = now_s
        pulse._changed = True
        vitals = parsed(pulse.told())
        assert vitals
        return vitals.kernel

    monkeypatch.setattr("watcher.daemon.pulse.time.monotonic", lambda: now)
    pulse = Pulse()
    pulse.follows([], None, shows)
    assert kernel_at(1000.0) == "the journal"
    shown = False
    assert kernel_at(1055.0) == "the journal"
    assert looked == 1
    assert kernel_at(1060.0) is None
    shown = True
    assert kernel_at(1065.0) == "the journal"


def test_a_folder_of_files_is_told_of_as_one_log() -> None:
    """Its files may be thousands, and each would be a series."""
    pulse = Pulse()
    for number in range(3):
        with contextlib.closing(feed([kernel_record("x", 1)], None)) as log:
            assert list(log.batches())
            pulse.read(f"journal {number}", log.source, caught_up=True)
    assert pulse.vitals.logs.keys() == {"journal"}
    assert pulse.vitals.logs["journal"].lines == 3


def test_rules_are_timed_and_decide_the_same() -> None:
    """A timed pack makes the same events, and knows the rule that took its time; a reload adds."""
    pack, rule_time = load_pack(), RuleTime()
    records = [
        kernel_record("Lockdown: x: hibernation is restricted; see man kernel_lockdown.7", 1),
        kernel_record("nothing", 2),
    ]
    timed = rule_time.timed(pack)
    plain, clocked = (
        [event for record in records for event in Detector(each).events(record)]
        for each in (pack, timed)
    )
    assert plain == clocked
    spent = {rule: s for rule, (_, s) in rule_time.seconds().items() if s}
    assert set(spent) >= {rule.id for rule in plain[0].rules}
    rule_time.timed(replace(pack, rules=pack.rules[:5]))
    assert len(rule_time.seconds()) == 5
    assert all(s == spent.get(rule, 0) for rule, (_, s) in rule_time.seconds().items())


# --- the command


def run(*args: str, config: Path) -> subprocess.CompletedProcess[bytes]:
    """Run `metrics`."""
    command = [sys.executable, "-m", "watcher", "metrics", "--config", str(config), *args]
    return subprocess.run(command, capture_output=True, check=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose store holds events."""
    file = tmp_path / "c.toml"
    file.write_text(f'[store]\ndir = "{tmp_path}"\n')
    with Store(tmp_path) as store:
        store.commit(events(2), {}, NOW_US)
    return file


def test_a_file_for_node_exporter(config: Path, tmp_path: Path) -> None:
    """Whole, for all to read, and nothing beside it; on stdout the same."""
    target = tmp_path / "lw.prom"
    target.write_text("old")
    assert run("--write", str(target), config=config).returncode == 0
    assert target.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.glob("*prom*")) == [target]
    assert not list(tmp_path.glob(".lw*"))
    assert read(target.read_bytes()).keys() == read(run(config=config).stdout).keys()


def test_a_file_that_cannot_be_written_is_one_line(config: Path, tmp_path: Path) -> None:
    """With status 2; a folder in its place is left as it is."""
    for target in (tmp_path / "none" / "x.prom", tmp_path, Path(), Path("/")):
        done = run("--write", str(target), config=config)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert b"cannot be written" in done.stderr
    assert not [each for each in tmp_path.parent.iterdir() if each.name.startswith(f".{tmp_path}")]


def test_write_leaves_the_old_file_where_it_fails(tmp_path: Path) -> None:
    """A full disk costs the new figures, not the old file."""
    target = tmp_path / "x.prom"
    target.write_text("old")
    limited = (
        "import resource, sys; from pathlib import Path\n"
        "from watcher.health.exposition import write\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "write(b'new', Path(sys.argv[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, str(target)], capture_output=True, check=False
    )
    assert b"cannot be written" in done.stderr
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_it_writes_through_no_link(tmp_path: Path) -> None:
    """The folder may be the exporter's own, and whoever owns it may know our number."""
    target, victim = tmp_path / "x.prom", tmp_path / "victim"
    victim.write_text("dear")
    victim.chmod(0o600)
    (tmp_path / f".x.prom.{os.getpid()}").symlink_to(victim)
    write(b"new", target)
    assert target.read_text() == "new"
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("dear", 0o600)


# --- HTTP


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """One that answers with little."""
    found = Endpoint(("127.0.0.1", 0), lambda: b"x 1\n")
    yield found
    found.close()


def get(port: int, path: str = "/metrics") -> Any:
    """Ask for it."""
    return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10)


def test_the_endpoint_answers(endpoint: Endpoint) -> None:
    """As text, and for nothing but the metrics."""
    with get(endpoint.port) as answer:
        assert answer.read() == b"x 1\n"
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "Python" not in answer.headers["Server"]
    for path in ("/etc/passwd", "/../x", "/metricsx"):
        with pytest.raises(urllib.error.HTTPError) as error:
            get(endpoint.port, path)
        assert error.value.code == 404
        error.value.close()


@pytest.mark.parametrize(
    ("method", "host", "status", "body"),
    [
        ("GET", "localhost:9773", 200, b"x 1\n"),
        ("GET", "LOCALHOST", 200, b"x 1\n"),
        ("GET", "127.0.0.1:1", 200, b"x 1\n"),
        ("GET", "[::1]:9773", 200, b"x 1\n"),
        ("GET", "evil.example:9773", 421, b"ask for localhost, or by the address\n"),
        ("GET", "127.0.0.1.evil.example", 421, b"ask for localhost, or by the address\n"),
        ("GET", "localhost.evil.example", 421, b"ask for localhost, or by the address\n"),
        ("HEAD", "localhost", 200, b""),
        ("HEAD", "evil.example", 421, b""),
    ],
)
def test_only_loopback_by_name(
    endpoint: Endpoint, method: str, host: str, status: int, body: bytes
) -> None:
    """A page in a browser here may make its own name lead to 127.0.0.1: it is refused by it."""
    answer = asked(endpoint.port, method, host)
    assert (answer.status, answer.read()) == (status, body)
    if method == "HEAD" and status == 200:
        assert answer.headers["Content-Length"] == "4"


def test_what_is_open_to_the_network_has_any_name() -> None:
    """Whoever opened it knows by what name it is asked."""
    with contextlib.closing(Endpoint(("0.0.0.0", 0), lambda: b"x 1\n")) as found:
        assert asked(found.port, "GET", "fleet.example").status == 200


def asked(port: int, method: str, host: str) -> http.client.HTTPResponse:
    """Ask by another name than the one connected to."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, "/metrics", headers={"Host": host, "Connection": "close"})
    return connection.getresponse()


def test_nobody_keeps_others_from_the_answer(endpoint: Endpoint) -> None:
    """Though he connects more often than is served at a time, and never says what he wants."""
    with contextlib.ExitStack() as stack:
        socks = [
            stack.enter_context(socket.create_connection(("127.0.0.1", endpoint.port)))
            for _ in range(3 * CONNECTIONS)
        ]
        for sock in socks:
            sock.sendall(b"GET /met")
        with get(endpoint.port) as answer:
            assert answer.status == 200
        for sock in socks[: 2 * CONNECTIONS]:  # let go long before their time is up
            sock.settimeout(TIMEOUT_S / 2)
            assert sock.recv(1) == b""


def test_a_closed_endpoint_listens_no_more(endpoint: Endpoint) -> None:
    """Its port is free at once."""
    port = endpoint.port
    endpoint.close()
    until(lambda: not _listens(port), "the port to be free", 5)
    Endpoint(("127.0.0.1", port), lambda: b"").close()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_a_daemon_without_metrics_loads_nothing_for_them() -> None:
    """Neither Prometheus's library nor an HTTP server."""
    code = (
        "import sys, watcher.daemon.service, watcher.daemon.pulse as p; q = p.Pulse()\n"
        "q.open('', None, print); q.told(); q.close()\n"
        "print([m for m in ('prometheus_client', 'http.server') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('listen = "0.0.0.0:9773"', "open_to_network = true if that is meant"),
        ('listen = "[::]:9773"', "open_to_network = true if that is meant"),
        ('listen = "localhost:9773"', "must be an IP address and a port"),
        ('listen = "9773"', "must be an IP address and a port"),
        ('listen = "127.0.0.1:"', "a port from 1 to 65535"),
        ('listen = "127.0.0.1:99999"', "a port from 1 to 65535"),
        ('listen = "127.0.0.1:9773"', None),
        ('listen = "[::1]:9773"', None),
        ('listen = "0.0.0.0:9773"\nopen_to_network = true', None),
    ],
)
def test_where_it_may_listen(text: str, said: str | None, tmp_path: Path) -> None:
    """On loopback, unless another address was meant outright."""
    file = tmp_path / "c.toml"
    file.write_text(f"[metrics]\n{text}\n")
    found = [str(fault) for fault in check(str(file), open_sinks=True)[1]]
    assert (said is None) == (not found), found
    assert said is None or said in found[0]


KMSG = '[source]\nkind = "kmsg"\n'


def test_a_daemon_tells_the_same_by_http_and_from_its_store(tmp_path: Path) -> None:
    """Lines read, lag and rules too, within seconds; after its end the store tells of them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    listen = f'[metrics]\nlisten = "127.0.0.1:{port}"\n'
    with Daemon(tmp_path, KMSG + listen) as daemon:
        until(lambda: _listens(port), "the endpoint", why=daemon.log.read_text)
        until(lambda: b"log_lines" in _scraped(port) and _caught_up(port), "the first lines")
        live = read(_scraped(port))
        assert live["up"] == {(): 1}
        assert live["lag_seconds"][("kmsg",)] < 5
        assert live["rule_seconds_total"]
        until(lambda: told(daemon.state).get("log_lines_total") is not None, "it to be stored", 10)
        assert told(daemon.state)["up"] == {(): 1}
        daemon.stop()
    stored = told(daemon.state)
    assert stored.pop("up") == {(): 0}
    assert set(stored) >= set(live) - {"up"}
    assert stored["log_lines_total"][("kmsg",)] >= live["log_lines_total"][("kmsg",)]


def _scraped(port: int) -> bytes:
    with get(port) as answer:
        return bytes(answer.read())


def _caught_up(port: int) -> bool:
    return read(_scraped(port)).get("caught_up", {}).get(("kmsg",)) == 1


def test_a_port_that_is_taken_stops_no_daemon(tmp_path: Path) -> None:
    """It says so, and records."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listen = f'[metrics]\nlisten = "127.0.0.1:{server.getsockname()[1]}"\n'
        with Daemon(tmp_path, KMSG + listen) as daemon:
            until(lambda: "no metrics: 127.0.0.1" in daemon.log.read_text(), "a word")
            until((daemon.state / FILE).exists, "the store")
            time.sleep(0.2)
            assert daemon.stop() < 5
