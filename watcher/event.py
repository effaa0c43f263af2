"""The event, schema 1 (design: Contract): what it is made of, and its line of JSON.

All of it is named tuples: at each start Python 3.11 takes a millisecond to make a frozen dataclass,
and a tenth of that for one of these. pydantic's model of the same is in `event_model.py`: who only
makes events, as `scan` and `watch` do, does not wait 50 ms for it.
"""

from __future__ import annotations  # which event_model.py counts on

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple

from watcher.hidden import HIDDEN
from watcher.kinds import Kind, Severity
from watcher.lockdown.causes import CauseId
from watcher.lockdown.lines import SecureBootState
from watcher.lockdown.reasons import Level
from watcher.record import SourceName, Trust

SCHEMA: Final = 1
ORDER: Final = (
    "schema", "id", "time", "time_error_us", "observed", "kind", "severity", "title", "message",
    "lockdown", "process", "secure_boot", "module", "gap", "posture", "fields", "advice", "host",
    "origin", "rules", "warnings",
)  # fmt: skip
"""Of an event's keys on the wire; Python wants what has a default last."""


class _Told:
    """What the JSON Schema says of a value besides its type."""

    def __init__(self, **more: object) -> None:
        self._more = more

    def __get_pydantic_json_schema__(
        self, core: object, handler: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        return {**handler(core), **self._more}


Timestamp = Annotated[str, _Told(format="date-time", description="RFC 3339, UTC, microseconds")]

_CAPTURED: Final = _Told(description="what a rule's extract captured", default={})


class Lockdown(NamedTuple):
    """What the line says about lockdown.

    `reason` is the catalogue's id, `text` the kernel's words between the frame's fixed parts,
    `level` the lowest level that explains the line, `suppressed` a number of denials.
    """

    reason: str | None = None
    text: str | None = None
    cause: CauseId | None = None
    level: Level | None = None
    lineage: str | None = None
    suppressed: int | None = None


class Process(NamedTuple):
    """The process the kernel named: whoever runs a program chooses its `comm` (15 bytes)."""

    comm: str | None = None
    pid: int | None = None


class SecureBoot(NamedTuple):
    """What the kernel said about UEFI Secure Boot."""

    state: SecureBootState


class Module(NamedTuple):
    """A kernel module by name."""

    name: str


class GapBounds(NamedTuple):
    """Lines may be missing between these times; `count` is exact, or null if unknowable."""

    cause: str
    count: int | None  # type: ignore[assignment]  # a tuple has a method of that name
    from_: Timestamp | None
    to: Timestamp | None


class Posture(NamedTuple):
    """The machine's state before and after a change."""

    before: str | None
    after: str | None


class HostPart(NamedTuple):
    """The machine and boot the line comes from."""

    name: str | None = None
    machine_id: str | None = None
    boot_id: str | None = None


class Origin(NamedTuple):
    """Where the line was read and how far it can be believed; times in microseconds."""

    source: SourceName
    trust: Trust
    cursor: str | None = None
    seq: int | None = None
    monotonic_us: int | None = None
    file: str | None = None
    line: int | None = None


class MatchedRule(NamedTuple):
    """A rule that matched."""

    id: str
    title: str
    level: Severity
    tags: tuple[str, ...] = ()


class Event(NamedTuple):
    """One explained line, or one stretch in which lines were lost."""

    id: str
    time: Timestamp | None
    time_error_us: Annotated[int, _Told(description="how far `time` may be off")]
    observed: Timestamp
    kind: Kind
    severity: Severity
    title: str
    message: str
    advice: str
    host: HostPart
    origin: Origin
    lockdown: Lockdown = Lockdown()
    process: Process = Process()
    secure_boot: SecureBoot | None = None
    module: Module | None = None
    gap: GapBounds | None = None
    posture: Posture | None = None
    fields: Annotated[Mapping[str, str], _CAPTURED] = MappingProxyType({})
    rules: tuple[MatchedRule, ...] = ()
    warnings: tuple[str, ...] = ()
    schema: int = SCHEMA

    def json_line(self) -> str:
        """Give the event as one line of JSON, without its newline.

        Controls that JSON lets pass (DEL, C1) and characters that reorder or hide text are
        escaped as well, so that the line is harmless on a terminal.
        """
        told = _object(self)
        told["fields"], told["rules"] = {**self.fields}, [*map(_object, self.rules)]
        plain = _encode({name: told[name] for name in ORDER})
        # The rest of ASCII json escapes itself.
        bare = plain.isascii() and "\x7f" not in plain
        return plain if bare else plain.translate(_JSON_ESCAPES)


PARTS: Final = (
    Lockdown, Process, SecureBoot, Module, GapBounds, Posture, HostPart, Origin, MatchedRule, Event,
)  # fmt: skip
"""What an event is made of, the event itself last."""


def on_the_wire(name: str) -> str:
    """Give what an attribute is called in JSON: `from` is a word of Python's."""
    return name.rstrip("_")


_NAMES: Final = {part: tuple(map(on_the_wire, part._fields)) for part in PARTS}


def _object(part: Any) -> dict[str, object]:
    """Give a part as what is an object in JSON."""
    return {
        name: _object(value) if type(value) in _NAMES else value
        for name, value in zip(_NAMES[type(part)], part, strict=True)
    }


_encode: Final = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False
).encode


def _json_escape(code: int) -> str:
    units = chr(code).encode("utf-16-be")
    return "".join(
        f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)
    )


_JSON_ESCAPES: Final = {code: _json_escape(code) for code in HIDDEN}
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - its isoformat ends without an offset
_LAST_US: Final = 253_402_300_799_999_999
"""9999-12-31, the last day datetime knows."""


def rfc3339(time_us: int | None) -> str | None:
    """Give Epoch microseconds as RFC 3339 in UTC; None for None and for what no calendar has."""
    if time_us is None or not 0 <= time_us <= _LAST_US:
        return None
    moment = _EPOCH + timedelta(microseconds=time_us)
    return f"{moment.isoformat(timespec='microseconds')}Z"
