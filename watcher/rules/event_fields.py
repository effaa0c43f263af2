"""What correlations may group by besides journald's fields: the event's own, by their JSON paths.

journald's names have capitals and no dots, so neither kind is ever taken for the other.
"""

from __future__ import annotations

import difflib
from typing import Any, Final

PATHS: Final = (
    "kind", "severity", "lockdown.reason", "lockdown.text", "lockdown.cause", "lockdown.level",
    "lockdown.lineage", "lockdown.suppressed", "process.comm", "process.pid", "secure_boot.state",
    "module.name", "host.name", "host.machine_id", "host.boot_id", "origin.trust",
)  # fmt: skip
"""Those that are the same whichever source a line was read from."""

CAPTURED: Final = "fields."
"""Before the name of what a rule's extract captured."""

_HEADS: Final = frozenset(path.partition(".")[0] for path in PATHS)


def value(event: Any, path: str) -> str | None:
    """Give what stands at `path` of an event as text; None where it is absent or null."""
    found = event
    for part in path.split("."):
        found = getattr(found, part, None)
    return None if found is None else str(found)


def is_path(name: str) -> bool:
    """Tell whether `name` is a field of the event, not of the journal."""
    return name in PATHS or name.startswith(CAPTURED)


def mistaken(name: str) -> str | None:
    """Say what is wrong with a name that looks like an event's field and is none."""
    if is_path(name) or name.partition(".")[0] not in _HEADS:
        return None
    near = difflib.get_close_matches(name, PATHS, n=1)
    return f"an event has no field {name!r}" + (f", did you mean {near[0]}?" if near else "")
