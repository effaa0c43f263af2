"""Which events repeat one another: the same kind, the same reason, the same program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Key = tuple[str, str | None, str | None]
"""Kind, reason (or module, or rule) and program of what repeats."""


def key_of(event: Mapping[str, Any]) -> Key:
    """Give what an event (schema 1, as data) has in common with its repeats."""
    module = event["module"] or {}
    what = event["lockdown"]["reason"] or module.get("name")
    if event["kind"] == "rule.match":
        what = event["rules"][0]["id"] if event["rules"] else event["title"]
    return event["kind"], what, event["process"]["comm"]
