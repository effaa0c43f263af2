"""What changed between two looks at the machine, as events. Pure: two postures in, events out.

An event's id is made of the boot, what changed and its two sides, so that a restart of whoever
looks tells nothing twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from watcher.detect import NAMESPACE
from watcher.event import Event, HostPart, Lockdown, Origin, rfc3339
from watcher.event import Posture as Sides
from watcher.kinds import Kind, Severity
from watcher.posture import Contradiction, Posture, at_least
from watcher.record import Host


@dataclass(frozen=True, slots=True)
class _Facet:
    """One thing that may change: how to read it, and how grave a change is."""

    name: str
    read: Callable[[Posture], object]
    grave: Callable[[Posture, Posture], Severity]
    advice: str


def _level_severity(before: Posture, after: Posture) -> Severity:
    """Down is what no kernel since 5.4 can do, and before that only SysRq-x did."""
    return "informational" if at_least(after.level, before.level or "none") else "critical"


def _always(severity: Severity) -> Callable[[Posture, Posture], Severity]:
    return lambda _before, _after: severity


_FACETS: Final = (
    _Facet("lockdown level", lambda p: p.level, _level_severity,
           "A level that rises was raised through securityfs; one that falls was lifted, and the"
           " kernel is no longer protected."),
    _Facet("Secure Boot", lambda p: p.firmware.secure_boot, _always("medium"),
           "The firmware's variables changed under a running system; the kernel keeps what it saw"
           " at boot, the next boot will not."),
    _Facet("shim's validation", lambda p: p.firmware.shim_validation, _always("high"),
           "With validation off the next boot takes Secure Boot for off, and does not lock down."),
    _Facet("module.sig_enforce", lambda p: p.settings.sig_enforce, _always("low"),
           "It can only be switched on at run time."),
    _Facet("kernel.modules_disabled", lambda p: p.settings.modules_disabled, _always("low"),
           "No module can be loaded until the next boot."),
    _Facet("kernel.unprivileged_bpf_disabled", lambda p: p.settings.unprivileged_bpf_disabled,
           _always("medium"), "At 0 any user may load BPF programs, a known way to leak memory."),
)  # fmt: skip


def posture_events(
    before: Posture | None, after: Posture, host: Host, observed_us: int
) -> list[Event]:
    """Give an event for everything that changed and for every new contradiction.

    What could not be seen on either side has not changed; at the first look (`before` is None)
    nothing has. `observed_us` is Epoch microseconds.
    """
    known = {each.id for each in before.contradictions} if before else set()
    fresh = (each for each in after.contradictions if each.id not in known)
    changed = _changes(before, after, host, observed_us) if before else ()
    return [*changed, *(_contradicts(each, after, host, observed_us) for each in fresh)]


def _changes(before: Posture, after: Posture, host: Host, observed_us: int) -> Iterator[Event]:
    for facet in _FACETS:
        one, other = facet.read(before), facet.read(after)
        if None not in (one, other) and one != other:
            yield _event(
                "posture.changed",
                facet.grave(before, after),
                f"{facet.name} changed from {_word(one)} to {_word(other)}",
                (f"{facet.name}: {_word(one)}", f"{facet.name}: {_word(other)}"),
                facet.advice,
                (after, host, observed_us),
            )


def _contradicts(found: Contradiction, after: Posture, host: Host, observed_us: int) -> Event:
    return _event(
        "posture.contradiction",
        "critical" if found.id == "lifted_at_run_time" else "medium",
        f"What this machine says of itself does not fit together ({found.id})",
        (None, found.id),
        found.text,
        (after, host, observed_us),
    )


def _word(value: object) -> str:
    return (
        {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    )


def _event(  # noqa: PLR0913, PLR0917 - what an event is made of
    kind: Kind,
    severity: Severity,
    title: str,
    sides: tuple[str | None, str],
    advice: str,
    seen: tuple[Posture, Host, int],
) -> Event:
    after, host, observed_us = seen
    parts = (host.boot_id or "", kind, sides[0] or "", sides[1])
    return Event(
        id=str(uuid.uuid5(NAMESPACE, "\0".join(parts))),
        time=rfc3339(observed_us),
        time_error_us=0,
        observed=rfc3339(observed_us) or "",
        kind=kind,
        severity=severity,
        title=title,
        message=title,
        lockdown=Lockdown(cause=after.standing.cause),
        posture=Sides(before=sides[0], after=sides[1]),
        advice=advice,
        host=HostPart(name=host.name, machine_id=host.machine_id, boot_id=host.boot_id),
        origin=Origin(source="posture", trust="kernel"),
    )
