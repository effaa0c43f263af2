"""The same event with less text, for receivers that take only so much; it says so itself."""

from __future__ import annotations

from typing import Any, Final

from watcher.encodings.common import Event

KEPT: Final = 256
"""Characters kept of each text of a shortened event."""

NOTE: Final = "shortened for this receiver; lockdown-watcher events has the whole event"


def brief(event: Event) -> dict[str, Any]:
    """Give the event with each text cut to KEPT characters and a warning that tells of it."""
    short = {name: _short(value) for name, value in event.items()}
    return short | {"warnings": [*short["warnings"], NOTE]}


_MANY: Final = 16


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= KEPT else value[: KEPT - 1] + "…"
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    return [_short(item) for item in value[:_MANY]] if isinstance(value, list) else value
