"""The sinks that speak HTTP, against a scripted server: statuses, waits, bounds, secrets.

Scripted, because no real server refuses, hangs or babbles when asked; the sinks meet real ones in
tests/sinks.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.events import hostile, numbered, parcels
from tests.parts import missing
from tests.pki import Pki
from tests.scripted import Scripted, Step, answer, drip, endless, free_port, hang, tunnel, vanish
from watcher.errors import UsageError
from watcher.sinks import elastic, http, otlp, splunk
from watcher.sinks.http_client import Answer
from watcher.sinks.network import Credential
from watcher.sinks.sink import Delivered, Parcel, Refused, Retry, Sink, Verdict

SECRET = "s3cr3t-t0k3n"
MODULES: dict[str, Any] = {"http": http, "otlp": otlp, "elastic": elastic, "splunk": splunk}


@pytest.fixture(autouse=True)
def _library() -> None:
    if find_spec("httpcore2") is None:
        missing("httpcore2")


@pytest.fixture
def token(tmp_path: Path) -> str:
    """A file with a secret in it."""
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    return str(file)


@pytest.fixture(params=MODULES)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of sink in turn."""
    name: str = request.param
    return name


def opened(kind: str, url: str, token: str = "", **more: Any) -> Sink:
    """A sink of a kind, patient for two seconds."""
    if kind == "splunk" and token:
        more = {"token_file": token} | more
    options = {"kind": kind, "url": url, "timeout_s": 2, **more}
    module = MODULES[kind]
    sink: Sink = module.open_sink(module.Options(**options))
    return sink


def said(kind: str, count: int) -> bytes:
    """The answer of a receiver that took everything."""
    items = [{"create": {"status": 201}} for _ in range(count)]
    body = {
        "http": {},
        "otlp": {"partialSuccess": {}},
        "elastic": {"errors": False, "items": items},
        "splunk": {"text": "Success", "code": 0},
    }
    return answer(200, body[kind])


def verdicts(kind: str, token: str, *script: Step, count: int = 2, **more: Any) -> list[Verdict]:
    """What one delivery of so many events gives, with this script."""
    with Scripted(*script) as server:
        sink = opened(kind, server.url, token, **more)
        try:
            return sink.deliver(numbered(count))
        finally:
            sink.close()


# --- what the status says


def test_taken(kind: str, token: str) -> None:
    """2xx: all delivered, over one connection for many batches."""
    with Scripted(said(kind, 2)) as server:
        sink = opened(kind, server.url, token)
        for _ in range(3):
            assert sink.deliver(numbered(2)) == [Delivered(), Delivered()]
        sink.close()
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_later(kind: str, token: str, status: int) -> None:
    """Too busy, too slow or broken: again later, with the receiver's words."""
    found = verdicts(kind, token, answer(status, "come back\x1b[2J"))
    assert found == [Retry(f"HTTP {status}, come back\\x1b[2J")] * 2


@pytest.mark.parametrize("status", [400, 413, 414, 422])
def test_never(kind: str, token: str, status: int) -> None:
    """Other 4xx are about what was sent: refused."""
    found = verdicts(kind, token, answer(status, "no"))
    assert found == [Refused(f"HTTP {status}, no")] * 2


@pytest.mark.parametrize("status", [401, 403, 404, 405, 406, 407, 410, 415, 431])
def test_not_the_event_s_fault(kind: str, token: str, status: int) -> None:
    """An expired token or a wrong address sets no event aside: again later, and what to do."""
    for verdict in verdicts(kind, token, answer(status)):
        assert isinstance(verdict, Retry)
        assert f"HTTP {status}; " in verdict.reason


