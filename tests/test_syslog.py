"""Syslog: messages as RFC 5424 wants them, and what a receiver's silence can and cannot tell."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.events import HOSTILE, every_kind, golden, hostile, made, numbered, parcels
from tests.pki import Pki
from tests.scripted import free_port
from watcher.encodings.brief import NOTE
from watcher.errors import UsageError
from watcher.event import HostPart, Process
from watcher.sinks import syslog
from watcher.sinks.network import reason_of
from watcher.sinks.sink import Delivered, Refused, Retry, Sink
from watcher.sinks.syslog_message import Form, message

FORM = Form(facility="daemon", enterprise=32473, encoding="native", most=8192, pid=42)
MESSAGE = re.compile(
    rb"<(\d{1,3})>1 (\S+) (\S+) lockdown-watcher 42 ([!-~]{1,32})"
    rb' (\[lockdown@32473(?: [!-<>-~]{1,32}="(?:\\.|[^\\"\]])*")*\]) (.*)',
    re.DOTALL,
)


def opened(address: str, **more: Any) -> Sink:
    """A syslog sink, patient for two seconds."""
    options = {"kind": "syslog", "address": address, "timeout_s": 2, **more}
    return syslog.open_sink(syslog.Options(**options))


def parsed(text: bytes | None) -> tuple[re.Match[bytes], dict[str, str]]:
    """A message taken apart by the RFC's grammar: the parts, and its parameters unescaped."""
    assert text is not None
    found = MESSAGE.fullmatch(text)
    assert found, text
    pairs = re.findall(rb' ([!-<>-~]+)="((?:\\.|[^\\"\]])*)"', found[5])
    unescaped = {key.decode(): re.sub(r"\\(.)", r"\1", value.decode()) for key, value in pairs}
    return found, unescaped


# --- messages


def test_every_event_is_a_message() -> None:
    """Header, structured data and MSG of every golden event and every kind."""
    for event in golden() + every_kind():
        found, parameters = parsed(message(FORM, event))
        assert found[4].decode() == event["kind"]
        assert parameters["id"] == event["id"]
        assert json.loads(found[6]) == event


@pytest.mark.parametrize(
    ("severity", "priority"),
    [("informational", 30), ("low", 29), ("medium", 28), ("high", 27), ("critical", 26)],
)
def test_priority(severity: str, priority: int) -> None:
    """Facility daemon, and the event's severity in syslog's own words."""
    found, _ = parsed(message(FORM, json.loads(made(severity=severity).json_line())))
    assert int(found[1]) == priority


@pytest.mark.parametrize("comm", HOSTILE)
def test_hostile_names(comm: str) -> None:
    """A hostile name is one parameter's value and cannot end it; controls are shown."""
    event = json.loads(made(process=Process(comm=comm)).json_line())
    text = message(FORM, event)
    found, parameters = parsed(text)
    assert not re.search(rb"[\x00-\x1f\x7f]", text or b"")
    assert json.loads(found[6])["process"]["comm"] == comm
    shown = comm.replace("\n", "\\x0a").replace("\x1b", "\\x1b").replace("\x07", "\\x07")
    assert parameters["comm"] == shown.replace("\x9b", "\\u009b").replace("\u202e", "\\u202e")


@given(st.text(), st.text())
def test_any_text(comm: str, host: str) -> None:
    """Whatever the names: one message of the RFC's grammar."""
    event = json.loads(made().json_line())
    event |= {"process": {"comm": comm, "pid": None}, "host": event["host"] | {"name": host}}
    parsed(message(FORM, event))


def test_utf8_is_marked() -> None:
    """JSON is plain ASCII and unmarked; CEF with other letters begins with the UTF-8 mark."""
    plain, cef = FORM, replace(FORM, encoding="cef")
    event = json.loads(made(process=Process(comm="é")).json_line())
    assert b"\xef\xbb\xbf" not in (message(plain, event) or b"")
    assert b"] \xef\xbb\xbfCEF:0|" in (message(cef, event) or b"")
    ordinary = json.loads(made().json_line())
    assert b"] CEF:0|" in (message(cef, ordinary) or b"")


def test_time_and_host_may_be_absent() -> None:
    """Without a date the time seen stands there and it says so; without a host, `-`."""
    event = json.loads(made(time=None, host=HostPart()).json_line())
    found, parameters = parsed(message(FORM, event))
    assert (found[2], found[3]) == (b"2026-11-20T10:00:01.000001Z", b"-")
    assert parameters["timeSource"] == "observed"


def test_long_events_are_shortened_and_say_so() -> None:
    """Nothing is cut in silence: a shortened event tells of it in MSG and structured data."""
    event = json.loads(made(message="Lockdown: " + "x" * 50_000).json_line())
    text = message(FORM, event)
    found, parameters = parsed(text)
    assert len(text or b"") <= FORM.most
    assert parameters["shortened"] == "1"
    assert json.loads(found[6])["warnings"] == [NOTE]
    assert json.loads(found[6])["id"] == event["id"]


