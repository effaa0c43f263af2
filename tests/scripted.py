"""A receiver that plays a script over real sockets on loopback.

For what no real server does at will: refuse for a while, hang, answer by half, answer without end.
What real servers do is tried with real servers (tests/sinks).
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

Step = bytes | Callable[[socket.socket], None]
"""What to do with a request: bytes to answer with, or anything else to be done to the socket."""


@dataclass(frozen=True, slots=True)
class Request:
    """What came in."""

    target: str
    headers: dict[str, str]
    body: bytes


def free_port() -> int:
    """A port of loopback nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def answer(status: int, body: object = "", **headers: str) -> bytes:
    """An HTTP answer; what is no text becomes JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    fields = {"Content-Length": str(len(text.encode()))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n{text}".encode()


def hang(sock: socket.socket) -> None:
    """Say nothing until the other side gives up."""
    sock.settimeout(20)
    with contextlib.suppress(OSError):
        sock.recv(1)


def drip(sock: socket.socket) -> None:
    """Send a header that never ends, byte by byte: each read succeeds, the answer never comes."""
    stop = threading.Event()
    with contextlib.suppress(OSError):
        sock.sendall(b"HTTP/1.1 200 X\r\nX: ")
        while not stop.wait(0.05):
            sock.sendall(b"x")


def endless(sock: socket.socket) -> None:
    """Send an answer without end."""
    with contextlib.suppress(OSError):
        sock.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 99999999999\r\n\r\n")
        while True:
            sock.sendall(b"x" * 65_536)


def vanish(sock: socket.socket) -> None:
    """Close without a word."""
    sock.close()


class Scripted:
    """An HTTP server: each request takes the next step, the last one again and again."""

    def __init__(self, *script: Step, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self._script: Sequence[Step] = script
        self._tls = tls
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                with contextlib.suppress(OSError), self._secured(sock) as secured:
                    self._open.append(secured)
                    self._talk(secured)

    def _secured(self, sock: socket.socket) -> socket.socket:
        sock.settimeout(20)
        return self._tls.wrap_socket(sock, server_side=True) if self._tls else sock

    def _talk(self, sock: socket.socket) -> None:
        for request in _requests(sock):
            step = self._script[min(len(self.requests), len(self._script) - 1)]
            self.requests.append(request)
            if callable(step):
                step(sock)
                return
            sock.sendall(step)


def _requests(sock: socket.socket) -> Iterator[Request]:
    stream = sock.makefile("rb")
    with contextlib.closing(stream):
        while first := stream.readline():
            lines = iter(stream.readline, b"\r\n")
            pairs = (line.decode().rstrip("\r\n").split(": ", 1) for line in lines)
            headers: dict[str, Any] = {name.lower(): value for name, value in pairs}
            body = stream.read(int(headers.get("content-length", 0)))
            yield Request(first.decode().split(" ")[1], headers, body)


@contextlib.contextmanager
def tunnel(url: str) -> Iterator[str]:
    """A proxy that opens a tunnel to `url` for whoever asks with CONNECT; gives its address."""
    host, port = url.split("//")[1].split(":")

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                with client, socket.create_connection((host, int(port))) as target:
                    head = client.recv(65_536)
                    assert head.startswith(f"CONNECT {host}:{port} ".encode())
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    back = threading.Thread(target=_pump, args=(target, client))
                    back.start()
                    _pump(client, target)
                    back.join()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
