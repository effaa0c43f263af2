"""One contract for every network sink, against real receivers on loopback.

Nobody there, there, hung, alive again, gone, back: what a sink says must be true at each step, and
hostile process names must arrive as data. What real receivers do not do at will is scripted in
tests/test_sinks_http.py and tests/test_syslog.py.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.events import HOSTILE, every_kind, hostile, numbered, parcels
from tests.pki import Pki
from tests.scripted import free_port
from tests.sinks.servers import Server, rsyslog, rsyslog_tls, tcp, tenzir, udp, until
from watcher.sinks import elastic, http, otlp, splunk, syslog
from watcher.sinks.sink import Delivered, Parcel, Retry, Sink, Verdict

MODULES: dict[str, Any] = {
    "http": http, "otlp": otlp, "elastic": elastic, "splunk": splunk, "syslog": syslog,
}  # fmt: skip
TIMEOUT_S = 2.0
TOKEN = "t0k3n"
Seen = tuple[str, str]
"""An event as it arrived: its id and the process name."""


@dataclass(frozen=True)
class Case:
    """A sink and the receiver it talks to."""

    kind: str
    options: dict[str, Any]
    seen: Callable[[dict[str, Any]], Seen]
    pipeline: str = ""
    server: Callable[[int, Path, Pki], Server] | None = None
    shown: bool = False  # names come with what cannot be printed as escapes
    listens: Callable[[int], Callable[[], bool]] = field(default=tcp)


def tls_options(port: int, pki: Pki) -> str:
    """Tenzir's TLS, our certificate authority's."""
    return f'{port}", tls={{certfile: "{pki.server}", keyfile: "{pki.server_key}"}}'


def native(row: dict[str, Any]) -> Seen:
    """The event itself."""
    return row["id"], row["process"]["comm"]


def ecs(row: dict[str, Any]) -> Seen:
    """An ECS document."""
    return row["event"]["id"], row["process"]["name"]


def otlp_record(row: dict[str, Any]) -> Seen:
    """A log record as Tenzir shows it."""
    found = {item["key"]: item["value"]["string_value"] for item in row["attributes"]}
    return found["log.record.uid"], found["lockdown_watcher.process.comm"]


def in_message(row: dict[str, Any]) -> Seen:
    """A syslog message's MSG; its structured data tells the same id."""
    found = native(json.loads(row.get("message") or row["msg"]))
    told = row.get("structured_data") or row["sd"]
    parameters = told["lockdown@32473"] if isinstance(told, dict) else {"id": None, "sd": told}
    assert found[0] in str(parameters)
    return found


def in_cef(row: dict[str, Any]) -> Seen:
    """A CEF extension."""
    return row["extension"]["externalId"], row["extension"].get("sproc", "")