def test_far_too_long_events_are_refused() -> None:
    """What is too long even shortened is refused alone; its neighbours go."""
    fields = {f"name{n}": "x" * 200 for n in range(60)}
    batch = parcels([made(number=1), made(number=2, fields=fields), made(number=3)])
    with receiving(socket.SOCK_DGRAM) as (address, _):
        sink = opened(f"udp://{address}")
        found = sink.deliver(batch)
        sink.close()
    too_long = Refused("cannot be encoded: longer than max_bytes (8192), even shortened")
    assert found == [Delivered(), too_long, Delivered()]


# --- options


@pytest.mark.parametrize(
    "address",
    ["siem:514", "http://siem", "tcp://", "udp://siem:x", "unix://dev/log", "tcp://siem/path",
     "tls://siem:99999", "tcp://siem:0", "tcp://a..b", "tls://.siem", f"udp://{'x' * 64}"],
)  # fmt: skip
def test_wrong_addresses(address: str) -> None:
    """An address that is none is a config error."""
    with pytest.raises(ValidationError, match="address"):
        opened(address)


def test_wrong_certificates(tmp_path: Path, pki: Pki) -> None:
    """A certificate that cannot be used is told at the start, with its file."""
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(UsageError, match=r"junk\.pem"):
        opened("tls://127.0.0.1", ca_file=str(tmp_path / "junk.pem"))
    with pytest.raises(UsageError, match=r"ca\.pem"):
        opened("tls://127.0.0.1", cert_file=pki.ca)
    with pytest.raises(ValidationError, match="key_file needs cert_file"):
        opened("tls://127.0.0.1", key_file=pki.server_key)


# --- the wire


@contextlib.contextmanager
def receiving(
    kind: socket.SocketKind, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[bytes]]]:
    """A plain receiver on loopback: its address, and what it got (one piece a read)."""
    got: list[bytes] = []
    server = socket.socket(socket.AF_INET, kind)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            source = server
            if kind == socket.SOCK_STREAM:
                source, _ = server.accept()
                source = tls.wrap_socket(source, server_side=True) if tls else source
            with source:
                while data := source.recv(65_536):
                    got.append(data)

    if kind == socket.SOCK_STREAM:
        server.listen()
    thread = threading.Thread(target=serve)
    thread.start()
    host, port = server.getsockname()
    try:
        yield f"{host}:{port}", got
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        if kind == socket.SOCK_DGRAM:
            with socket.socket(socket.AF_INET, kind) as knock:
                knock.sendto(b"", (host, port))
        thread.join()
        server.close()


def frames(data: bytes) -> list[bytes]:
    """Octet-counted frames taken apart."""
    found = []
    while data:
        count, _, data = data.partition(b" ")
        found.append(data[: int(count)])
        data = data[int(count) :]
    return found


def test_udp() -> None:
    """One datagram an event."""
    with receiving(socket.SOCK_DGRAM) as (address, got):
        sink = opened(f"udp://{address}")
        assert sink.deliver(parcels(hostile())) == [Delivered()] * len(HOSTILE)
        sink.close()
        until(lambda: len(got) == len(HOSTILE))
    assert all(text.startswith(b"<28>1 ") for text in got)


def test_udp_nobody_there() -> None:
    """A closed port is noticed, and all goes again, for the complaint is about the past."""
    sink = opened(f"udp://127.0.0.1:{free_port()}")
    found = sink.deliver(numbered(3))
    sink.close()
    assert [type(verdict) for verdict in found] == [Retry] * 3
    assert "Connection refused" in found[0].reason  # type: ignore[union-attr]


def test_tcp_frames() -> None:
    """Octet counting: hostile names cannot start a message of their own."""
    with receiving(socket.SOCK_STREAM) as (address, got):
        sink = opened(f"tcp://{address}", encoding="cef")
        assert sink.deliver(parcels(hostile())) == [Delivered()] * len(HOSTILE)
        sink.close()
        until(lambda: len(frames(b"".join(got))) == len(HOSTILE))
    assert all(b"CEF:0|" in frame for frame in frames(b"".join(got)))


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_nobody_there(scheme: str) -> None:
    """A closed port: again later, and it says which."""
    port = free_port()
    sink = opened(f"{scheme}://127.0.0.1:{port}")
    assert sink.deliver(numbered(2)) == [Retry(f"127.0.0.1:{port}: Connection refused")] * 2
    sink.close()


def test_a_dead_connection_is_noticed_before_it_is_used() -> None:
    """A receiver that closed meanwhile costs nothing: the next batch goes over a new connection."""
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as server:
            sink = opened(f"tcp://127.0.0.1:{server.getsockname()[1]}")
            assert sink.deliver(numbered(1)) == [Delivered()]
            first, _ = server.accept()
            first.recv(65_536)
            first.close()
            assert sink.deliver(numbered(1)) == [Delivered()]
            second, _ = server.accept()
            assert len(frames(second.recv(65_536))) == 1
            second.close()
            sink.close()


