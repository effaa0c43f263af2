"""Syslog, RFC 5424, over UDP, TCP, TLS or a Unix socket.

Syslog has no acknowledgement: delivered means that the receiver's machine has the bytes and that
nothing told otherwise. After a broken connection the whole batch goes again; the ids tell what
arrived twice.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from watcher.encodings import Encoding, Event
from watcher.sinks.encoded import deliver_encoded
from watcher.sinks.network import Deadline, NetworkOptions, address_parts, tls_context
from watcher.sinks.sink import Parcel, Sink, Verdict
from watcher.sinks.syslog_message import Form, message
from watcher.sinks.syslog_wire import Datagram, Stream, Wire

_PORTS: Final = {"udp": 514, "tcp": 514, "tls": 6514}
_LONGEST_DATAGRAM: Final = 65_507


def _address(text: str) -> str:
    parts = address_parts(text)
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return text
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/"):
        raise ValueError("must be udp://HOST[:PORT], tcp://..., tls://... or unix:///PATH")
    return text


class Options(NetworkOptions):
    """Where messages go and what stands in them."""

    kind: Literal["syslog"]
    address: Annotated[str, AfterValidator(_address)] = Field(
        description="udp://HOST[:514], tcp://HOST[:514], tls://HOST[:6514] or unix:///PATH"
    )
    encoding: Encoding = Field(default="native", description="of MSG: native, ecs, ocsf or cef")
    facility: Literal[
        "user", "daemon", "auth", "authpriv", "local0", "local1", "local2", "local3", "local4",
        "local5", "local6", "local7",
    ] = Field(default="daemon", description="the syslog facility")  # fmt: skip
    enterprise: Annotated[int, Field(ge=1, le=2**32)] = Field(
        default=32473,
        description="the private enterprise number in the SD-ID; 32473 is RFC 5612's for examples",
    )
    max_bytes: Annotated[int, Field(ge=2048, le=1_048_576)] = Field(
        default=8192,
        description="of one message; a longer event is shortened and says so",
    )


def open_sink(options: Options) -> Sink:
    """Open the sink; nothing is connected yet. Raises UsageError for what is missing."""
    return _Syslog(options, _wire(options))


def _wire(options: Options) -> Wire:
    parts = urlsplit(options.address)
    if parts.scheme == "unix":
        return Datagram(parts.path)
    where = (parts.hostname or "", parts.port or _PORTS[parts.scheme])
    if parts.scheme == "udp":
        return Datagram(where)
    return Stream(where, tls_context(options) if parts.scheme == "tls" else None)


class _Syslog:
    def __init__(self, options: Options, wire: Wire) -> None:
        self._wire = wire
        self._timeout_s = options.timeout_s
        datagram = options.address.startswith("udp")
        self._form = Form(
            facility=options.facility,
            enterprise=options.enterprise,
            encoding=options.encoding,
            most=min(options.max_bytes, _LONGEST_DATAGRAM) if datagram else options.max_bytes,
            pid=os.getpid(),
        )

    def deliver(self, batch: Sequence[Parcel]) -> list[Verdict]:
        return deliver_encoded(batch, self._message, self._send)

    def _message(self, event: Event) -> bytes:
        found = message(self._form, event)
        if found is None:
            raise ValueError(f"longer than max_bytes ({self._form.most}), even shortened")
        return found

    def _send(self, _: Sequence[Parcel], messages: Sequence[bytes]) -> list[Verdict]:
        return self._wire.send(messages, Deadline(self._timeout_s))

    def close(self) -> None:
        self._wire.close()
