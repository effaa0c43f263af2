"""The metrics over HTTP, for a Prometheus on this machine. A thread that sleeps until asked.

Who connects is answered in a thread of his own, CONNECTIONS at most: the oldest is let go for one
more, so that nobody who sends his request for ever keeps others from the answer.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from watcher.errors import WatcherError

CONNECTIONS: Final = 8
TIMEOUT_S: Final = 5.0
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus's own name for its text format."""


class Endpoint:
    """Listens on an address and answers GET /metrics with what `answer` gives. Raises OSError."""

    def __init__(self, address: tuple[str, int], answer: Callable[[], bytes]) -> None:
        self._server = _Server(address, answer)
        self._stopping = False
        threading.Thread(target=self._serve, name="metrics", daemon=True).start()

    @property
    def port(self) -> int:
        """Give the port it listens on."""
        return self._server.server_port

    def close(self) -> None:
        """Listen no more."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread

    def _serve(self) -> None:
        # Not serve_forever, which looks twice a second whether it is to end.
        while not self._stopping:
            self._server.handle_request()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    timeout = None

    def __init__(self, address: tuple[str, int], answer: Callable[[], bytes]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.answer = answer
        self._open: deque[socket.socket] = deque()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind, and ask no resolver for a name, as the library would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, and let go of the oldest connection beyond CONNECTIONS."""
        self._open.append(request)
        while len(self._open) > CONNECTIONS:
            with contextlib.suppress(OSError):
                self._open.popleft().shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        with contextlib.suppress(ValueError):
            self._open.remove(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever asked has gone, and would fill the log at will."""


class _Handler(BaseHTTPRequestHandler):
    timeout = TIMEOUT_S
    server: _Server

    def do_GET(self) -> None:
        """Give the metrics."""
        if self.path.partition("?")[0] not in ("/metrics", "/"):
            self._give(404, b"the metrics are at /metrics\n")
            return
        try:
            text = self.server.answer()
        except WatcherError as error:
            self._give(503, f"{error}\n".encode(errors="replace"))
        else:
            self._give(200, text)

    def _give(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", TEXT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Give no version away."""
        return "lockdown-watcher"

    def log_message(self, *_: object) -> None:
        """Say nothing."""
