"""How each sink stands, as a table for people or as JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from watcher.sinks.plain import plain

_HEAD: Final = ("sink", "delivered", "waiting", "retries", "set aside", "trouble")


@dataclass(frozen=True)
class Delivery:
    """How one sink stands; `backlog` events wait for it, `trouble` is why the last try failed."""

    sink: str
    delivered: int
    backlog: int
    retries: int
    parked: int
    trouble: str | None


class Deliveries(Protocol):
    """What knows how sinks stand."""

    def deliveries(self) -> list[Delivery]:
        """Give how every sink stands."""

    def parked(self, sink: str) -> list[tuple[str, str]]:
        """Give id and reason of each event that was set aside for `sink`."""


def render(store: Deliveries, *, as_json: bool) -> str:
    """Give the table; what was set aside follows it with its reason."""
    found = store.deliveries()
    if as_json:
        return "\n".join(json.dumps(asdict(each)) for each in found)
    rows = [_HEAD, *(_row(each) for each in found)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    lines = [_aligned(row, widths) for row in rows]
    aside = [
        f"{each.sink} set aside {event}: {plain(reason)}"
        for each in found
        for event, reason in store.parked(each.sink)
    ]
    return "\n".join([*lines, *aside])


def _row(each: Delivery) -> tuple[str, ...]:
    numbers = (each.delivered, each.backlog, each.retries, each.parked)
    return (each.sink, *(f"{number:,}" for number in numbers), plain(each.trouble or "none"))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *numbers, last = row
    middle = (f"{text:>{width}}" for text, width in zip(numbers, widths[1:-1], strict=True))
    return "  ".join([f"{first:<{widths[0]}}", *middle, last])
