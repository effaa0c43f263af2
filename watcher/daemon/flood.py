"""Folds a flood of one kind and reason into one event with an exact count (promise 8).

Kernels up to 6.0 do not rate-limit denials, so any user can cause thousands a second by reading
/sys/power/state. The process name takes no part in it: it is the attacker's to vary. What rules
match beyond the catalogue has no reason and is told apart by rule, so that a flood for one rule,
which anybody who may log can cause, hides no hit of another.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watcher.event import Event
from watcher.kinds import SEVERITIES

MINUTE_US: Final = 60_000_000
NAMESPACE: Final = uuid.UUID("0d6f7c0e-5a4c-5f0e-9d38-0f0c5c2f7a11")

MOST: Final = 1000
"""Kinds and reasons, of different boots, that are counted at a time."""

_Key = tuple[str, str, str]
State = list[tuple[_Key, int, int, int, int, str | None]]


@dataclass
class _Minute:
    """One kind and reason in one minute: how many passed, are folded and not told, were told."""

    number: int
    passed: int = 0
    folded: int = 0
    told: int = 0
    last: Event | None = None
    """The last of the gravest that are folded: a harmless name hides nothing."""


class Flood:
    """Lets `per_minute` events of a kind and reason pass and counts the rest; 0: lets all pass.

    `file` is which of several the events are read from that have each line once: then one minute's
    folds add up. /dev/kmsg and the journal have the same lines, and so make the same fold.
    """

    def __init__(self, per_minute: int, state: State | None = None, file: str = "") -> None:
        self._limit, self._file = per_minute, file
        self._minutes: dict[_Key, _Minute] = {}
        self.folded = 0
        """Events folded so far, told or not; a caller sees by it whether a flood goes on."""
        for key, number, passed, folded, told, last in state or []:
            event = _again(last) if last else None
            self._minutes[(key[0], key[1], key[2])] = _Minute(number, passed, folded, told, event)

    def state(self) -> State:
        """Give all that is counted so far as plain data, to go on from after a restart."""
        return [
            (key, m.number, m.passed, m.folded, m.told, m.last.json_line() if m.last else None)
            for key, m in self._minutes.items()
        ]

    @property
    def waiting(self) -> bool:
        """Tell whether something is folded that nobody has been told of."""
        return any(each.last for each in self._minutes.values())

    def passed(self, event: Event) -> Iterator[Event]:
        """Give what is to be recorded now that `event` has come: itself, a fold, or nothing."""
        if not self._limit:
            yield event
            return
        key = event.host.boot_id or "", event.kind, _what(event)
        minute = self._minutes.get(key)
        number = _minute_of(event)
        if minute is None or minute.number != number:
            yield from self._told(key)
            yield from self._forgotten()
            minute = self._minutes[key] = _Minute(number)
        if minute.passed < self._limit:
            minute.passed += 1
            yield event
        else:
            minute.folded += 1
            self.folded += 1
            if minute.last is None or _rank(event) >= _rank(minute.last):
                minute.last = event

    def _forgotten(self) -> Iterator[Event]:
        if len(self._minutes) >= MOST:
            oldest = next(iter(self._minutes))
            yield from self._told(oldest)
            del self._minutes[oldest]

    def flush(self) -> Iterator[Event]:
        """Give every fold there is; what comes later in the same minute is folded anew."""
        for key in list(self._minutes):
            yield from self._told(key)

    def _told(self, key: _Key) -> Iterator[Event]:
        minute = self._minutes.get(key)
        if minute and minute.last:
            name = (*key, str(minute.number), str(minute.told), self._file)
            yield _fold(minute.last, name, minute.folded)
            minute.told, minute.folded, minute.last = minute.told + minute.folded, 0, None


def _again(line: str) -> Event:
    from watcher.event_model import event_of

    return event_of(json.loads(line))


def _what(event: Event) -> str:
    """Give what is flooded: a reason, or a rule."""
    if event.kind == "rule.match" and event.rules:
        return event.rules[0].id
    return event.lockdown.reason or ""


def _rank(event: Event) -> int:
    return SEVERITIES.index(event.severity)


def _minute_of(event: Event) -> int:
    """Give the minute of the kernel's own clock, which /dev/kmsg and the journal agree on.

    What came over journald's sockets has no such time: then the minute it was written in.
    """
    if event.origin.monotonic_us is not None:
        return event.origin.monotonic_us // MINUTE_US
    return int("".join(filter(str.isdigit, (event.time or "0")[:16])))


def _fold(last: Event, name: tuple[str, ...], count: int) -> Event:
    return last._replace(
        id=str(uuid.uuid5(NAMESPACE, "\0".join(name))),
        title=f"{count:,} more in the same minute: {last.title}",
        lockdown=last.lockdown._replace(suppressed=count),
        warnings=(*last.warnings, f"a flood: {count} events are folded into this one"),
    )
