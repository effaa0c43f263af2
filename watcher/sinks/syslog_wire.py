"""How syslog messages travel: datagrams one by one, streams with one verdict for a batch."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import ssl
import struct
import termios
from collections.abc import Sequence
from typing import Final, Protocol

from watcher.sinks.network import Deadline, reason_of
from watcher.sinks.sink import Delivered, Refused, Retry, Verdict

_PIECE: Final = 65_536
_GOODBYE_S: Final = 0.5
_PATIENCE_S: Final = 0.3
"""How long a new TLS connection is watched for a refusal of our certificate: with TLS 1.3 that
comes after our side of the handshake is done and would find the first batch gone."""

_LOOK_S: Final = 0.005

Place = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""


class Wire(Protocol):
    """A way to a syslog receiver."""

    def send(self, messages: Sequence[bytes], deadline: Deadline) -> list[Verdict]:
        """Send; give a verdict for each message."""

    def close(self) -> None:
        """Let go of the socket."""


# --- datagrams


class Datagram:
    """UDP, or a Unix socket: datagrams first, a stream if that is what listens there."""

    def __init__(self, where: Place) -> None:
        self._where = where
        self._link: socket.socket | Stream | None = None

    def send(self, messages: Sequence[bytes], deadline: Deadline) -> list[Verdict]:
        """Send each as one datagram.

        What a Unix socket took before a failure is delivered; a failure of UDP tells of datagrams
        sent before, so there all goes again.
        """
        verdicts: list[Verdict] = []
        try:
            if self._link is None:
                self._link = self._open(deadline)
            if isinstance(self._link, Stream):
                return self._link.send(messages, deadline)
            for text in messages:
                verdicts.append(_sent(self._link, text, deadline))  # noqa: PERF401 - kept on failure
            _complaints(self._link)
        except OSError as error:
            self.close()
            known = verdicts if isinstance(self._where, str) else []
            failed = Retry(f"{_named(self._where)}: {reason_of(error)}")
            return [*known, *[failed] * (len(messages) - len(known))]
        return verdicts

    def close(self) -> None:
        """Close the socket."""
        if self._link:
            self._link.close()
        self._link = None

    def _open(self, deadline: Deadline) -> socket.socket | Stream:
        try:
            return _connected(self._where, socket.SOCK_DGRAM, deadline)
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:
                raise
            return Stream(self._where, None)


def _sent(sock: socket.socket, text: bytes, deadline: Deadline) -> Verdict:
    sock.settimeout(deadline.left())
    try:
        sock.send(text)
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            raise
        return Refused(f"{len(text)} bytes are too long for one datagram here: lower max_bytes")
    return Delivered()


def _complaints(sock: socket.socket) -> None:
    """Raise what the network has already said about the datagrams (port unreachable)."""
    if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(code, os.strerror(code))


# --- streams


class Stream:
    """TCP or TLS with octet counting (RFC 6587, RFC 5425); a Unix stream with line ends."""

    def __init__(self, where: Place, tls: ssl.SSLContext | None) -> None:
        self._where = where
        self._tls = tls
        self._socket: socket.socket | None = None

    def send(self, messages: Sequence[bytes], deadline: Deadline) -> list[Verdict]:
        """Send all over one connection; one verdict for all, for nobody knows which were lost."""
        try:
            self._send(b"".join(map(self._frame, messages)), deadline)
        except OSError as error:
            self._drop()
            return [Retry(f"{_named(self._where)}: {reason_of(error)}")] * len(messages)
        return [Delivered()] * len(messages)

    def close(self) -> None:
        """Say goodbye (TLS close_notify) and close."""
        if isinstance(self._socket, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self._socket.settimeout(_GOODBYE_S)
                self._socket.unwrap()
        self._drop()

    def _frame(self, text: bytes) -> bytes:
        return text + b"\n" if isinstance(self._where, str) else b"%d %b" % (len(text), text)

    def _send(self, data: bytes, deadline: Deadline) -> None:
        if self._socket and _is_gone(self._socket):
            self._drop()
        if self._socket is None:
            self._socket = self._open(deadline)
        for start in range(0, len(data), _PIECE):
            self._socket.settimeout(deadline.left())
            self._socket.sendall(data[start : start + _PIECE])
        self._await_receipt(self._socket, deadline)

    def _open(self, deadline: Deadline) -> socket.socket:
        sock = _connected(self._where, socket.SOCK_STREAM, deadline)
        return _secured(sock, self._tls, self._where[0], deadline) if self._tls else sock

    def _await_receipt(self, sock: socket.socket, deadline: Deadline) -> None:
        """Wait until the other machine has every byte; raise what it says against them."""
        while True:
            if _is_gone(sock):
                raise ConnectionResetError(errno.ECONNRESET, "the receiver closed the connection")
            if isinstance(self._where, str) or not _unsent(sock):
                return
            _readable(sock, min(_LOOK_S, deadline.left()))

    def _drop(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket = None


def _secured(
    sock: socket.socket, tls: ssl.SSLContext, host: str, deadline: Deadline
) -> ssl.SSLSocket:
    try:
        sock.settimeout(deadline.left())
        sock = tls.wrap_socket(sock, server_hostname=host)
        _await_refusal(sock, deadline)
    except BaseException:
        sock.close()
        raise
    return sock


def _await_refusal(sock: ssl.SSLSocket, deadline: Deadline) -> None:
    """Give a TLS 1.3 server the time to refuse our certificate; a session ticket is a yes."""
    if sock.version() == "TLSv1.3":
        _readable(sock, min(_PATIENCE_S, deadline.left()))
        if _is_gone(sock, tell=True):
            raise ConnectionResetError(
                errno.ECONNRESET, "the receiver closed at once: does it trust our certificate?"
            )


def _is_gone(sock: socket.socket, *, tell: bool = False) -> bool:
    """Tell whether the receiver closed or broke the connection; `tell` raises its complaint.

    A receiver of syslog has nothing to say: what it sends (session tickets) is read and dropped.
    """
    sock.settimeout(0)
    try:
        while sock.recv(_PIECE):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        if tell:
            raise
        return True
    return True


def _readable(sock: socket.socket, seconds: float) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.poll(seconds * 1000)


def _unsent(sock: socket.socket) -> int:
    """Give the bytes that the other machine has not confirmed yet (SIOCOUTQ)."""
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    count: int = struct.unpack("i", answer)[0]
    return count


def _connected(where: Place, kind: socket.SocketKind, deadline: Deadline) -> socket.socket:
    """Connect to the first address that answers. Raises OSError of the last that did not."""
    if isinstance(where, str):
        return _connect(socket.AF_UNIX, kind, where, deadline)
    failure: OSError | None = None
    for family, _, _, _, address in socket.getaddrinfo(*where, type=kind):
        try:
            return _connect(family, kind, address, deadline)
        except OSError as error:
            failure = error
    raise failure or OSError(errno.EHOSTUNREACH, "no address")


def _connect(
    family: int, kind: socket.SocketKind, address: object, deadline: Deadline
) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        sock.settimeout(deadline.left())
        sock.connect(address)  # type: ignore[arg-type]
    except BaseException:
        sock.close()
        raise
    return sock


def _named(where: Place) -> str:
    return where if isinstance(where, str) else f"{where[0]}:{where[1]}"
