"""One event as a syslog message of RFC 5424. Pure: event in, bytes out.

MSG is the event in the wanted encoding; the structured data names what people filter by, for
receivers that read no JSON. What an ordinary terminal would obey is escaped in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from watcher.encodings import Encoding, Event, line
from watcher.encodings.brief import brief
from watcher.encodings.common import moment, whole
from watcher.kinds import Severity
from watcher.sinks.plain import plain

FACILITIES: Final = {"user": 1, "daemon": 3, "auth": 4, "authpriv": 10} | {
    f"local{number}": 16 + number for number in range(8)
}
_SEVERITIES: Final[dict[Severity, int]] = {
    "informational": 6, "low": 5, "medium": 4, "high": 3, "critical": 2,
}  # fmt: skip
_NIL: Final = "-"
_BOM: Final = b"\xef\xbb\xbf"
_QUOTED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "]": r"\]"})
_LONGEST_HOST: Final = 255


@dataclass(frozen=True, slots=True)
class Form:
    """How messages are made: what stands in each, and how long one may be in bytes."""

    facility: str
    enterprise: int
    encoding: Encoding
    most: int
    pid: int


def message(form: Form, event: Event) -> bytes | None:
    """Give the message; for a long event a shortened one that says so; None if too long still."""
    found = _message(form, event, {})
    if len(found) > form.most:
        found = _message(form, brief(event), {"shortened": "1"})
    return found if len(found) <= form.most else None


def _message(form: Form, event: Event, more: dict[str, str]) -> bytes:
    event = whole(event)
    head = (
        f"<{FACILITIES[form.facility] * 8 + _SEVERITIES[event['severity']]}>1",
        moment(event)[0],
        _host(event["host"]["name"]),
        "lockdown-watcher",
        str(form.pid),
        event["kind"],
        _element(f"lockdown@{form.enterprise}", _parameters(event) | more),
    )
    return " ".join(head).encode() + b" " + _text(line(form.encoding, event))


def _host(name: str | None) -> str:
    visible = "".join(char for char in name or "" if "!" <= char <= "~")
    return visible[:_LONGEST_HOST] or _NIL


def _text(text: str) -> bytes:
    """UTF-8 is marked as such; plain ASCII needs no mark, and JSON parsers bear none."""
    return text.encode() if text.isascii() else _BOM + text.encode()


def _parameters(event: Event) -> dict[str, Any]:
    said, process = event["lockdown"], event["process"]
    return {
        "id": event["id"],
        "severity": event["severity"],
        "title": event["title"],
        "reason": said["reason"],
        "cause": said["cause"],
        "level": said["level"],
        "suppressed": said["suppressed"],
        "comm": process["comm"],
        "pid": process["pid"],
        "trust": event["origin"]["trust"],
        "bootId": event["host"]["boot_id"],
        "timeSource": moment(event)[1],
    }


def _element(name: str, parameters: dict[str, Any]) -> str:
    pairs = ((key, value) for key, value in parameters.items() if value is not None)
    return "".join((f"[{name}", *(f' {key}="{_value(value)}"' for key, value in pairs), "]"))


def _value(value: object) -> str:
    return plain(str(value)).translate(_QUOTED)
