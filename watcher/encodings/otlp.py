"""OpenTelemetry's log data model, as OTLP/HTTP writes it in JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from watcher import __version__
from watcher.encodings.common import PRODUCT, Event, epoch_us, own_words, whole

_NUMBERS: Final = {
    "informational": 9, "low": 10, "medium": 13, "high": 17, "critical": 21,
}  # fmt: skip
"""INFO, INFO2, WARN, ERROR, FATAL."""


def otlp(events: list[Event]) -> dict[str, Any]:
    """Give events as one ExportLogsServiceRequest: a resource per host, events in order."""
    scope = {"name": PRODUCT, "version": __version__}
    hosts: dict[str, list[dict[str, Any]]] = {}
    resources: dict[str, dict[str, Any]] = {}
    for event in map(whole, events):
        key = repr(event["host"])
        resources.setdefault(key, _resource(event["host"]))
        hosts.setdefault(key, []).append(_record(event))
    logs = [
        {"resource": resources[key], "scopeLogs": [{"scope": scope, "logRecords": records}]}
        for key, records in hosts.items()
    ]
    return {"resourceLogs": logs}


def _resource(host: Event) -> dict[str, Any]:
    names = {"service.name": PRODUCT, "os.type": "linux"}
    return {
        "attributes": _attributes(names, {"host.name": host["name"], "host.id": host["machine_id"]})
    }


def _record(event: Event) -> dict[str, Any]:
    """One record; a line without a date has an observed time only, which the model allows."""
    dated = {} if event["time"] is None else {"timeUnixNano": _nanoseconds(event["time"])}
    return dated | {
        "observedTimeUnixNano": _nanoseconds(event["observed"]),
        "severityNumber": _NUMBERS[event["severity"]],
        "severityText": event["severity"],
        "eventName": f"linux.{event['kind']}",
        "body": {"stringValue": event["message"]},
        "attributes": _attributes(
            {
                "log.record.uid": event["id"],
                "process.pid": event["process"]["pid"],
                "lockdown_watcher.host.boot_id": event["host"]["boot_id"],
            },
            dict(_leaves("lockdown_watcher", own_words(event))),
        ),
    }


def _nanoseconds(stamp: str) -> str:
    return str(epoch_us(stamp) * 1000)


def _leaves(prefix: str, part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in part.items():
        if isinstance(value, dict):
            yield from _leaves(f"{prefix}.{name}", value)
        elif value != []:
            yield f"{prefix}.{name}", value


def _attributes(*parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Key and value of all that is known."""
    return [
        {"key": name, "value": _value(value)}
        for part in parts
        for name, value in part.items()
        if value is not None
    ]


def _value(value: Any) -> dict[str, Any]:
    """An AnyValue; whole numbers are text, for JSON's own end at 2**53."""
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _attributes(value)}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"boolValue": value} if isinstance(value, bool) else {"intValue": str(value)}
