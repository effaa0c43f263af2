"""The middle: one record in, events out. No clock, no disk, no thread."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from watcher import hits
from watcher.event import (
    Event,
    GapBounds,
    HostPart,
    Lockdown,
    MatchedRule,
    Module,
    Origin,
    Process,
    SecureBoot,
    rfc3339,
)
from watcher.gaps import GapMerger, told
from watcher.kinds import Kind, Severity, gravest
from watcher.lockdown import Finding, recognise
from watcher.patterns import late
from watcher.record import Gap, Host, Place, Record, Trust
from watcher.rules.correlation import Correlator, Match
from watcher.rules.event_fields import CAPTURED, is_path, value
from watcher.rules.rule import Pack, Rule

NAMESPACE: Final = uuid.UUID("5c0f9bd4-6a5b-5f0e-9c43-0f5f0a4c7a11")
"""Of all event ids; never changes, or the same line would be two events."""

REMEMBERED: Final = 16_384
"""Lines whose ordinal is kept: more equal lines than this never share a microsecond."""


Ordinals = list[tuple[str, str, str, int]]
"""Boot, stamp and text of lines, and the number of the last that were equal so far."""


class Detector:
    """Turns records of one source into events; remembers what it needs to number equal lines."""

    def __init__(
        self,
        pack: Pack,
        ordinals: Ordinals | None = None,
        correlator: Correlator | None = None,
    ) -> None:
        self._correlator = correlator or Correlator(None)
        self.use(pack)
        self._gaps = GapMerger()
        self._ordinals = _Ordinals(ordinals or [])

    @property
    def holds_back(self) -> bool:
        """Tell whether a gap waits for one that adjoins it; `flush` gives it."""
        return self._gaps.waiting

    def use(self, pack: Pack) -> None:
        """Go on with other rules."""
        self._pack = pack
        self._correlator.use(pack.rules)

    def ordinals(self) -> Ordinals:
        """Give the numbers of the newest lines, for a Detector that goes on from here."""
        return self._ordinals.newest()

    def events(self, item: Record | Gap) -> Iterator[Event]:
        """Give the events of one record or gap; a gap waits for those that adjoin it."""
        gap = self._gaps.add(item) if isinstance(item, Gap) else self._gaps.passed(item.time_us)
        if gap:
            yield gap_event(gap)
        if isinstance(item, Record):
            yield from self._of_record(item)

    def flush(self) -> Iterator[Event]:
        """Give what is held back; call it where the log ends or is quiet."""
        if gap := self._gaps.flush():
            yield gap_event(gap)

    def _of_record(self, record: Record) -> Iterator[Event]:
        found = judge(record)
        rules = self._pack.matching(record, found.kind if found else None)
        if rules or (found and found.kind in _NEVER_DROPPED):
            ordinal = self._ordinals.next(_line_key(record))
            told = [rule for rule in rules if not rule.silent]
            shown = bool(told or (found and found.kind in _NEVER_DROPPED))
            what = found or _rule_match((told or rules)[0])
            event = _event(record, what, told if shown else rules, ordinal)
            if shown:
                yield event
            yield from self._correlated(record, event, rules)

    def _correlated(self, record: Record, event: Event, rules: list[Rule]) -> Iterator[Event]:
        match = Match(
            id=event.id,
            rules=[rule.id for rule in rules],
            time_us=record.monotonic_us if record.time_us is None else record.time_us,
            field=partial(_field, record, event, rules),
            trust=record.trust,
        )
        for found in self._correlator.take(match):
            yield hits.told(found, record)


def _field(record: Record, event: Event, rules: list[Rule], name: str) -> str | None:
    """Give what a correlation may count by: a field of the event, or else of the journal."""
    if name.startswith(CAPTURED):
        captured = _captured(record, rules)
        return captured.get(name.removeprefix(CAPTURED))
    return value(event, name) if is_path(name) else record.fields.get(name)


_NEVER_DROPPED: Final[dict[Kind, Severity]] = {
    "lockdown.unknown": "medium",
    "lockdown.forged": "high",
}
"""Kinds that become an event even where no rule asks for them (promises 4 and 5)."""


# --- what the line says, with who wrote it

_CLAIM: Final = late(r"(?:kernel(?:\[\d{0,10}\])?: ?)?(?:\[ {0,8}\d{1,10}\.\d{1,9}\] ?)?")


def judge(record: Record) -> Finding | None:
    """Give what the catalogue says of a record; the kernel's words in a process's mouth are forged.

    One that does not call itself the kernel claims nothing, whatever it quotes.
    """
    if record.trust != "injected":
        return recognise(record.text)
    if not _claims(record.fields):
        return None
    claim = _CLAIM.match(record.text)
    found = recognise(record.text[claim.end() if claim else 0 :])
    return found and _forged(found)


def _claims(fields: Mapping[str, str]) -> bool:
    if fields.get("_TRANSPORT") in {"kernel", "audit"}:
        return True
    return fields.get("SYSLOG_IDENTIFIER") == "kernel"


def _forged(claimed: Finding) -> Finding:
    return Finding(
        kind="lockdown.forged",
        row="forged",
        title=f"A forged kernel line: a process wrote what only the kernel may say"
        f" ({claimed.kind})",
        meaning="The kernel did not write this line. Writing to /dev/kmsg needs root; writing to"
        " the journal as SYSLOG_IDENTIFIER=kernel needs nothing at all.",
        instead="Find out who wrote it (the journal keeps _PID, _UID and _EXE of lines that came"
        " over its socket). It may be a test, or somebody hiding or faking something.",
        text=claimed.text,
    )


def _rule_match(rule: Rule) -> Finding:
    return Finding(
        kind="rule.match", row="", title=rule.title, meaning=rule.description, instead=""
    )


# --- the event

_LineKey = tuple[str, str, str]


def _line_key(record: Record) -> _LineKey:
    """Give what makes a line the same line, whichever source it was read from."""
    return record.host.boot_id or "", _stamp(record), record.text


def _stamp(record: Record) -> str:
    if record.host.boot_id and record.monotonic_us is not None:
        return str(record.monotonic_us)
    parts = (record.time_us, record.monotonic_us)
    if parts == (None, None):
        return f"line {record.place.line}"
    return " ".join("" if part is None else str(part) for part in parts)


_NEWEST: Final = 256
"""Different lines of one microsecond that a restart remembers."""


class _Ordinals:
    """Number equal lines of the same microsecond from 0; forgets the oldest beyond a bound."""

    def __init__(self, known: Ordinals) -> None:
        self._last: OrderedDict[_LineKey, int] = OrderedDict(
            ((boot, stamp, text), ordinal) for boot, stamp, text, ordinal in known
        )

    def newest(self) -> Ordinals:
        """Give those of the newest microsecond: a restart may fall between two equal lines."""
        found: Ordinals = []
        for key in reversed(self._last):
            if len(found) == _NEWEST or (found and key[:2] != tuple(found[0][:2])):
                break
            found.append((*key, self._last[key]))
        return found[::-1]

    def next(self, key: _LineKey) -> int:
        ordinal = self._last.pop(key, -1) + 1
        self._last[key] = ordinal
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        return ordinal


def _event(record: Record, found: Finding, rules: list[Rule], ordinal: int) -> Event:
    observed = rfc3339(record.observed_us)
    return Event(
        id=_id(*_line_key(record), str(ordinal), found.kind),
        time=rfc3339(record.time_us),
        time_error_us=record.time_error_us,
        observed=observed or "",
        kind=found.kind,
        severity=_severity(found, rules),
        title=found.title,
        message=record.text,
        lockdown=_lockdown(found),
        process=Process(comm=found.comm, pid=found.pid),
        secure_boot=SecureBoot(state=found.secure_boot) if found.secure_boot else None,
        module=Module(name=found.module) if found.module else None,
        fields=_captured(record, rules),
        advice=found.advice,
        host=_host(record.host),
        origin=_origin(record.place, record.trust, record.monotonic_us),
        rules=tuple(MatchedRule(id=r.id, title=r.title, level=r.level, tags=r.tags) for r in rules),
        warnings=(*found.warnings, *record.warnings),
    )


def _captured(record: Record, rules: list[Rule]) -> dict[str, str]:
    return {k: v for rule in rules for k, v in rule.captured(record.text).items()}


def _severity(found: Finding, rules: list[Rule]) -> Severity:
    if rules:
        return gravest([rule.level for rule in rules])
    return _NEVER_DROPPED[found.kind]


def _id(*parts: str) -> str:
    return str(uuid.uuid5(NAMESPACE, "\0".join(parts)))


def _lockdown(found: Finding) -> Lockdown:
    return Lockdown(
        reason=found.reason,
        text=found.text,
        cause=found.cause,
        level=found.level,
        lineage=found.lineage,
        suppressed=found.suppressed,
    )


def _host(host: Host) -> HostPart:
    return HostPart(name=host.name, machine_id=host.machine_id, boot_id=host.boot_id)


def _origin(place: Place, trust: Trust, monotonic_us: int | None) -> Origin:
    return Origin(
        source=place.source,
        trust=trust,
        cursor=place.cursor,
        seq=place.seq,
        monotonic_us=monotonic_us,
        file=place.file,
        line=place.line,
    )


def gap_event(gap: Gap) -> Event:
    """Give the event of a gap; its id is made of its bounds and kind, as no line bore it."""
    kind: Kind = "watch.gap"
    bounds = (gap.cause, str(gap.count), str(gap.from_us), str(gap.to_us), gap.detail)
    title, advice = told(gap.cause, gap.count)
    return Event(
        id=_id(gap.host.boot_id or "", *bounds, kind),
        time=rfc3339(gap.to_us),
        time_error_us=0,
        observed=rfc3339(gap.observed_us) or "",
        kind=kind,
        severity="medium",
        title=title,
        message=gap.detail,
        gap=GapBounds(
            cause=gap.cause,
            count=gap.count,
            from_=rfc3339(gap.from_us),
            to=rfc3339(gap.to_us),
        ),
        advice=advice,
        host=_host(gap.host),
        origin=_origin(gap.place, "kernel", None),
        warnings=gap.warnings,
    )
