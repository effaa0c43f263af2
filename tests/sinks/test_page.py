"""docs/siem.md: each [[sink]] it shows delivers to a real receiver, set up as the page says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.events import HOSTILE, hostile, parcels
from tests.pki import Pki
from tests.scripted import free_port
from tests.sinks.servers import Server, rsyslog, tcp, tenzir, until
from watcher import config
from watcher.sinks.sink import Delivered

PAGE = (Path(__file__).parents[2] / "docs" / "siem.md").read_text()
PIPELINES = {
    "splunk": 'accept_splunk "{where}, hec_token="s3cret"',
    "elastic": 'accept_opensearch "{where}',
    "otlp": 'accept_otlp "{where}',
    "http": 'accept_http "{where} {{ read_ndjson }}',
}


def blocks(language: str) -> list[str]:
    """The page's blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def tables() -> list[dict[str, Any]]:
    """The [[sink]] tables of the page."""
    return [tomllib.loads(block)["sink"][0] for block in blocks("toml")]


def placed(table: dict[str, Any], port: int, folder: Path, pki: Pki) -> dict[str, Any]:
    """A table with this test's address and files in place of the page's."""
    (folder / "secret").write_text("s3cret\n")
    here = {"ca_file": pki.ca, "cert_file": pki.client}
    found: dict[str, Any] = {}
    for key, value in table.items():
        file = here.get(key, str(folder / "secret")) if key.endswith("_file") else None
        address = re.sub(r"//[a-z.]+(:\d+)?", f"//127.0.0.1:{port}", str(value))
        found[key] = file or (address if key in {"url", "address"} else value)
    return found | {"ca_file": pki.ca}


def server(kind: str, port: int, folder: Path, pki: Pki) -> Server:
    """The receiver: rsyslog as the page sets it up, Tenzir in place of all others."""
    if kind == "syslog":
        (conf,) = blocks("rsyslog")
        for old, new in (
            ("/etc/rsyslog.d/ca.pem", pki.ca),
            ("/etc/rsyslog.d/server.pem", pki.server),
            ("/etc/rsyslog.d/server.key", pki.server_key),
            ('port="6514"', f'port="{port}" address="127.0.0.1"'),
        ):
            assert old in conf
            conf = conf.replace(old, new)
        return rsyslog(conf, folder)
    tls = f'tls={{certfile: "{pki.server}", keyfile: "{pki.server_key}"}}'
    where = f'127.0.0.1:{port}", {tls}'
    return tenzir(PIPELINES[kind].format(where=where) + "\nwrite_ndjson", folder)


@pytest.mark.parametrize("table", tables(), ids=lambda table: table["kind"])
def test_the_page(table: dict[str, Any], tmp_path: Path, pki: Pki) -> None:
    """The table as it stands on the page, but for address and files, delivers."""
    port = free_port()
    module = config.sink_module(table["kind"])
    receiver = server(table["kind"], port, tmp_path, pki)
    receiver.start(tcp(port))
    try:
        sink = module.open_sink(module.Options(**placed(table, port, tmp_path, pki)))
        assert sink.deliver(parcels(hostile())) == [Delivered()] * len(HOSTILE)
        sink.close()
        until(lambda: len(receiver.rows()) == len(HOSTILE))
    finally:
        receiver.stop()
