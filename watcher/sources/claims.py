"""Turns what the frames of a text line told into a record: who claims to have written it.

Nobody can verify a text file, so a record is "unverified" at best; it is "injected" where the
frame itself says that a process wrote what claims to be the kernel's. Field names are
journald's (systemd.journal-fields).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from watcher.provenance import split_identifier
from watcher.record import Host, Place, Record, Trust
from watcher.sources.frames import Framed
from watcher.sources.stamps import Moment

_DICTIONARY: Final = {"SUBSYSTEM": "_KERNEL_SUBSYSTEM", "DEVICE": "_KERNEL_DEVICE"}


def record_of_frame(
    framed: Framed,
    place: Place,
    moment: Moment,
    observed_us: int,
    dictionary: Mapping[str, str] | None = None,
) -> Record:
    """Give the record of one line; `dictionary` is what /dev/kmsg's ` KEY=value` lines said."""
    fields = _fields(framed)
    for key, value in (dictionary or {}).items():
        if key in _DICTIONARY:
            fields[_DICTIONARY[key]] = value
    return Record(
        text=framed.text,
        place=place,
        trust=_trust(framed),
        fields=fields,
        host=Host(name=framed.hostname),
        observed_us=observed_us,
        time_us=moment.time_us,
        time_error_us=moment.error_us,
        monotonic_us=framed.monotonic_us,
        warnings=moment.warnings,
    )


def _trust(framed: Framed) -> Trust:
    if framed.program is not None:
        return "unverified"
    if framed.identifier == "kernel" and framed.pid is not None:
        return "injected"  # the kernel has no process id; logger -i -t kernel has one
    if framed.identifier == "audit":
        return "unverified"
    return "injected" if framed.facility else "unverified"


def _fields(framed: Framed) -> dict[str, str]:
    named: dict[str, str | None] = {
        "MESSAGE": framed.text,
        "_HOSTNAME": framed.hostname,
        "PRIORITY": _decimal(framed.level),
        **_sender(framed),
    }
    if framed.seq is not None:
        named["_SOURCE_MONOTONIC_TIMESTAMP"] = _decimal(framed.monotonic_us)
    return {name: value for name, value in named.items() if value is not None}


def _sender(framed: Framed) -> dict[str, str | None]:
    if framed.identifier == "audit":
        return {"_TRANSPORT": "audit", "_AUDIT_TYPE": "1400", "SYSLOG_IDENTIFIER": "audit"}
    if framed.program is not None or framed.pid is not None:
        return {
            "_TRANSPORT": "syslog",
            "SYSLOG_FACILITY": _decimal(framed.facility),
            "SYSLOG_IDENTIFIER": framed.program or framed.identifier,
            "SYSLOG_PID": _decimal(framed.pid),
        }
    facility = framed.facility or 0
    claim: dict[str, str | None] = {
        "_TRANSPORT": "kernel",
        "SYSLOG_FACILITY": str(facility),
        "SYSLOG_IDENTIFIER": "kernel",
    }
    return {**claim, **_parted(framed)} if facility and framed.device else claim


def _parted(framed: Framed) -> dict[str, str | None]:
    """Take the line of a process apart as journald does when it reads one from /dev/kmsg."""
    identifier, pid, message = split_identifier(framed.text)
    return {"SYSLOG_IDENTIFIER": identifier, "SYSLOG_PID": pid, "MESSAGE": message}


def _decimal(number: int | None) -> str | None:
    return None if number is None else str(number)
