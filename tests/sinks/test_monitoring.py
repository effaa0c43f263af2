"""The dashboard, the alerts and the endpoint, as a real Prometheus takes them."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.outage.parts import Daemon
from tests.parts import missing
from tests.scripted import free_port
from tests.sinks.servers import Server, tcp, until

ROOT = Path(__file__).parent.parent.parent
MONITORING = ROOT / "docs" / "monitoring"
OTHERS = {"up", "node_textfile_mtime_seconds"}
"""Metrics of Prometheus itself and of node_exporter that the alerts look at."""


def program(name: str) -> str:
    """Where a program of Prometheus's is."""
    return shutil.which(name) or missing(f"{name} (package prometheus)")


def promtool(*args: str, given: bytes = b"") -> str:
    """Run it; what it says must be no complaint."""
    command = [program("promtool"), *args]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def test_promtool_takes_configuration_and_rules() -> None:
    """As they are shipped."""
    said = promtool("check", "config", str(MONITORING / "prometheus.yml"))
    assert "is valid prometheus config file" in said
    assert re.search(r"SUCCESS: \d\d rules found", said)


def test_each_alert_fires_when_it_should_and_not_else() -> None:
    """And none of them is without a case."""
    cases = ROOT / "tests" / "sinks" / "alerts.test.yml"
    assert "SUCCESS" in promtool("test", "rules", str(cases))
    names = re.findall(r"alert: (\w+)", (MONITORING / "alerts.yml").read_text())
    tried = set(re.findall(r"alertname: (\w+)\n", cases.read_text()))
    assert len(names) > 10
    assert set(names) == tried


# --- a Prometheus that scrapes a daemon


class Prometheus:
    """A real one, and the metrics of the daemon it scrapes."""

    def __init__(self, port: int, endpoint: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self.endpoint = f"http://127.0.0.1:{endpoint}/metrics"

    def ready(self) -> bool:
        """It has begun to answer questions."""
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{self._url}/-/ready", timeout=10).close()
            return True
        return False

    def ask(self, path: str, **query: str) -> Any:
        """Ask its API; it must answer without an error."""
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            told = json.load(answer)
        assert told["status"] == "success"
        assert not told.get("warnings")
        return told["data"]

    def value(self, expression: str) -> list[float]:
        """The values of an expression now."""
        found = self.ask("query", query=expression)["result"]
        return [float(each["value"][1]) for each in found]

    def scraped(self) -> bytes:
        """What the daemon answers now."""
        with urllib.request.urlopen(self.endpoint, timeout=10) as answer:
            return bytes(answer.read())


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that follows the shipped configuration, but for its pace and the port it scrapes."""
    folder = tmp_path_factory.mktemp("prometheus")
    port, endpoint = free_port(), free_port()
    config = (MONITORING / "prometheus.yml").read_text()
    for shipped, here in (
        ("127.0.0.1:9773", f"127.0.0.1:{endpoint}"),
        ("30s", "1s"),
        ("[alerts.yml]", f"[{MONITORING}/alerts.yml]"),
    ):
        assert shipped in config
        config = config.replace(shipped, here)
    (folder / "prometheus.yml").write_text(config)
    command = [
        program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    tables = (
        f'[metrics]\nlisten = "127.0.0.1:{endpoint}"\n[source]\nkind = "kmsg"\n'
        f'[[sink]]\nkind = "file"\npath = "{folder}/events"\n'
    )
    server = Server(command, folder)
    with ExitStack() as stack:
        daemon = stack.enter_context(Daemon(folder, tables))
        until(tcp(endpoint), 30, daemon.log.read_text)
        stack.callback(server.stop)
        found = Prometheus(port, endpoint)
        server.start(found.ready)
        until(lambda: found.value("lockdown_watcher_caught_up") == [1], 30, server.complaint)
        yield found


def test_a_real_prometheus_scrapes_it(prometheus: Prometheus) -> None:
    """The target is up, and what it shows is what the daemon told."""
    (target,) = prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert prometheus.value("lockdown_watcher_up") == [1]
    assert prometheus.value("sum(lockdown_watcher_lockdown_level)") == [1]
    assert prometheus.value("lockdown_watcher_log_lines_total")[0] > 0


def test_promtool_has_nothing_to_say_of_the_metrics(prometheus: Prometheus) -> None:
    """Names, types, units and help are as Prometheus's conventions have them."""
    assert promtool("check", "metrics", given=prometheus.scraped()) == ""


def test_it_has_the_alerts(prometheus: Prometheus) -> None:
    """Each is evaluated without error, and is about metrics that there are."""
    (group,) = prometheus.ask("rules")["groups"]
    until(lambda: prometheus.ask("rules")["groups"][0]["rules"][0]["lastEvaluation"] > "0002", 90)
    for rule in prometheus.ask("rules")["groups"][0]["rules"]:
        assert not rule.get("lastError"), rule
        named(rule["query"], prometheus)
    assert len(group["rules"]) > 10


def expressions(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each panel's title and what it asks for, its variables filled in."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
            yield panel["title"], text


def test_every_panel_of_the_dashboard_has_its_data(prometheus: Prometheus) -> None:
    """Every metric it names is there, every expression is one, and most show something now."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    asked = list(expressions(dashboard))
    for _, text in asked:
        named(text, prometheus)
    # Nothing may have happened lately, and no journal of ours is read here.
    quiet = {"Events by kind", "Lines lost, by cause", "Canary: through the journal and back"}
    titles = {title for title, _ in asked}
    assert quiet < titles

    def empty() -> set[str]:
        return titles - {title for title, text in asked if prometheus.value(text)}

    until(lambda: empty() <= quiet, 90, lambda: str(empty()))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def named(expression: str, prometheus: Prometheus) -> str:
    """Make sure that every metric of an expression is one the daemon tells; give the expression."""
    text = re.sub(r"\{.*?\}|\[.*?\]|\b(?:by|on|group_left) \(.*?\)", "", expression)
    functions = r"(?!\w|\s*\(|\s+by\b)"
    words = set(re.findall(rf"\b[a-z]\w+{functions}", text)) - {"and", "max", "min", "sum"}
    helped = set(re.findall(r"# HELP (\S+)", prometheus.scraped().decode()))
    assert words
    assert words - OTHERS <= helped, words - helped
    return expression