def test_an_event_that_cannot_be_encoded(kind: str, token: str) -> None:
    """What is no event of this schema is refused alone; the others are sent all the same."""
    good, other = numbered(2)
    future = Parcel(9, "x", json.dumps(good.event | {"time": "tomorrow", "severity": "grim"}))
    broken = [Parcel(7, "y", "no json"), Parcel(8, "z", "{}"), Parcel(8, "z", "[]")]
    with Scripted(said(kind, 2)) as server:
        more = {"encoding": "ecs"} if kind == "http" else {}
        sink = opened(kind, server.url, token, **more)
        found = sink.deliver([broken[0], good, future, other, *broken[1:]])
        assert {type(each) for each in sink.deliver(broken)} == {Refused}
        sink.close()
    kinds = [type(verdict) for verdict in found]
    assert kinds == [Refused, Delivered, Refused, Delivered, Refused, Refused]
    assert all("cannot be encoded" in each.reason for each in found if isinstance(each, Refused))
    assert len(server.requests) == 1


def test_redirect(kind: str, token: str) -> None:
    """A redirect is not followed, wherever it leads; it says where and what to do."""
    with Scripted(answer(200)) as elsewhere:
        found = verdicts(kind, token, answer(307, Location=elsewhere.url))
    assert elsewhere.requests == []
    assert found == [Retry(f"HTTP 307 to {elsewhere.url}: not followed, correct url")] * 2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0", 0.0), ("1e999", 31_536_000.0), ("86401", 86_401.0), ("-5", None),
     ("soon", None), ("", None), ("nan", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)  # fmt: skip
def test_retry_after(kind: str, token: str, value: str, seconds: float | None) -> None:
    """How long to wait, as asked; nonsense is no wish."""
    (found,) = verdicts(kind, token, answer(429, Retry_After=value), count=1)
    assert found == Retry("HTTP 429", seconds)


