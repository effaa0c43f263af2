r"""CEF (ArcSight's Common Event Format, version 0): one line, few words, so the advice stays home.

In the header `\` and `|` are escaped, in the extension `\`, `=` and line breaks. Other controls,
invisible characters are written as \x1b and the like; so are `|` and `"` in the extension, for some
receivers split at the one wherever it stands, and let the other swallow the fields that follow.
"""

from __future__ import annotations

from typing import Any, Final

from watcher import __version__
from watcher.encodings.common import PRODUCT, REFUSALS, Event, epoch_ms, grade, moment, whole
from watcher.hidden import HIDDEN

_SHOWN: Final = {code: f"\\\\x{code:02x}" for code in range(0x20)} | {
    code: f"\\\\u{code:04x}" for code in HIDDEN
}
_HEADER: Final = _SHOWN | {ord("\\"): r"\\", ord("|"): r"\|"}
_EXTENSION: Final = _SHOWN | {
    ord("\\"): r"\\", ord("="): r"\=", ord("\n"): r"\n", ord("\r"): r"\r",
    ord("|"): r"\\x7c", ord('"'): r"\\x22",
}  # fmt: skip
_SEVERITIES: Final = (0, 1, 3, 5, 8, 10)


def cef(event: Event) -> str:
    """Give the event as one line of CEF."""
    event = whole(event)
    names = (PRODUCT, PRODUCT, __version__, event["kind"], event["title"])
    header = "|".join(name.translate(_HEADER) for name in names)
    pairs = ((key, value) for key, value in _extension(event).items() if value is not None)
    extension = " ".join(f"{key}={str(value).translate(_EXTENSION)}" for key, value in pairs)
    return f"CEF:0|{header}|{_SEVERITIES[grade(event)]}|{extension}"


def _extension(event: Event) -> dict[str, Any]:
    said, host, process = event["lockdown"], event["host"], event["process"]
    stamp, source = moment(event)
    count = event["gap"]["count"] if event["gap"] else said["suppressed"]
    return {
        "rt": epoch_ms(stamp),
        "externalId": event["id"],
        "cat": event["kind"],
        "outcome": "failure" if event["kind"] in REFUSALS else None,
        "dvchost": host["name"],
        "deviceExternalId": host["machine_id"],
        "sproc": process["comm"],
        "spid": process["pid"],
        "msg": event["message"],
        **_labelled("cs1", "lockdownReason", said["reason"] or said["text"]),
        **_labelled("cs2", "lockdownCause", said["cause"]),
        **_labelled("cs3", "lockdownLevel", said["level"]),
        **_labelled("cs4", "trust", event["origin"]["trust"]),
        **_labelled("cs5", "rules", ",".join(rule["id"] for rule in event["rules"]) or None),
        **_labelled("cs6", "timeSource", source),
        **_labelled("cn1", "count", count),
        **_labelled("flexString1", "state", _state(event)),
        **_labelled("flexString2", "warnings", "; ".join(event["warnings"]) or None),
    }


def _labelled(key: str, label: str, value: object) -> dict[str, Any]:
    return {} if value is None else {f"{key}Label": label, key: value}


def _state(event: Event) -> str | None:
    """What a state became: Secure Boot's, the posture's, or which module it is about."""
    if event["secure_boot"]:
        return f"secure boot {event['secure_boot']['state']}"
    if event["posture"]:
        return f"{event['posture']['before']} to {event['posture']['after']}"
    return f"module {event['module']['name']}" if event["module"] else None
