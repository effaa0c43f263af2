"""docs/fleet.md: its configurations, as they stand there but for addresses and paths, at work."""

from __future__ import annotations

import json
import re
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.events import HOSTILE, hostile, parcels
from tests.journal.real import REMOTE, START_US, build, line, lockdown_line, need, need_root
from tests.outage.parts import Daemon
from tests.pki import Pki
from tests.scripted import free_port
from tests.sinks.servers import Server, rsyslog, rsyslog_tls, tcp, until
from watcher.sinks import syslog
from watcher.sinks.sink import Delivered

PAGE = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text()
UPLOAD = Path("/lib/systemd/systemd-journal-upload")
MACHINES = {"alpha": "a" * 32, "omega": "b" * 32}


def block(language: str, having: str = "") -> str:
    """The page's block in a language, the one that has a text in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (found,) = [text for text in blocks if having in text]
    return str(found)


def placed(text: str, **places: str) -> str:
    """The text with each of these, which must all occur, replaced."""
    for old, new in places.items():
        assert old in text
        text = text.replace(old, new)
    return text


# --- rsyslog


def test_rsyslog_carries_events_on(tmp_path: Path, pki: Pki) -> None:
    """Taken while the receiver is down, kept, and all there when it is up; letter by letter.

    rsyslog itself sends one message again when a connection comes back: the ids tell.
    """
    port, edge, centre = free_port(), tmp_path / "edge", tmp_path / "centre"
    edge.mkdir()
    centre.mkdir()
    conf = placed(block("rsyslog-host"), **{
        "/run/lockdown-watcher.sock": f"{edge}/sock",
        'Target="siem.example.org" Port="6514"': f'Target="127.0.0.1" Port="{port}"',
        'Peers="siem.example.org"': 'Peers="localhost"',
        "/etc/rsyslog.d/ca.pem": pki.ca,
        "/etc/rsyslog.d/host.pem": pki.client,
        "/etc/rsyslog.d/host.key": pki.client,
        'Interval="5"': 'Interval="1"',
    })  # fmt: skip
    (table,) = tomllib.loads(block("toml", "unix:"))["sink"]
    table["address"] = placed(table["address"], **{"/run/lockdown-watcher.sock": f"{edge}/sock"})
    near = rsyslog(f'module(load="imuxsock" SysSock.Use="off")\n{conf}', edge)
    far = rsyslog_tls("gtls", port, centre, pki)
    sink = syslog.open_sink(syslog.Options(**table))
    batch = parcels(hostile())
    near.start((edge / "sock").exists)
    try:
        assert sink.deliver(batch) == [Delivered()] * len(HOSTILE)
        time.sleep(1.5)  # long enough for a try that fails
        far.start(tcp(port))
        until(lambda: len({row["msg"] for row in far.rows()}) == len(HOSTILE), why=near.complaint)
    finally:
        sink.close()
        near.stop()
        far.stop()
    texts = dict.fromkeys(row["msg"] for row in far.rows())
    assert [json.loads(text) for text in texts] == [parcel.event for parcel in batch]
    assert all("lockdown@32473" in row["sd"] for row in far.rows())
    assert {row["msgid"] for row in far.rows()} == {"lockdown.denied"}


# --- the Collector


def test_the_collector_s_names_fit_together() -> None:
    """All that its service names is there, and nothing else is."""
    conf = yaml.safe_load(block("yaml"))
    service, pipeline = conf.pop("service"), {}
    pipeline = service["pipelines"]["logs"] | {"extensions": service["extensions"]}
    assert {part: list(conf[part]) for part in conf} == pipeline
    assert conf["exporters"]["otlphttp"]["sending_queue"]["storage"] in conf["extensions"]
    endpoint = conf["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    (table,) = tomllib.loads(block("toml", "otlp"))["sink"]
    assert table["url"] == f"http://{endpoint}"


# --- journals


def under_conf(name: str, conf: str, folder: Path, *argv: str) -> Server:
    """A program of systemd with /etc/systemd/NAME.conf of its own, in a mount namespace."""
    need_root()
    here, target = folder / f"{name}.conf", Path("/etc/systemd", f"{name}.conf")
    need(target)
    here.write_text(conf)
    folder = folder / name
    folder.mkdir()
    script = f'mount --bind "{here}" "{target}" && exec "$@"'
    return Server(["unshare", "-m", "sh", "-c", script, "sh", *argv], folder)


def remote(folder: Path, port: int, pki: Pki) -> Server:
    """systemd-journal-remote as the page sets it up; it writes to folder/remote."""
    need(REMOTE)
    (folder / "remote").mkdir()
    conf = placed(block("journal-remote"), **{
        "/etc/ssl/private/journal-remote.pem": pki.server_key,
        "/etc/ssl/certs/journal-remote.pem": pki.server,
        "/etc/ssl/ca/trusted.pem": pki.ca,
    })  # fmt: skip
    listen = (f"--listen-https=127.0.0.1:{port}", f"--output={folder}/remote")
    return under_conf("journal-remote", conf, folder, str(REMOTE), *listen)


def upload(folder: Path, port: int, pki: Pki, certificate: str, trust: str = "") -> Server:
    """systemd-journal-upload as the page sets it up; it reads folder/journal."""
    need(UPLOAD)
    conf = placed(block("journal-upload"), **{
        "logs.example.org:19532": f"127.0.0.1:{port}",
        "/etc/ssl/private/journal-upload.pem": certificate,
        "/etc/ssl/certs/journal-upload.pem": certificate,
        "/etc/ssl/ca/trusted.pem": trust or pki.ca,
    })  # fmt: skip
    argv = (f"--directory={folder}/journal", f"--save-state={folder}/state")
    return under_conf("journal-upload", conf, folder, str(UPLOAD), *argv)


def grow(folder: Path, machine: str, *names: str) -> None:
    """Kernel lines of a machine, a minute old, into folder/journal."""
    (folder / "journal").mkdir(parents=True, exist_ok=True)
    now_us = time.time_ns() // 1000 - START_US - 60_000_000
    lines = [
        [(key, MACHINES[machine] if key == "_MACHINE_ID" else value) for key, value in found]
        for number, name in enumerate(names)
        for found in [line(lockdown_line(name), now_us + number, boot=MACHINES[machine][::-1])]
    ]
    build(folder / "journal" / "system.journal", lines)


def delivered(folder: Path) -> list[dict[str, Any]]:
    """The events in the file that the watcher writes."""
    file = folder / "events.jsonl"
    return [json.loads(text) for text in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def central(tmp_path: Path) -> Daemon:
    """The watcher in the middle, not started."""
    config = placed(block("toml", "journal_dir"), **{
        "/var/log/journal/remote": f"{tmp_path}/remote",
        "/var/log/lockdown-watcher/events.jsonl": f"{tmp_path}/events.jsonl",
    })  # fmt: skip
    return Daemon(tmp_path, config)


def test_journals_of_two_machines(tmp_path: Path, pki: Pki, central: Daemon) -> None:
    """One after the other, the later one with older lines, and on after a restart; each once."""
    port, alpha, omega = free_port(), tmp_path / "alpha", tmp_path / "omega"
    grow(alpha, "alpha", "alpha1", "alpha2")
    grow(omega, "omega", "omega1", "omega2")
    receiver = remote(tmp_path, port, pki)
    senders = [upload(folder, port, pki, pki.client) for folder in (omega, alpha)]
    receiver.start(tcp(port))
    try:
        with central:
            senders[0].start(lambda: True)
            arrive(tmp_path, senders[0], "omega1", "omega2")
            senders[1].start(lambda: True)
            arrive(tmp_path, senders[1], "omega1", "omega2", "alpha1", "alpha2")
            central.stop()
        grow(alpha, "alpha", "alpha3")
        with central:
            arrive(tmp_path, senders[1], "omega1", "omega2", "alpha1", "alpha2", "alpha3")
            central.stop()
    finally:
        for server in (*senders, receiver):
            server.stop()
    assert {event["kind"] for event in delivered(tmp_path)} == {"lockdown.denied"}
    assert "Traceback" not in central.log.read_text()


def arrive(folder: Path, sender: Server, *names: str) -> None:
    """Wait until these are delivered, each once and as its own machine's."""

    def seen() -> list[tuple[str, str]]:
        return [(e["process"]["comm"], e["host"]["machine_id"]) for e in delivered(folder)]

    until(lambda: len(seen()) >= len(names), why=lambda: f"{seen()} {sender.complaint()}")
    assert seen() == [(name, MACHINES[name[:-1]]) for name in names]