def test_retry_after_a_date(token: str) -> None:
    """A date is a wait until then."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    (found,) = verdicts("http", token, answer(503, Retry_After=date), count=1)
    assert isinstance(found, Retry)
    assert found.after_s is not None
    assert 80 < found.after_s <= 90


# --- receivers that misbehave


@pytest.mark.parametrize("step", [hang, drip], ids=["hang", "drip"])
def test_hung(kind: str, token: str, step: Step) -> None:
    """A receiver that hangs, or feeds one byte at a time, costs the timeout and no more."""
    began = time.monotonic()
    found = verdicts(kind, token, step, timeout_s=0.5)
    assert 0.4 < time.monotonic() - began < 1.5
    for verdict in found:
        assert isinstance(verdict, Retry)
        assert verdict.reason.endswith(": timed out")


@pytest.mark.parametrize(
    "step",
    [
        vanish,
        b"",
        b"\x16\x03\x01 garbage\r\n\r\n",
        b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 99999 X\r\n\r\n",
        b"HTTP/1.1 200 X\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 X\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
    ],
    ids=["vanish", "nothing", "garbage", "half", "status", "length", "headers"],
)
def test_broken(kind: str, token: str, step: Step) -> None:
    """What is no whole HTTP answer is one to try again."""

    def played(sock: Any) -> None:
        if callable(step):
            step(sock)
        else:
            sock.sendall(step)

    for verdict in verdicts(kind, token, played):
        assert isinstance(verdict, Retry)
        assert verdict.reason.startswith("http://127.0.0.1:")


def test_each_trouble_leaves_the_sink_usable(kind: str, token: str) -> None:
    """One sink meets every kind of trouble in turn and delivers at the end."""
    half = b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nhalf"

    def halved(sock: Any) -> None:
        sock.sendall(half)

    script = (hang, endless, vanish, halved, answer(503), drip, said(kind, 1))
    with Scripted(*script) as server:
        sink = opened(kind, server.url, token, timeout_s=0.3)
        for _ in script[:-1]:
            assert sink.deliver(numbered(1)) != []
        assert sink.deliver(numbered(1)) == [Delivered()]
        sink.close()


def test_endless(kind: str, token: str) -> None:
    """An answer without end is not read to its end, and costs neither time nor memory."""
    began = time.monotonic()
    found = verdicts(kind, token, endless)
    assert time.monotonic() - began < 1
    expected = Retry if kind == "elastic" else Delivered
    assert all(isinstance(verdict, expected) for verdict in found)


def test_nobody_there(kind: str, token: str) -> None:
    """Nobody listens: again later, and it says so; then somebody does, and it goes well."""
    port = free_port()
    sink = opened(kind, f"http://127.0.0.1:{port}", token)
    assert sink.deliver(numbered(1)) == [Retry(f"http://127.0.0.1:{port}: Connection refused")]
    sink.close()


def test_a_kept_connection_that_died(kind: str, token: str) -> None:
    """A server that closed the kept connection meanwhile is simply connected to again."""

    def take_and_leave(sock: Any) -> None:
        sock.sendall(said(kind, 1))

    with Scripted(take_and_leave) as server:
        sink = opened(kind, server.url, token)
        for _ in range(2):
            assert sink.deliver(numbered(1)) == [Delivered()]
            time.sleep(0.1)
        sink.close()
    assert len(server.requests) == 2


# --- TLS and proxies


def test_tls(kind: str, token: str, pki: Pki) -> None:
    """Certificates are verified; one that is not trusted says which option is for it."""
    with Scripted(said(kind, 1), tls=pki.server_context()) as server:
        sink = opened(kind, server.url, token, ca_file=pki.ca)
        assert sink.deliver(numbered(1)) == [Delivered()]
        sink.close()
        sink = opened(kind, server.url, token)
        (found,) = sink.deliver(numbered(1))
        sink.close()
    assert isinstance(found, Retry)
    assert "its certificate is not trusted" in found.reason
    assert "ca_file" in found.reason


def test_wrong_name(token: str, pki: Pki) -> None:
    """A certificate for somebody else is not taken."""
    with Scripted(said("http", 1), tls=pki.server_context("elsewhere.example")) as server:
        sink = opened("http", server.url, token, ca_file=pki.ca)
        (found,) = sink.deliver(numbered(1))
        sink.close()
    assert isinstance(found, Retry)
    assert "127.0.0.1" in found.reason


def test_client_certificate(kind: str, token: str, pki: Pki) -> None:
    """Our certificate is shown; without it the server's refusal is one to try again."""
    context = pki.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    with Scripted(said(kind, 1), tls=context) as server:
        ours = {"cert_file": pki.client, "ca_file": pki.ca}
        sink = opened(kind, server.url, token, **ours)
        assert sink.deliver(numbered(1)) == [Delivered()]
        sink.close()
        sink = opened(kind, server.url, token, ca_file=pki.ca)
        (found,) = sink.deliver(numbered(1))
        sink.close()
    assert isinstance(found, Retry)


def test_proxy(kind: str, token: str, tmp_path: Path) -> None:
    """The proxy of the options is asked, with its login; those of the environment are not."""
    login = tmp_path / "login"
    login.write_text("me:pass:word\n")
    with Scripted(said(kind, 1)) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("http_proxy", "http://127.0.0.1:1")
        patch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        sink = opened(
            kind, "http://siem.invalid", token, proxy=proxy.url, proxy_login_file=str(login)
        )
        assert sink.deliver(numbered(1)) == [Delivered()]
        sink.close()
        direct = opened(kind, proxy.url, token)
        assert direct.deliver(numbered(1)) == [Delivered()]
        direct.close()
    assert proxy.requests[0].target.startswith("http://siem.invalid")
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic bWU6cGFzczp3b3Jk"
    assert not proxy.requests[1].target.startswith("http")


