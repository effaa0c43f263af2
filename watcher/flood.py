"""Folds a flood of one kind and reason into one event with an exact count (promise 8).

Kernels up to 6.0 do not rate-limit denials, so any user can cause thousands a second by reading
/sys/power/state. The process name takes no part in it: it is the attacker's to vary.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Final

from watcher.event import Event, Lockdown

MINUTE_US: Final = 60_000_000
NAMESPACE: Final = uuid.UUID("0d6f7c0e-5a4c-5f0e-9d38-0f0c5c2f7a11")

_Key = tuple[str, str, str]
State = list[tuple[_Key, int, int, str | None]]


class _Minute:
    """One kind and reason in one minute of the kernel's clock."""

    def __init__(self, number: int, count: int = 0, last: Event | None = None) -> None:
        self.number, self.count, self.last = number, count, last


class Flood:
    """Lets `per_minute` events of a kind and reason pass and counts the rest; 0: lets all pass."""

    def __init__(self, per_minute: int, state: State | None = None) -> None:
        self._limit = per_minute
        self._minutes: dict[_Key, _Minute] = {}
        for key, number, count, last in state or []:
            event = Event.model_validate_json(last) if last else None
            self._minutes[tuple(key)] = _Minute(number, count, event)  # type: ignore[index]

    def state(self) -> State:
        """Give all that is counted so far as plain data, to go on from after a restart."""
        return [
            (key, each.number, each.count, each.last.json_line() if each.last else None)
            for key, each in self._minutes.items()
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
        key = event.host.boot_id or "", event.kind, event.lockdown.reason or ""
        minute = self._minutes.get(key)
        number = _time_us(event) // MINUTE_US
        if minute is None or minute.number != number:
            yield from self._folded(key)
            minute = self._minutes[key] = _Minute(number)
        minute.count += 1
        if minute.count > self._limit:
            minute.last = event
        else:
            yield event

    def flush(self) -> Iterator[Event]:
        """Give every fold there is: the log has been quiet for a minute."""
        for key in list(self._minutes):
            yield from self._folded(key)

    def _folded(self, key: _Key) -> Iterator[Event]:
        minute = self._minutes.pop(key, None)
        if minute and minute.last:
            yield _fold(minute.last, key, minute.number, minute.count - self._limit)


def _time_us(event: Event) -> int:
    """Give the kernel's own clock, which /dev/kmsg and the journal agree on."""
    return event.origin.monotonic_us or 0


def _fold(last: Event, key: _Key, minute: int, count: int) -> Event:
    return last.model_copy(
        update={
            "id": str(uuid.uuid5(NAMESPACE, "\0".join((*key, str(minute))))),
            "title": f"{count:,} more in the same minute: {last.title}",
            "lockdown": Lockdown(**{**last.lockdown.model_dump(), "suppressed": count}),
            "warnings": (*last.warnings, f"a flood: {count} events are folded into this one"),
        }
    )
