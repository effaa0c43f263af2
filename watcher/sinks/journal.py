"""The systemd journal, over its native socket: own MESSAGE_ID a kind, fields LOCKDOWN_*."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from watcher.encodings import Event
from watcher.sinks.encoded import deliver_encoded
from watcher.sinks.sink import Delivered, Parcel, Retry, SinkOptions, Verdict

NAMESPACE: Final = uuid.UUID("7b8f7f3c-8a50-5c39-9f0e-6d1c7b0f4a22")
SOCKET: Final = Path("/run/systemd/journal/socket")
_PRIORITY: Final = {"informational": 6, "low": 5, "medium": 4, "high": 3, "critical": 2}


class Options(SinkOptions):
    """Events into this machine's journal, where `journalctl -t lockdown-watcher` shows them."""

    kind: Literal["journal"]


def open_sink(options: Options) -> JournalSink:  # noqa: ARG001 - it has none of its own
    """Make the sink."""
    return JournalSink()


def message_id(kind: str) -> str:
    """Give the MESSAGE_ID of a kind of event, 32 hexadecimal digits; it never changes."""
    return uuid.uuid5(NAMESPACE, kind).hex


class JournalSink:
    """Sends each event as one entry."""

    def deliver(self, batch: Sequence[Parcel]) -> list[Verdict]:
        """Send the batch; journald confirms nothing, so what its socket took is delivered."""
        return deliver_encoded(batch, fields, _send)

    def close(self) -> None:
        """Nothing is held open."""


def _send(batch: Sequence[Parcel], entries: Sequence[list[str]]) -> list[Verdict]:
    from systemd import journal

    sent: list[Verdict] = []
    for parcel, entry in zip(batch, entries, strict=True):
        # sd_journal_sendv says nothing at all where there is no socket.
        if not SOCKET.exists():
            return [*sent, *[Retry(f"{SOCKET} is not there")] * (len(batch) - len(sent))]
        try:
            journal.sendv(*entry, f"LOCKDOWN_EVENT={parcel.line}")
        except OSError as error:
            return [*sent, *[Retry(f"{SOCKET}: {error.strerror}")] * (len(batch) - len(sent))]
        sent.append(Delivered())
    return sent


def fields(event: Event) -> list[str]:
    """Give the entry's fields, each NAME=value, but for the event itself."""
    process = event["process"]["comm"]
    message = event["title"] + ("" if process is None else f" (process: {process})")
    named: dict[str, Any] = {
        "MESSAGE": f"{message}: {event['message']}",
        "MESSAGE_ID": message_id(event["kind"]),
        "PRIORITY": _PRIORITY[event["severity"]],
        "SYSLOG_IDENTIFIER": "lockdown-watcher",
        "LOCKDOWN_EVENT_ID": event["id"],
        "LOCKDOWN_KIND": event["kind"],
        "LOCKDOWN_SEVERITY": event["severity"],
        "LOCKDOWN_TIME": event["time"],
        "LOCKDOWN_REASON": event["lockdown"]["reason"],
        "LOCKDOWN_CAUSE": event["lockdown"]["cause"],
        "LOCKDOWN_LEVEL": event["lockdown"]["level"],
        "LOCKDOWN_COMM": process,
        "LOCKDOWN_ADVICE": event["advice"],
        "LOCKDOWN_TRUST": event["origin"]["trust"],
    }
    return [f"{name}={value}" for name, value in named.items() if value is not None]