CASES = {
    "tenzir-http": Case(
        "http",
        {"url": "http://127.0.0.1:{port}"},
        native,
        'accept_http "127.0.0.1:{port}" {{ read_ndjson }}',
    ),
    "tenzir-https-array": Case(
        "http",
        {"url": "https://127.0.0.1:{port}", "format": "array", "ca_file": "{ca}"},
        native,
        'accept_http "127.0.0.1:{tls} {{ read_json arrays_of_objects=true }}',
    ),
    "tenzir-hec": Case(
        "splunk",
        {"url": "http://127.0.0.1:{port}", "token_file": "{token}"},
        lambda row: native(row["event"]),
        'accept_splunk "127.0.0.1:{port}", hec_token="t0k3n"',
    ),
    "tenzir-hec-tls": Case(
        "splunk",
        {"url": "https://127.0.0.1:{port}", "token_file": "{token}", "ca_file": "{ca}"},
        lambda row: native(row["event"]),
        'accept_splunk "127.0.0.1:{tls}, hec_token="t0k3n"',
    ),
    "tenzir-bulk": Case(
        "elastic",
        {"url": "http://127.0.0.1:{port}"},
        ecs,
        'accept_opensearch "127.0.0.1:{port}"',
    ),
    "tenzir-otlp": Case(
        "otlp", {"url": "http://127.0.0.1:{port}"}, otlp_record, 'accept_otlp "127.0.0.1:{port}"'
    ),
    "tenzir-syslog-tls": Case(
        "syslog",
        {"address": "tls://127.0.0.1:{port}", "ca_file": "{ca}"},
        in_message,
        'accept_tcp "127.0.0.1:{tls} {{ read_syslog octet_counting=true }}',
    ),
    "tenzir-syslog-cef": Case(
        "syslog",
        {"address": "tcp://127.0.0.1:{port}", "encoding": "cef"},
        in_cef,
        'accept_tcp "127.0.0.1:{port}" {{ read_syslog octet_counting=true }}'
        "\nthis = message.trim().parse_cef()",
        shown=True,
    ),
    "fluent-bit-hec": Case(
        "splunk",
        {"url": "http://127.0.0.1:{port}", "token_file": "{token}"},
        lambda row: native(row["message"]["event"]),
        'from_fluent_bit "splunk", options={{port: {port}, listen: "127.0.0.1"}}',
    ),
    "fluent-bit-bulk": Case(
        "elastic",
        {"url": "http://127.0.0.1:{port}"},
        lambda row: ecs(row["message"]),
        'from_fluent_bit "elasticsearch", options={{port: {port}, listen: "127.0.0.1"}}',
    ),
    "rsyslog-gtls": Case(
        "syslog",
        {"address": "tls://127.0.0.1:{port}", "ca_file": "{ca}", "cert_file": "{client}"},
        in_message,
        server=lambda port, folder, pki: rsyslog_tls("gtls", port, folder, pki),
    ),
    "rsyslog-ossl": Case(
        "syslog",
        {"address": "tls://127.0.0.1:{port}", "ca_file": "{ca}", "cert_file": "{client}"},
        in_message,
        server=lambda port, folder, pki: rsyslog_tls("ossl", port, folder, pki),
    ),
    "rsyslog-tcp": Case(
        "syslog",
        {"address": "tcp://127.0.0.1:{port}"},
        in_message,
        server=lambda port, folder, _: rsyslog(
            f'module(load="imtcp")\ninput(type="imtcp" port="{port}" address="127.0.0.1")', folder
        ),
    ),
    "rsyslog-udp": Case(
        "syslog",
        {"address": "udp://127.0.0.1:{port}"},
        in_message,
        server=lambda port, folder, _: rsyslog(
            f'module(load="imudp")\ninput(type="imudp" port="{port}" address="127.0.0.1")', folder
        ),
        listens=udp,
    ),
    "rsyslog-unix": Case(
        "syslog",
        {"address": "unix://{folder}/log"},
        in_message,
        server=lambda _, folder, __: rsyslog(
            'module(load="imuxsock" SysSock.Use="off")\n'
            f'input(type="imuxsock" Socket="{folder}/log" useSpecialParser="off"'
            ' parseHostname="on" rateLimit.Interval="0")',
            folder,
        ),
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """Each pair of sink and receiver in turn."""
    return CASES[request.param]


class Stage:
    """A case with its port, its folder and its sink."""

    def __init__(self, case: Case, folder: Path, pki: Pki) -> None:
        self.case = case
        self.port = free_port()
        self.folder = folder
        (folder / "token").write_text(f"{TOKEN}\n")
        self._words = {
            "port": self.port,
            "folder": folder,
            "token": folder / "token",
            "ca": pki.ca,
            "client": pki.client,
            "stranger": pki.stranger,
            "tls": tls_options(self.port, pki),
        }
        self.server = self._server(pki)

    def sink(self, **more: Any) -> Sink:
        """The case's sink, with other options if a test wants."""
        options = {"kind": self.case.kind, "timeout_s": TIMEOUT_S, **self.case.options, **more}
        filled = {
            key: value.format(**self._words) if isinstance(value, str) else value
            for key, value in options.items()
        }
        module = MODULES[self.case.kind]
        opened: Sink = module.open_sink(module.Options(**filled))
        return opened

    def start(self) -> None:
        """Start the receiver and wait until it listens."""
        listens = self.case.listens(self.port)
        if "unix" in str(self.case.options.get("address")):
            listens = (self.folder / "log").exists
        self.server.start(listens)

    def seen(self) -> list[Seen]:
        """What has arrived, each event once, in the order of its first coming."""
        return list(dict.fromkeys(self.case.seen(row) for row in self.server.rows()))

    def _server(self, pki: Pki) -> Server:
        if self.case.server:
            return self.case.server(self.port, self.folder, pki)
        pipeline = self.case.pipeline.format(**self._words) + "\nwrite_ndjson"
        return tenzir(pipeline, self.folder)


@pytest.fixture
def stage(case: Case, tmp_path: Path, pki: Pki) -> Any:
    """The case set up, its receiver not started; ended afterwards."""
    found = Stage(case, tmp_path, pki)
    yield found
    found.server.stop()


def expected(batch: Sequence[Parcel], *, shown: bool) -> list[Seen]:
    """What should arrive of a batch."""
    return [(p.id, escaped(p.event["process"]["comm"], shown=shown)) for p in batch]


def escaped(comm: str, *, shown: bool) -> str:
    """A name as CEF shows it: controls, pipes and the like as escapes, no space around it."""
    if not shown:
        return comm
    hidden = re.compile('[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e|"]')
    form = {True: "\\x{:02x}", False: "\\u{:04x}"}
    return hidden.sub(lambda hit: form[ord(hit[0]) < 0x7F].format(ord(hit[0])), comm).strip()


def timed(sink: Sink, batch: Sequence[Parcel]) -> tuple[list[Verdict], float]:
    """Verdicts of a delivery, and how long it took."""
    began = time.monotonic()
    return sink.deliver(batch), time.monotonic() - began


def test_contract(stage: Stage) -> None:
    """Down, up, hung, up, down, up: each verdict is true, nothing is lost, nothing is changed."""
    batches = [parcels(hostile(first=1 + 100 * n)) for n in range(4)]
    delivered = [Delivered()] * len(HOSTILE)
    sink = stage.sink()
    found, took = timed(sink, batches[0])
    assert {type(verdict) for verdict in found} == {Retry}, found
    assert took < TIMEOUT_S + 1

    stage.start()
    assert sink.deliver(batches[0]) == delivered
    arrives(stage, batches[:1])

    with stage.server.hung():
        found, took = timed(sink, batches[1])
        assert took < TIMEOUT_S + 1
    kinds = {type(verdict) for verdict in found}
    # Without acknowledgements bytes in a hung receiver's buffers are all that can be known.
    assert kinds == {Retry} or (stage.case.kind == "syslog" and kinds == {Delivered})
    if kinds == {Retry}:
        until_delivered(sink, batches[1])
    arrives(stage, batches[:2])

    stage.server.stop()
    assert {type(verdict) for verdict in sink.deliver(batches[2])} == {Retry}
    stage.start()
    assert sink.deliver(batches[2]) == delivered
    assert sink.deliver(batches[3]) == delivered
    arrives(stage, batches)
    sink.close()


def until_delivered(sink: Sink, batch: Sequence[Parcel]) -> None:
    """Try again for a while, as the forwarder would."""
    until(lambda: sink.deliver(batch) == [Delivered()] * len(batch))


def arrives(stage: Stage, batches: Sequence[Sequence[Parcel]]) -> None:
    """Wait until all these are there, letter by letter and in order."""
    want = [seen for batch in batches for seen in expected(batch, shown=stage.case.shown)]
    until(lambda: len(stage.seen()) >= len(want), why=lambda: str(stage.seen()))
    assert stage.seen() == want


# --- what only some receivers do


def staged(name: str, tmp_path: Path, pki: Pki) -> Stage:
    """A case by name."""
    return Stage(CASES[name], tmp_path, pki)


@pytest.mark.parametrize("name", ["rsyslog-gtls", "rsyslog-ossl"])
@pytest.mark.parametrize("cert", ["{stranger}", None])
def test_rsyslog_refuses_a_wrong_certificate(
    name: str, cert: str | None, tmp_path: Path, pki: Pki
) -> None:
    """A certificate of a stranger, or none, is refused, and never taken for delivered."""
    stage = staged(name, tmp_path, pki)
    stage.start()
    try:
        sink = stage.sink(cert_file=cert)
        for _ in range(3):
            found = sink.deliver(parcels(hostile()))
            assert {type(verdict) for verdict in found} == {Retry}, found
        sink.close()
        good = stage.sink()
        assert good.deliver(parcels(hostile(first=50))) == [Delivered()] * len(HOSTILE)
        good.close()
        arrives(stage, [parcels(hostile(first=50))])
    finally:
        stage.server.stop()


@pytest.mark.parametrize("name", ["rsyslog-gtls", "rsyslog-ossl"])
def test_rsyslog_is_told_goodbye(name: str, tmp_path: Path, pki: Pki) -> None:
    """Closing ends TLS as it should be, so the receiver's own log stays clean."""
    stage = staged(name, tmp_path, pki)
    stage.start()
    try:
        sink = stage.sink()
        assert sink.deliver(parcels(hostile())) == [Delivered()] * len(HOSTILE)
        sink.close()
        arrives(stage, [parcels(hostile())])
    finally:
        stage.server.stop()
    assert "netstream session" not in (tmp_path / "said").read_text()


@pytest.mark.parametrize("name", ["tenzir-hec-tls", "tenzir-syslog-tls", "rsyslog-gtls"])
def test_a_server_of_a_stranger_gets_nothing(name: str, tmp_path: Path, pki: Pki) -> None:
    """Without its certificate authority the receiver is not trusted; the reason says ca_file."""
    stage = staged(name, tmp_path, pki)
    stage.start()
    try:
        sink = stage.sink(ca_file=None)
        (found,) = set(sink.deliver(parcels(hostile())))
        sink.close()
        assert isinstance(found, Retry)
        assert "not trusted" in found.reason
        assert "ca_file" in found.reason
    finally:
        stage.server.stop()
    assert stage.seen() == []


def test_hec_wrong_token(tmp_path: Path, pki: Pki) -> None:
    """A token the collector does not know sets nothing aside and is never in the reason."""
    stage = staged("tenzir-hec", tmp_path, pki)
    stage.start()
    try:
        (tmp_path / "token").write_text("wr0ng\n")
        sink = stage.sink()
        (found,) = set(sink.deliver(parcels(hostile())))
        assert isinstance(found, Retry)
        assert "HTTP 403" in found.reason
        assert "wr0ng" not in found.reason
        (tmp_path / "token").write_text(f"{TOKEN}\n")
        assert sink.deliver(parcels(hostile())) == [Delivered()] * len(HOSTILE)
        sink.close()
    finally:
        stage.server.stop()


def test_hec_never_acknowledges(tmp_path: Path, pki: Pki) -> None:
    """A collector that takes a batch and never acknowledges it: again later, in time."""
    case = Case(
        "splunk",
        CASES["tenzir-hec"].options,
        CASES["tenzir-hec"].seen,
        'accept_splunk "127.0.0.1:{port}", hec_token="t0k3n", ack=true',
    )
    stage = Stage(case, tmp_path, pki)
    stage.start()
    try:
        sink = stage.sink()
        found, took = timed(sink, parcels(hostile()))
        assert set(found) == {Retry(f"taken, but not acknowledged within {TIMEOUT_S:g} s")}
        assert TIMEOUT_S - 0.2 < took < TIMEOUT_S + 1
        sink.close()
    finally:
        stage.server.stop()


def test_fluent_bit_otlp(tmp_path: Path, pki: Pki) -> None:
    """Fluent Bit's OTLP input takes the batch; its resource arrives.

    More cannot be seen here: Tenzir's bridge passes on bodies that are maps only, and ours is a
    text, as OpenTelemetry has it.
    """
    case = Case(
        "otlp",
        CASES["tenzir-otlp"].options,
        otlp_record,
        'from_fluent_bit "opentelemetry", options={{port: {port}, listen: "127.0.0.1"}}',
    )
    stage = Stage(case, tmp_path, pki)
    stage.start()
    try:
        sink = stage.sink()
        assert sink.deliver(parcels(hostile())) == [Delivered()] * len(HOSTILE)
        sink.close()
        until(lambda: bool(stage.server.rows()))
    finally:
        stage.server.stop()
    first = stage.server.rows()[0]["message"]
    assert first["resource"]["attributes"]["host.name"] == "host1"
    assert first["scope"]["name"] == "lockdown-watcher"


def test_tenzir_takes_our_ocsf(tmp_path: Path, pki: Pki) -> None:
    """Tenzir's own OCSF schema finds nothing wrong (JSON has no time, so it is told which are)."""
    times = "\n".join(
        f"if {name} != null {{{{ {name} = from_epoch({name} * 1ms) }}}}"
        for name in ("time", "metadata.logged_time")
    )
    case = Case(
        "http",
        {"url": "http://127.0.0.1:{port}", "encoding": "ocsf"},
        lambda row: (row["metadata"]["uid"], ""),
        'accept_http "127.0.0.1:{port}" {{ read_ndjson }}\n'
        f"{times}\ndrop metadata.original_time\nocsf_cast",
    )
    stage = Stage(case, tmp_path, pki)
    stage.start()
    events = every_kind()
    batch = [Parcel(n, event["id"], json.dumps(event)) for n, event in enumerate(events)]
    try:
        sink = stage.sink()
        assert sink.deliver(batch) == [Delivered()] * len(batch)
        sink.close()
        until(lambda: len(stage.server.rows()) == len(batch))
    finally:
        stage.server.stop()
    assert "warning" not in stage.server.complaint()
    assert "error" not in stage.server.complaint()


def test_rate(tmp_path: Path, pki: Pki, record_property: Any) -> None:
    """Five thousand events to a real OTLP receiver: all there; the figure is told, not judged."""
    stage = staged("tenzir-otlp", tmp_path, pki)
    stage.start()
    try:
        sink = stage.sink(timeout_s=10)
        batches = [numbered(500, 500 * n) for n in range(10)]
        began = time.monotonic()
        for batch in batches:
            assert sink.deliver(batch) == [Delivered()] * 500
        rate = 5000 / (time.monotonic() - began)
        sink.close()
        until(lambda: len(stage.server.rows()) == 5000)
    finally:
        stage.server.stop()
    record_property("events_per_second", round(rate))
    print(f"OTLP to Tenzir: {rate:.0f} events/s in batches of 500")
