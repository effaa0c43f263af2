"""The metrics over HTTP, for a Prometheus on this machine. A thread that sleeps until asked.

Who connects is answered in a thread of his own, CONNECTIONS at most: the oldest is let go for one
more, so that nobody who sends his request for ever keeps others from the answer.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
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
_HOST: Final = re.compile(r"(?:localhost|127(?:\.[0-9]+){3}|\[::1\])(?::[0-9]*)?", re.IGNORECASE)
"""What stands in Host where loopback is asked by a name or address of its own."""


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
        self.is_loopback = ipaddress.ip_address(address[0]).is_loopback
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

    def do_HEAD(self) -> None:
        """Give the head of what GET would give."""
        self.do_GET()

    def do_GET(self) -> None:
        """Give the metrics."""
        if not self._is_meant():
            self._give(421, b"ask for localhost, or by the address\n")
            return
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
        if self.command != "HEAD":
            self.wfile.write(body)

    def _is_meant(self) -> bool:
        """Tell whether it was loopback that was asked, where that is all that may ask.

        Otherwise a page in a browser here could read it, by a name of its own that it then lets
        lead to 127.0.0.1 (DNS rebinding). What is open to the network has any name.
        """
        host = self.headers.get("Host")  # HTTP/1.0 needs none, browsers always send it
        return not self.server.is_loopback or host is None or bool(_HOST.fullmatch(host))

    def version_string(self) -> str:
        """Give no version away."""
        return "lockdown-watcher"

    def log_message(self, *_: object) -> None:
        """Say nothing."""
