"""The answer of `health`, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from watcher.errors import StoreError
from watcher.health.figures import kept
from watcher.health.verdict import Check, within_s
from watcher.sinks.plain import plain


def look(folder: Path) -> tuple[tuple[Check, ...], float | None]:
    """Give every check of the daemon whose store is there, and within how long one would fail.

    That is in seconds, None where nothing bounds it; see `verdict.within_s`.
    """
    try:
        found = kept(folder)
    except StoreError as error:
        return (Check("store", ok=False, text=str(error)),), None
    return found.checks(), within_s(found.vitals)


def is_healthy(found: Iterable[Check]) -> bool:
    """Tell whether all of it holds."""
    return all(each.ok for each in found)


def as_json(found: tuple[Check, ...], seconds: float | None) -> str:
    """Give it as one object."""
    told = {"healthy": is_healthy(found), "within_s": seconds, "checks": [*map(asdict, found)]}
    return json.dumps(told)


def for_people(found: tuple[Check, ...], seconds: float | None) -> str:
    """Give what is missing, a line each; or what was found, where nothing is."""
    if missing := [each for each in found if not each.ok]:
        return "\n".join(f"unhealthy: {plain(each.text)}" for each in missing)
    bound = f"; it would be told within {seconds:,.0f} s" if seconds else ""
    return "\n".join([f"healthy{bound}", *(f"  {plain(each.text)}" for each in found)])
