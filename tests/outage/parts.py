"""A daemon of the test's own, and a bulk receiver that is as slow as the test wants."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from watcher.delivery.store import Reading, Store
from watcher.errors import StoreError

PATIENCE_S = 60.0


def until(
    look: Callable[[], object],
    what: str,
    patience_s: float = PATIENCE_S,
    why: Callable[[], object] = lambda: "",
) -> None:
    """Wait for it; fails after `patience_s`, with what `why` knows."""
    end = time.monotonic() + patience_s
    while not look():
        assert time.monotonic() < end, f"waited in vain for {what}: {why()}"
        time.sleep(0.01)


class Daemon:
    """`lockdown-watcher daemon` with a configuration of its own, in a folder of its own."""

    def __init__(self, folder: Path, config: str, within: Sequence[str] = ()) -> None:
        """`within`: a command that starts it, as unshare does."""
        self._within = within
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "config.toml"
        self.config.write_text(f'[store]\ndir = "{self.state}"\n{config}')
        self.log = folder / "daemon.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it may be running already without harm done, which is a test of its own."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._within,
                    sys.executable,
                    "-m",
                    "watcher",
                    "daemon",
                    "--config",
                    str(self.config),
                ],
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process
        return self._process.pid

    def wait(self, timeout_s: float) -> int:
        """Wait until it ends by itself; give its status, negative for a signal."""
        assert self._process
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def stop(self) -> float:
        """SIGTERM; give the seconds it took to end, which must be with status 0."""
        assert self._process
        since = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(30) == 0, self.log.read_text()
        return time.monotonic() - since

    def rss_mb(self) -> float:
        """Give its memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu_s(self) -> float:
        """Give the CPU time it took so far."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def recorded(self, mark: str) -> list[str]:
        """Give the ids of recorded events whose message holds `mark`, in order."""
        with contextlib.suppress(StoreError), Reading(self.state) as reading:
            found = [json.loads(line) for line in reading.lines() if mark in line]
            return [event["id"] for event in found]
        return []  # it has only begun

    def gaps(self) -> list[str]:
        """Give what it recorded of lines that are missing, which another test may have washed."""
        with Reading(self.state) as reading:
            found = [json.loads(line) for line in reading.lines() if "watch.gap" in line]
        return [f"{event['title']} ({event['message']})" for event in found]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self.kill()


class Bulk:
    """`_bulk` of Elasticsearch as far as `create` goes: scripted, for no real one can be told to
    be slow, down or hung at a chosen moment."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []
        self.requests: list[list[str]] = []
        self.delay_s = delay_s
        self.status = 200
        bulk = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(bulk.delay_s)
                answer = bulk.take(body) if bulk.status == 200 else b"{}"
                self.send_response(bulk.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, body: bytes) -> bytes:
        """Create each document that is not there yet, by its id."""
        lines = [json.loads(line) for line in body.splitlines()]
        items = [self._create(*pair) for pair in zip(lines[::2], lines[1::2], strict=True)]
        self.requests.append([each["create"]["_id"] for each in items])
        return json.dumps({"errors": False, "items": items}).encode()

    def _create(self, action: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
        name = action["create"]["_id"]
        if name in self.documents:
            return {"create": {"_id": name, "status": 409}}
        self.documents[name] = document
        self.order.append(name)
        return {"create": {"_id": name, "status": 201}}

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()


def filled(folder: Path) -> Store:
    """Open the store of a daemon that does not run."""
    return Store(folder / "state")
