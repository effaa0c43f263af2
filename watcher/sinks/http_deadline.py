"""httpcore2's network with one deadline for a whole exchange.

The library's own timeouts are for each read and write alone: a receiver that sends one byte now
and then would hold a delivery for ever.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any, Final

import httpcore2

from watcher.sinks.network import Deadline

_PIECE: Final = 65_536


class DeadlineBackend(httpcore2.NetworkBackend):
    """Connects over TCP; all that follows ends by `deadline`, which is set before each request."""

    def __init__(self) -> None:
        self.deadline = Deadline(0)
        self._inner = httpcore2.SyncBackend()

    def left(self) -> float:
        """Give the seconds left. Raises ReadTimeout if there are none."""
        try:
            return self.deadline.left()
        except TimeoutError:
            raise httpcore2.ReadTimeout from None

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline rules
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect. Raises ConnectError and ConnectTimeout."""
        stream = self._inner.connect_tcp(host, port, self.left(), local_address, socket_options)
        return _Stream(stream, self)


class _Stream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream, backend: DeadlineBackend) -> None:
        self._inner = inner
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._inner.read(max_bytes, self._backend.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        for start in range(0, len(buffer), _PIECE):
            self._inner.write(buffer[start : start + _PIECE], self._backend.left())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        left = self._backend.left()
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
