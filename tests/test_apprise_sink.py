"""Messages to people, through the real apprise: to a web service and to a mail server."""

from __future__ import annotations

import email
import json
import socket
import threading
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.parts import missing
from tests.replay import PACK, events, kernel_record, parcels
from watcher.config import check
from watcher.detect import Detector
from watcher.errors import UsageError
from watcher.event import Event
from watcher.sinks.apprise import LISTED, Options, open_sink, safe
from watcher.sinks.sink import Delivered, Parcel, Refused, Retry

# apprise itself imports it (2.3.0, where pgpy is installed).
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")

MEM = "Lockdown: {}: /dev/mem,kmem,port is restricted; see man kernel_lockdown.7"


def denied(comm: str, at: int = 1) -> Event:
    """The event of a denial."""
    return next(Detector(PACK).events(kernel_record(MEM.format(comm), at)))


class Web:
    """A web service that takes what is posted, unless it is told to be `down`."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.down = False
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not web.down:
                    web.got.append(json.loads(body))
                self.send_response(503 if web.down else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """As apprise writes it."""
        return f"json://127.0.0.1:{self.server.server_address[1]}/secret-token"


@pytest.fixture
def web() -> Iterator[Web]:
    """A web service."""
    made = Web()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def mails() -> Iterator[tuple[str, list[EmailMessage]]]:
    """A mail server: its URL, and what it got."""
    try:
        from aiosmtpd.controller import Controller
    except ImportError:
        missing("aiosmtpd")
    got: list[EmailMessage] = []

    class Handler:
        async def handle_DATA(  # noqa: N802 - the library's name
            self, _server: object, _session: object, envelope: Any
        ) -> str:
            got.append(email.message_from_bytes(envelope.content, policy=policy.default))
            return "250 OK"

    with socket.create_server(("127.0.0.1", 0)) as free:  # it cannot choose one by itself
        port = free.getsockname()[1]
    controller = Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    yield f"mailto://127.0.0.1:{port}?from=watcher@example.org&to=admin@example.org", got
    controller.stop()


def options(tmp_path: Path, *urls: str) -> Options:
    """A sink for these addresses."""
    file = tmp_path / "people"
    file.write_text("# who is told\n\n" + "\n".join(urls) + "\n", "ascii")
    return Options(kind="apprise", urls_file=str(file))


def test_a_web_service_gets_a_message(tmp_path: Path, web: Web) -> None:
    """A sentence for a title; advice, time, line and id below it."""
    sink = open_sink(options(tmp_path, web.url))
    event = denied("dd")
    assert sink.deliver(parcels([event])) == [Delivered()]
    (got,) = web.got
    assert got["title"] == "h: Blocked: dd tried to reach physical memory"
    assert got["type"] == "failure"
    assert got["message"].startswith("Opening /dev/mem, /dev/kmem or /dev/port is refused")
    assert f"id {event.id}" in got["message"]
    sink.close()


def test_a_mail_arrives(tmp_path: Path, mails: tuple[str, list[EmailMessage]]) -> None:
    """With the title as its subject, and a hostile name as text."""
    url, got = mails
    sink = open_sink(options(tmp_path, url))
    assert sink.deliver(parcels([denied("<b>x\nBcc: me")])) == [Delivered()]
    (mail,) = got
    assert mail["Subject"] == "h: Blocked: \\x3cb\\x3ex\\x0aBcc: me tried to reach physical memory"
    assert mail["Bcc"] is None
    body = mail.get_body(("html", "plain"))
    assert body is not None
    assert "<b>" not in body.get_content()
    sink.close()


def test_a_batch_is_one_message(tmp_path: Path, web: Web) -> None:
    """The gravest first, the rest counted: a new sink does not send what a year has brought."""
    sink = open_sink(options(tmp_path, web.url))
    found = [*events(50), denied("dd")]
    assert sink.deliver(parcels(found)) == [Delivered()] * 51
    (got,) = web.got
    assert got["title"] == "h: Kernel lockdown: 51 messages"
    lines = got["message"].splitlines()
    assert lines[0] == "Blocked: dd tried to reach physical memory"
    assert len(lines) == LISTED + 1
    assert lines[-1] == "and 31 more"
    sink.close()


def test_only_who_has_it_not_is_tried_again(tmp_path: Path, web: Web) -> None:
    """One address of two is down: the other is not told twice."""
    other = Web()
    sink = open_sink(options(tmp_path, web.url, other.url))
    batch = parcels([denied("dd")])
    other.down = True
    (verdict,) = sink.deliver(batch)
    assert isinstance(verdict, Retry)
    assert verdict.reason.startswith("address 2 (JSON) took nothing")
    assert "secret-token" not in verdict.reason
    other.down = False
    assert sink.deliver(batch) == [Delivered()]
    assert len(web.got) == len(other.got) == 1
    other.server.shutdown()
    other.server.server_close()
    sink.close()


def test_what_cannot_be_told_is_refused_alone(tmp_path: Path, web: Web) -> None:
    """A damaged event spoils no message."""
    sink = open_sink(options(tmp_path, web.url))
    first, last = sink.deliver([Parcel(1, "x", '{"schema": 1}'), *parcels([denied("dd")])])
    assert isinstance(first, Refused)
    assert last == Delivered()
    sink.close()


def test_the_addresses_are_secrets(tmp_path: Path) -> None:
    """A wrong one is told by its number; none is quoted, not by `config check` either."""
    bad = "nonsense://user:hunter2@example.org"
    with pytest.raises(UsageError, match="URL 2 is none that apprise knows") as raised:
        open_sink(options(tmp_path, "json://localhost/", bad))
    assert "hunter2" not in str(raised.value)
    config = tmp_path / "config.toml"
    config.write_text(f'[[sink]]\nkind = "apprise"\nurls_file = "{tmp_path}/people"\n', "ascii")
    _, faults = check(str(config), open_sinks=True)
    assert len(faults) == 1
    assert "hunter2" not in str(faults[0])
    (tmp_path / "people").write_text("# nobody yet\n", "ascii")
    _, faults = check(str(config), open_sinks=True)
    assert "must hold lines of printable ASCII" in str(faults[0])


def test_no_name_mentions_links_or_marks_up() -> None:
    """Chat services obey all of these in plain text, too."""
    said = safe("@everyone <!here> [x](http://evil.example) `*_~ www.evil.example \u202e")
    assert not set("@<>[]`*_~\u202e") & set(said)
    assert "://" not in said
    assert "evil.example" not in said
    assert len(safe("@" * 10**6)) < 3000


def test_the_page_is_right(tmp_path: Path) -> None:
    """docs/people.md: its [[sink]] and its file are taken as they stand there."""
    page = (Path(__file__).parents[1] / "docs/people.md").read_text("utf-8")
    table = page.split("```toml\n")[1].split("```")[0]
    people = tmp_path / "people"
    people.write_text(page.split("are notes:\n\n")[1].split("\n\n")[0], "utf-8")
    config = tmp_path / "config.toml"
    config.write_text(table.replace("/etc/lockdown-watcher/people", str(people)), "utf-8")
    assert check(str(config), open_sinks=True)[1] == []
    (sink,) = check(str(config))[0].sinks
    assert sink == Options(**sink.model_dump())
    assert len(people.read_text("utf-8").splitlines()) == 3