def test_proxy_tunnel(kind: str, token: str, pki: Pki) -> None:
    """https goes through the proxy in a tunnel, and it is the receiver whom TLS verifies."""
    with Scripted(said(kind, 1), tls=pki.server_context()) as server, tunnel(server.url) as proxy:
        sink = opened(kind, server.url, token, proxy=proxy, ca_file=pki.ca)
        assert sink.deliver(numbered(1)) == [Delivered()]
        sink.close()
        sink = opened(kind, server.url, token, proxy=proxy)
        (found,) = sink.deliver(numbered(1))
        sink.close()
    assert isinstance(found, Retry)
    assert "not trusted" in found.reason


# --- secrets


def test_secret_is_sent_and_never_told(kind: str, token: str) -> None:
    """The secret reaches the receiver, and no repr, reason or exception text."""
    option = "api_key_file" if kind == "elastic" else "token_file"
    with Scripted(answer(401, "who are you?")) as server:
        sink = opened(kind, server.url, **{option: token})
        (found,) = sink.deliver(numbered(1))
        told = [repr(sink), str(vars(sink)), repr(found), repr(Credential(token))]
        sink.close()
    assert SECRET in server.requests[0].headers["authorization"]
    assert not [text for text in told if SECRET in text]


def test_a_receiver_that_says_the_secret_again(kind: str, token: str) -> None:
    """Neither the token nor a long part of the address comes into a reason."""
    option = "api_key_file" if kind == "elastic" else "token_file"
    echo = f"no right: Bearer {SECRET}, {SECRET} for /hooks/w3bh00k-w3bh00k"
    script = (answer(403, echo), answer(400, echo), answer(307, Location=f"https://x/{SECRET}"))
    for step in script:
        with Scripted(step) as server:
            sink = opened(kind, f"{server.url}/hooks/w3bh00k-w3bh00k", **{option: token})
            (found,) = sink.deliver(numbered(1))
            sink.close()
        assert "***" in repr(found)
        assert SECRET not in repr(found)
        assert "w3bh00k" not in repr(found)


@pytest.mark.parametrize("name", ["s3cr3t/t0k3n==", "s3cr3t t0k3n", "Splunk s3cr3t", "s3cr3t" * 20])
def test_a_secret_in_place_of_its_file(name: str) -> None:
    """What is neither a path nor a name of a credential is not quoted."""
    with pytest.raises(ValidationError, match="must be a whole path, or the name of") as told:
        http.Options(kind="http", url="http://siem.example", token_file=name)
    assert "s3cr3t" not in str(told.value)


def test_a_secret_that_could_be_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A token of Splunk's is a UUID: it may be a name, and is not quoted all the same."""
    pasted = "9f0e6d1c-7b0f-4a22-8a50-5c399f0e6d1c"
    for directory in (None, str(tmp_path)):
        if directory:
            monkeypatch.setenv("CREDENTIALS_DIRECTORY", directory)
        else:
            monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
        with pytest.raises(UsageError) as told:
            Credential(pasted)
        assert pasted not in str(told.value)


@pytest.mark.parametrize("kind", ["elastic", "otlp", "splunk"])
def test_a_query_before_a_path(kind: str, token: str) -> None:
    """These put a path behind the address, which would become a part of the query."""
    with pytest.raises(ValidationError, match="must not hold a query"):
        opened(kind, "http://siem.example/?tenant=7", token)


@pytest.mark.parametrize(
    "url", ["http://a..b", "http://.a", f"http://{'x' * 64}/", "http://h:0", "http://h/#x"]
)
def test_an_address_that_never_answers(url: str) -> None:
    """What no resolver, port or server can have is told at the start."""
    with pytest.raises(ValidationError, match="url"):
        opened("http", url)


def test_secret_is_read_anew(token: str) -> None:
    """A token that was replaced is used at the next delivery; one that is gone is a reason."""
    with Scripted(answer(200)) as server:
        sink = opened("http", server.url, token_file=token)
        sink.deliver(numbered(1))
        Path(token).write_text("n3w")
        sink.deliver(numbered(1))
        Path(token).unlink()
        assert sink.deliver(numbered(1)) == [Retry("No such file or directory")]
        sink.close()
    assert [r.headers["authorization"] for r in server.requests] == [
        f"Bearer {SECRET}",
        "Bearer n3w",
    ]


