"""Which events are worth a note: the rules say so, and for events without a rule their severity.

Pure. The event does not carry a rule's `watcher.notify` (schema 1), so it is looked up in the
rules this user has: the machine's, and the user's own, which may say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from watcher.kinds import SEVERITIES, Severity

_BY_ITSELF: Final[Severity] = "medium"
"""From here on an event is worth a note that no rule speaks for."""
_NOT_FOR_PEOPLE: Final = ("watch.gap",)
"""Kinds that an operator must know of; whoever sits at the desk can do nothing about them."""


class Choice:
    """Decides by severity and by rule; `notify` says of each rule id what it wants."""

    def __init__(self, least: Severity, notify: Mapping[str, bool]) -> None:
        self._least, self._notify = SEVERITIES.index(least), notify

    def wants(self, event: Mapping[str, Any]) -> bool:
        """Tell whether to show an event (schema 1, as data)."""
        severity = SEVERITIES.index(event["severity"])
        if severity < self._least:
            return False
        known = [self._notify[r["id"]] for r in event["rules"] if r["id"] in self._notify]
        if known:
            return any(known)
        by_itself = event["kind"] not in _NOT_FOR_PEOPLE
        return by_itself and severity >= SEVERITIES.index(_BY_ITSELF)
