"""How each sink stands, as a table for people or as JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from watcher.delivery.store import Delivery, Reading
from watcher.sinks.plain import plain

_HEAD: Final = ("sink", "delivered", "waiting", "retries", "set aside", "trouble")


def render(reading: Reading, *, as_json: bool) -> str:
    """Give the table; what was set aside follows it with its reason."""
    found = reading.deliveries()
    if as_json:
        return "\n".join(json.dumps(asdict(each)) for each in found)
    rows = [_HEAD, *(_row(each) for each in found)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    lines = [_aligned(row, widths) for row in rows]
    aside = [
        f"{each.sink} set aside {event}: {plain(reason)}"
        for each in found
        for event, reason in reading.parked(each.sink)
    ]
    return "\n".join([*lines, *aside])


def _row(each: Delivery) -> tuple[str, ...]:
    numbers = (each.delivered, each.backlog, each.retries, each.parked)
    return (each.sink, *(f"{number:,}" for number in numbers), plain(each.trouble or "none"))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *numbers, last = row
    middle = (f"{text:>{width}}" for text, width in zip(numbers, widths[1:-1], strict=True))
    return "  ".join([f"{first:<{widths[0]}}", *middle, last])