def test_a_stranger_s_journal(tmp_path: Path, pki: Pki) -> None:
    """The page's warning holds: who checks no certificates says so, and takes a stranger's."""
    port, folder = free_port(), tmp_path / "alpha"
    grow(folder, "alpha", "alpha1")
    receiver = remote(tmp_path, port, pki).start(tcp(port))
    sender = upload(folder, port, pki, pki.stranger).start(lambda: True)
    checks = "Certificate checking disabled" not in receiver.complaint()
    try:
        if checks:
            until(lambda: "rror" in sender.complaint(), why=sender.complaint)
        else:
            until((folder / "state").exists, why=sender.complaint)
    finally:
        sender.stop()
        receiver.stop()
    assert checks != bool(list((tmp_path / "remote").glob("*.journal")))


def test_a_stranger_s_receiver_gets_nothing(tmp_path: Path, pki: Pki) -> None:
    """A machine sends nothing to a host whose certificate is not of its authority."""
    port, folder = free_port(), tmp_path / "alpha"
    grow(folder, "alpha", "alpha1")
    receiver = remote(tmp_path, port, pki).start(tcp(port))
    sender = upload(folder, port, pki, pki.client, trust=pki.stranger).start(lambda: True)
    try:
        until(lambda: "certificate" in sender.complaint().lower(), why=sender.complaint)
    finally:
        sender.stop()
        receiver.stop()
    assert not list((tmp_path / "remote").glob("*.journal"))
