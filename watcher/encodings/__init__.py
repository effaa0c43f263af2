"""The event in other people's words: event in, document or line out.

Pure: no clock, disk or socket, so a test needs nothing but data. An event is the data of its own
JSON line (schema 1). Every encoding keeps hostile text as data, and keeps what it has no word of
its own for (CEF, which has few words, is the exception and says so).
"""

from __future__ import annotations

from typing import Any, Final, Literal

from watcher.encodings.cef import cef
from watcher.encodings.common import Event, json_text, whole
from watcher.encodings.ecs import ecs
from watcher.encodings.ocsf import ocsf

__all__ = ["DocumentEncoding", "Encoding", "Event", "document", "json_text", "line"]

DocumentEncoding = Literal["native", "ecs", "ocsf"]
"""Encodings that are JSON objects."""

Encoding = Literal["native", "ecs", "ocsf", "cef"]

_DOCUMENTS: Final = {"native": whole, "ecs": ecs, "ocsf": ocsf}


def document(encoding: DocumentEncoding, event: Event) -> dict[str, Any]:
    """Give the event as a JSON object: `native` as it is, `ecs` or `ocsf`."""
    return _DOCUMENTS[encoding](event)


def line(encoding: Encoding, event: Event) -> str:
    """Give the event as one line without its newline: CEF, or JSON in plain ASCII."""
    return cef(event) if encoding == "cef" else json_text(document(encoding, event))
