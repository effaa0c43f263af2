"""A correlation's hit as an event: of kind rule.match, with its group and count as fields."""

from __future__ import annotations

import uuid
from typing import Final

from watcher.event import Event, HostPart, MatchedRule, Origin, rfc3339
from watcher.kinds import Kind, Severity
from watcher.record import Record, Trust
from watcher.rules.correlation import NAMESPACE, Forgotten, Hit

_VALUE: Final = 256
"""Characters of a field's value that are shown; groups are told apart by all of it."""
_IDS: Final = 20
"""Ids of a hit's events that it names, the newest: each can be looked up."""

_FORGOTTEN: Final = (
    "The correlation counts more groups apart than there is room for. Somebody may be hiding by"
    " giving each attempt another name. Group by fewer fields, or shorten the timespan."
)


def told(found: Hit | Forgotten, record: Record) -> Event:
    """Make the event of what `record` completed, or made a correlation forget."""
    return _of_hit(found, record) if isinstance(found, Hit) else _of_forgotten(found, record)


def _of_hit(hit: Hit, record: Record) -> Event:
    fields = {name: _short(value) for name, value in hit.values.items()}
    count = {"count": str(len(hit.ids)), "events": " ".join(hit.ids[-_IDS:])}
    if hit.measure != len(hit.ids):
        count["measure"] = f"{hit.measure:.15g}"
    if record.time_us is not None and hit.first_us != hit.time_us:
        count["first"] = rfc3339(hit.first_us) or ""
    return _event(
        "rule.match",
        hit.rule.level,
        hit.rule.title,
        record,
        event_id=hit.id,
        time_us=hit.time_us,
        message=_message(hit, fields),
        advice=hit.rule.description,
        fields={**fields, **count},
        rules=(_matched(hit),),
        trust=hit.trust,
    )


def _message(hit: Hit, fields: dict[str, str]) -> str:
    seconds = (hit.time_us - hit.first_us) / 1_000_000
    many = f"{len(hit.ids)} records in {seconds:g} s" if len(hit.ids) > 1 else "1 record"
    if hit.measure != len(hit.ids):
        many += f" ({hit.measure:.15g} counted)"
    of = ", ".join(f"{name} {value!r}" for name, value in fields.items())
    return f"{many} of {of}" if of else many


def _short(value: str) -> str:
    return value if len(value) <= _VALUE else f"{value[: _VALUE - 3]}..."


def _matched(hit: Hit) -> MatchedRule:
    rule = hit.rule
    return MatchedRule(id=rule.id, title=rule.title, level=rule.level, tags=rule.tags)


def _of_forgotten(lost: Forgotten, record: Record) -> Event:
    rule = lost.rule
    return _event(
        "watch.degraded",
        "medium",
        "A correlation had to forget some of what it counts",
        record,
        event_id=str(uuid.uuid5(NAMESPACE, f"forgotten\0{rule.id}\0{lost.count}")),
        time_us=record.time_us,
        message=f"{rule.title}: {lost.count:,} forgotten so far, for there are too many",
        advice=_FORGOTTEN,
        fields={"rule": rule.id, "count": str(lost.count)},
        rules=(),
        trust="kernel",
    )


def _event(  # noqa: PLR0913 - what differs between the two
    kind: Kind,
    severity: Severity,
    title: str,
    record: Record,
    *,
    event_id: str,
    time_us: int | None,
    message: str,
    advice: str,
    fields: dict[str, str],
    rules: tuple[MatchedRule, ...],
    trust: Trust,
) -> Event:
    host = record.host
    return Event(
        id=event_id,
        time=None if record.time_us is None else rfc3339(time_us),
        time_error_us=record.time_error_us,
        observed=rfc3339(record.observed_us) or "",
        kind=kind,
        severity=severity,
        title=title,
        message=message,
        fields=fields,
        advice=advice,
        host=HostPart(name=host.name, machine_id=host.machine_id, boot_id=host.boot_id),
        origin=Origin(source="watcher", trust=trust, monotonic_us=record.monotonic_us),
        rules=rules,
    )