def test_credentials_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name is one of systemd's credentials; without any, it says how to get them."""
    (tmp_path / "siem").write_text(SECRET)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(UsageError, match="LoadCredential="):
        Credential("siem")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Credential("siem").read() == SECRET


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"a\r\nX-Evil: 1", b"\xff", b"\x00"])
def test_a_secret_that_is_none(tmp_path: Path, content: bytes) -> None:
    """What is no line of plain text is refused at the start, without being quoted."""
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="one line of printable ASCII"):
        Credential(str(file))


def test_options_never_quote(token: str) -> None:
    """A secret written into the config is refused and not repeated."""
    wrong: tuple[dict[str, Any], ...] = (
        {"token": SECRET},
        {"url": f"https://me:{SECRET}@siem.example"},
        {"proxy": f"http://me:{SECRET}@proxy.example"},
    )
    wrong += ({"url": f"https://me:{SECRET}"}, {"url": f"https://me:{SECRET}@[x"})
    for more in wrong:
        options = {"kind": "http", "url": "http://siem.example", "token_file": token} | more
        with pytest.raises(ValidationError) as told:
            http.Options(**options)
        assert SECRET not in str(told.value)


@pytest.mark.parametrize("option", ["ca_file", "cert_file", "token_file"])
def test_a_missing_file(option: str, tmp_path: Path) -> None:
    """A file that is not there is the user's mistake, told with its name at the start."""
    gone = str(tmp_path / "gone.pem")
    with pytest.raises(UsageError, match=r"gone\.pem"):
        opened("http", "http://siem.example", **{option: gone})


def test_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, one line tells how to get it."""
    monkeypatch.setitem(sys.modules, "httpcore2", None)
    with pytest.raises(UsageError, match=r"pip install 'lockdown-watcher\[siem\]'"):
        opened("http", "http://siem.example")


# --- what is sent


@pytest.fixture
def receiver() -> Iterator[Scripted]:
    """A server that takes everything and remembers it."""
    with Scripted(answer(200, {"errors": False})) as server:
        yield server


def test_http_formats(receiver: Scripted) -> None:
    """NDJSON is an object a line, array is one JSON array; hostile names and all."""
    batch = parcels(hostile())
    for form in ("ndjson", "array"):
        sink = opened("http", f"{receiver.url}/in?x=1", format=form)
        sink.deliver(batch)
        sink.close()
    lines, array = receiver.requests
    assert (lines.target, array.target) == ("/in?x=1", "/in?x=1")
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(text) for text in lines.body.splitlines()] == [p.event for p in batch]
    assert json.loads(array.body) == [parcel.event for parcel in batch]


def test_bulk_body(receiver: Scripted) -> None:
    """Each event is a create by its own id and a document."""
    batch = parcels(hostile())
    sink = opened("elastic", receiver.url, index="lockdown")
    sink.deliver(batch)
    sink.close()
    rows = [json.loads(row) for row in receiver.requests[0].body.splitlines()]
    assert rows[::2] == [{"create": {"_index": "lockdown", "_id": p.id}} for p in batch]
    assert [row["event"]["id"] for row in rows[1::2]] == [parcel.id for parcel in batch]


def test_elastic_login(receiver: Scripted, tmp_path: Path) -> None:
    """USER:PASSWORD goes as Basic."""
    (tmp_path / "login").write_text("me:pass:word\n")
    sink = opened("elastic", receiver.url, login_file=str(tmp_path / "login"))
    sink.deliver(numbered(1))
    sink.close()
    assert receiver.requests[0].headers["authorization"] == "Basic bWU6cGFzczp3b3Jk"


def test_otlp_path(receiver: Scripted) -> None:
    """A bare address gets OTLP's own path, one with a path keeps it."""
    for url in ("", "/", "/custom/logs"):
        sink = opened("otlp", receiver.url + url)
        sink.deliver(numbered(1))
        sink.close()
    targets = [request.target for request in receiver.requests]
    assert targets == ["/v1/logs", "/v1/logs", "/custom/logs"]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda part: st.lists(part, max_size=2) | st.dictionaries(st.sampled_from(
        ["items", "errors", "create", "status", "error", "partialSuccess", "rejectedLogRecords",
         "errorMessage", "code", "invalid-event-number", "ackId", "text", "reason"]), part),
))  # fmt: skip
def test_any_json_is_judged(said: object) -> None:
    """Whatever JSON an answer is: a verdict, never an exception."""
    for status in (200, 400):
        body = json.dumps(said).encode()
        found = Answer(status, {}, body, whole=True)
        assert len(elastic._verdicts(found, 2)) == 2
        judged = (otlp._verdict(found), splunk._verdict(found), found.verdict())
        assert all(isinstance(verdict, Delivered | Retry | Refused) for verdict in judged)
        assert splunk._ack_id(found) is None or status == 200