def test_a_receiver_that_closes_at_once_has_nothing() -> None:
    """A receiver that closes after taking the connection gave no receipt: all goes again."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def slam() -> None:
            sock, _ = server.accept()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()

        thread = threading.Thread(target=slam)
        thread.start()
        sink = opened(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        found = sink.deliver(numbered(400))
        sink.close()
        thread.join()
    assert len(found) == 400
    assert len(set(found)) == 1


def own_s() -> float:
    """Seconds by the clock less those in which this thread waited for a processor: other tests'."""
    waited_ns = Path("/proc/thread-self/schedstat").read_text().split()[1]
    return time.monotonic() - int(waited_ns) / 1e9


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_hung(scheme: str, pki: Pki) -> None:
    """A receiver that reads nothing costs the timeout and no more, once its buffers are full."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = opened(
            f"{scheme}://127.0.0.1:{server.getsockname()[1]}", timeout_s=0.5, ca_file=pki.ca
        )
        began = own_s()
        found = sink.deliver(numbered(9000))
        assert own_s() - began < 3
        sink.close()
    assert {type(verdict) for verdict in found} == {Retry}
    assert found[0].reason.endswith(": timed out")  # type: ignore[union-attr]


def test_tls(pki: Pki) -> None:
    """Frames over TLS, and a goodbye at the end that the receiver understands."""
    with receiving(socket.SOCK_STREAM, pki.server_context()) as (address, got):
        sink = opened(f"tls://{address}", ca_file=pki.ca)
        assert sink.deliver(parcels(hostile())) == [Delivered()] * len(HOSTILE)
        assert sink.deliver(numbered(1)) == [Delivered()]
        sink.close()
        until(lambda: len(frames(b"".join(got))) == len(HOSTILE) + 1)


def test_tls_stranger(pki: Pki) -> None:
    """A server we do not trust gets nothing; the reason names the option for it."""
    with receiving(socket.SOCK_STREAM, pki.server_context()) as (address, got):
        sink = opened(f"tls://{address}")
        (found,) = sink.deliver(numbered(1))
        sink.close()
    assert isinstance(found, Retry)
    assert "its certificate is not trusted" in found.reason
    assert got == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("own", ["client", "stranger", None])
def test_mutual_tls(pki: Pki, own: str | None, version: ssl.TLSVersion) -> None:
    """A refused client certificate is noticed, also with TLS 1.3, where sending succeeds first."""
    context = pki.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    with receiving(socket.SOCK_STREAM, context) as (address, got):
        cert = getattr(pki, own) if own else None
        sink = opened(f"tls://{address}", ca_file=pki.ca, cert_file=cert)
        (found,) = sink.deliver(numbered(1))
        sink.close()
        if own == "client":
            until(lambda: bool(got))
    assert isinstance(found, Delivered if own == "client" else Retry)


def test_unix_datagrams(tmp_path: Path) -> None:
    """A Unix datagram socket, as syslogd has; a full queue keeps what went and retries the rest."""
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        sink = opened(f"unix://{path}", timeout_s=0.5)
        assert sink.deliver(numbered(2)) == [Delivered()] * 2
        began = own_s()
        found = sink.deliver(numbered(5000))
        assert own_s() - began < 2
        sink.close()
        taken = found.count(Delivered())
        assert 0 < taken < 5000
        assert all(isinstance(verdict, Retry) for verdict in found[taken:])
        server.setblocking(False)
        got = 0
        with contextlib.suppress(BlockingIOError):
            while server.recv(65_536):
                got += 1
        assert got == taken + 2


def test_unix_stream(tmp_path: Path) -> None:
    """A Unix stream socket takes lines."""
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen()
        sink = opened(f"unix://{path}")
        assert sink.deliver(parcels(hostile())) == [Delivered()] * len(HOSTILE)
        sock, _ = server.accept()
        sink.close()
        with sock, sock.makefile("rb") as stream:
            assert len(stream.readlines()) == len(HOSTILE)


def test_unix_nobody_there(tmp_path: Path) -> None:
    """A socket that is not there is one to try again, by name."""
    sink = opened(f"unix://{tmp_path}/none")
    assert sink.deliver(numbered(1)) == [Retry(f"{tmp_path}/none: No such file or directory")]
    sink.close()


def test_closing_leaves_nothing_open(pki: Pki) -> None:
    """Whatever happened, close leaves no descriptor behind."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for address in ("tcp://127.0.0.1:1", "udp://127.0.0.1:1", "unix:///nowhere"):
        sink = opened(address)
        sink.deliver(numbered(1))
        sink.close()
    with receiving(socket.SOCK_STREAM, pki.server_context()) as (address, _):
        sink = opened(f"tls://{address}")
        sink.deliver(numbered(1))
        sink.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def until(holds: Any, seconds: float = 5) -> None:
    """Wait for something another thread does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_service_without_a_network_is_told_how_to_get_one() -> None:
    """What RestrictAddressFamilies= refuses (systemd.exec(5)) is no riddle of errno's."""
    error = OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    assert "lockdown-watcher units network" in reason_of(error)
