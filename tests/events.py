"""Events for tests of what carries them: the corpus's golden ones, every kind, hostile names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from watcher.event import (
    Event,
    GapBounds,
    HostPart,
    Lockdown,
    MatchedRule,
    Module,
    Origin,
    Posture,
    Process,
    SecureBoot,
)
from watcher.kinds import KINDS, Kind
from watcher.sinks.sink import Parcel

CORPUS = Path(__file__).parent / "corpus"
EVIL = "evil: hib\n<0>x"
HOSTILE = (
    EVIL,
    'a"b]c|d=e\\f',
    "\u202egpj.exe",
    "\x1b[2J\x07\x9b",
    "\\xff\\udc80",
    " spid=1 act=no",
    "</script><!--",
    "%s%n{0}${x}",
    "é中\U0001f600",
    "",
)
"""Names that a process may choose, at most 15 bytes or a little more."""

_PARTS: dict[str, dict[str, Any]] = {
    "lockdown.enabled": {"lockdown": Lockdown(cause="efi_secure_boot", text="EFI Secure Boot")},
    "lockdown.suppressed": {"lockdown": Lockdown(suppressed=25_311_154)},
    "secureboot.state": {"secure_boot": SecureBoot(state="undetermined")},
    "module.signature": {"module": Module(name="nvidia")},
    "posture.changed": {"posture": Posture(before="integrity", after="none")},
    "posture.contradiction": {"posture": Posture(before=None, after="integrity")},
    "watch.gap": {
        "gap": GapBounds(cause="overrun", count=3900, from_="2026-11-20T10:00:00.000000Z", to=None)
    },
    "rule.match": {"fields": {"device": "sda", "wéird key": "v|="}},
}


def golden() -> list[dict[str, Any]]:
    """Every golden event of the corpus."""
    files = sorted(CORPUS.glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def made(kind: Kind = "lockdown.denied", number: int = 0, **parts: Any) -> Event:
    """An event of a kind, whole and valid; `parts` replace what it is made of."""
    severity = parts.pop("severity", "medium")
    return Event(**{
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "time": "2026-11-20T10:00:00.123456Z",
        "time_error_us": 0,
        "observed": "2026-11-20T10:00:01.000001Z",
        "kind": kind,
        "severity": severity,
        "title": f"Something of kind {kind}",
        "message": "Lockdown: x: hibernation is restricted; see man kernel_lockdown.7",
        "lockdown": Lockdown(reason="hibernation", text="hibernation", level="integrity"),
        "process": Process(comm="x", pid=7 if kind == "selinux.lockdown" else None),
        "advice": "Suspend to RAM works.",
        "host": HostPart(name="host1", machine_id="0" * 32, boot_id="1" * 32),
        "origin": Origin(source="kmsg", trust="kernel", seq=number, monotonic_us=5),
        "rules": (
            MatchedRule(id="r1", title="A rule", level="low", tags=("attack.t1014",)),
            MatchedRule(id="r2", title="Graver", level=severity, tags=("attack.stealth", "own")),
        ),
        **_PARTS.get(kind, {}),
        **parts,
    })  # fmt: skip


def every_kind() -> list[dict[str, Any]]:
    """One event of each kind, with and without its time, host and rules."""
    bare: dict[str, Any] = {"time": None, "host": HostPart(), "rules": (), "process": Process()}
    events = [made(kind, **parts) for kind in KINDS for parts in ({}, bare)]
    return [json.loads(event.json_line()) for event in events]


def hostile(first: int = 1) -> list[Event]:
    """A denial by each hostile name, numbered from `first`."""
    return [
        made(
            number=first + number,
            process=Process(comm=comm),
            message=f"Lockdown: {comm}: hibernation is restricted; see man kernel_lockdown.7",
        )
        for number, comm in enumerate(HOSTILE)
    ]


def parcels(events: list[Event]) -> list[Parcel]:
    """Events as the forwarder hands them out."""
    return [Parcel(n, event.id, event.json_line()) for n, event in enumerate(events)]


def numbered(count: int, first: int = 1) -> list[Parcel]:
    """So many ordinary denials, numbered from `first`."""
    return parcels([made(number=first + number) for number in range(count)])