# --- bulk: a verdict for each


def test_bulk_items() -> None:
    """Each item has its own verdict: there already counts, too busy waits, bad is refused."""
    statuses = (201, 409, 429, 503, 400, 404, 403)
    error = {"type": "mapper_parsing_exception", "reason": "no\x1b[2J"}
    items = [
        {"create": {"status": status} | ({"error": error} if status >= 400 else {})}
        for status in statuses
    ]
    script = answer(200, {"errors": True, "items": items})
    found = verdicts("elastic", "", script, count=len(statuses))
    kinds = [type(verdict) for verdict in found]
    assert kinds == [Delivered, Delivered, Retry, Retry, Refused, Retry, Retry]
    assert found[4] == Refused("status 400: mapper_parsing_exception: no\\x1b[2J")


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", '{"errors": true, "items": [{}]}', '{"errors": true, "items": [{}, {}, {}]}',
     '{"errors": true, "items": [null, {"create": {"status": "201"}}]}', "[" * 50_000],
)  # fmt: skip
def test_bulk_nonsense(body: str) -> None:
    """An answer that does not tell of each event delivers none."""
    found = verdicts("elastic", "", answer(200, body))
    assert all(isinstance(verdict, Retry) for verdict in found)


# --- OTLP: a part of it


@pytest.mark.parametrize("count", ["1", 1, "9" * 5000])
def test_otlp_partial_success(count: object) -> None:
    """Some were rejected and it does not say which: refused, so that each is tried alone."""
    partial = {"rejectedLogRecords": count, "errorMessage": "too old"}
    found = verdicts("otlp", "", answer(200, {"partialSuccess": partial}))
    assert found == [Refused(f"rejected {count}: too old"[:300])] * 2


@pytest.mark.parametrize(
    "partial", [None, {}, {"rejectedLogRecords": "0", "errorMessage": "hm"}, "x", []]
)
def test_otlp_whole_success(partial: object) -> None:
    """A warning without a rejection is none."""
    found = verdicts("otlp", "", answer(200, {"partialSuccess": partial}))
    assert found == [Delivered()] * 2


# --- HEC: codes and acknowledgement


def test_hec_bad_event(token: str) -> None:
    """HEC names a bad event, but not what it took of the others: all refused, to be tried alone."""
    body = {"text": "Event field cannot be blank", "code": 13, "invalid-event-number": 1}
    found = verdicts("splunk", token, answer(400, body), count=3)
    assert {type(verdict) for verdict in found} == {Refused}


@pytest.mark.parametrize("code", [1, 7, 10, 11, 14])
def test_hec_token_trouble(token: str, code: int) -> None:
    """What is wrong with the token or its index sets no event aside."""
    found = verdicts("splunk", token, answer(400, {"code": code, "invalid-event-number": 0}))
    assert all(isinstance(verdict, Retry) for verdict in found)


def test_hec_acknowledged(token: str) -> None:
    """Delivered only when the indexers say so, asked over the same channel."""
    script = (
        answer(200, {"code": 0, "ackId": 5}),
        answer(200, {"acks": {"5": False}}),
        answer(503),
        answer(200, {"acks": {"5": True}}),
    )
    with Scripted(*script) as server:
        sink = opened("splunk", server.url, token)
        assert sink.deliver(numbered(2)) == [Delivered()] * 2
        sink.close()
    channels = {request.headers["x-splunk-request-channel"] for request in server.requests}
    assert len(channels) == 1
    assert [json.loads(r.body) for r in server.requests[1:]] == [{"acks": [5]}] * 3
    assert server.requests[1].target == f"/services/collector/ack?channel={channels.pop()}"


def test_hec_acknowledged_late(token: str) -> None:
    """A batch taken but not acknowledged in time is asked about before it is sent again."""
    taken, no, yes = (
        answer(200, {"code": 0, "ackId": 5}),
        answer(200, {"acks": {"5": False}}),
        answer(200, {"acks": {"5": True}}),
    )
    with Scripted(taken, no, no, no, no, no, no, no, no, no) as server:
        sink = opened("splunk", server.url, token, timeout_s=0.3)
        began = time.monotonic()
        (found,) = sink.deliver(numbered(1))
        assert time.monotonic() - began < 1
        assert found == Retry("taken, but not acknowledged within 0.3 s")
        server._script = [yes]
        assert sink.deliver(numbered(1)) == [Delivered()]
        sink.close()
    assert [r.target for r in server.requests].count("/services/collector/event") == 1


def test_hec_acknowledged_late_with_more_behind_it(token: str) -> None:
    """By the next try the batch has grown: what is known by then is not sent again, the rest is."""
    taken, no, yes = (
        answer(200, {"code": 0, "ackId": 5}),
        answer(200, {"acks": {"5": False}}),
        answer(200, {"acks": {"5": True}}),
    )
    with Scripted(taken, no) as server:
        sink = opened("splunk", server.url, token, timeout_s=0.3)
        sink.deliver(numbered(2))
        server._script = [no] * len(server.requests) + [yes, taken, yes]
        assert sink.deliver(numbered(3)) == [Delivered()] * 3
        sink.close()
    first, second = [r.body for r in server.requests if r.target.endswith("/event")]
    assert (first.count(b'"schema"'), second.count(b'"schema"')) == (2, 1)


def test_hec_never_acknowledged(token: str) -> None:
    """Still not acknowledged at the next try: it is sent again."""
    taken, no = answer(200, {"code": 0, "ackId": 5}), answer(200, {"acks": {"5": False}})
    with Scripted(taken, no) as server:
        sink = opened("splunk", server.url, token, timeout_s=0.2)
        sink.deliver(numbered(1))
        server._script = [no] * len(server.requests) + [no, taken, no]
        sink.deliver(numbered(1))
        sink.close()
    assert [r.target for r in server.requests].count("/services/collector/event") == 2


def test_hec_envelope(token: str) -> None:
    """Time in seconds with microseconds, the event's own host, and what the options say."""
    with Scripted(answer(200, {"code": 0})) as server:
        sink = opened("splunk", f"{server.url}/services/collector", token, index="main")
        sink.deliver(numbered(2))
        sink.close()
    (request,) = server.requests
    assert request.target == "/services/collector/event"
    first, end = json.JSONDecoder().raw_decode(request.body.decode())
    second = json.loads(request.body.decode()[end:])
    assert first["time"] == 1_795_168_800.123456
    assert (first["host"], first["index"], first["source"]) == ("host1", "main", "lockdown-watcher")
    assert (first["event"]["id"], second["event"]["id"]) == tuple(p.id for p in numbered(2))
