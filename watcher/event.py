"""The event, schema 1 (design: Contract): one pydantic model, JSON Lines on the wire.

The model is written as frozen dataclasses, which pydantic takes as they are: what comes from
outside is validated by it and the JSON Schema made by it (`model`), while `scan` and `watch`, which
only make events, do not wait 50 ms for it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Final

from watcher.hidden import HIDDEN
from watcher.kinds import Kind, Severity
from watcher.lockdown.causes import CauseId
from watcher.lockdown.lines import SecureBootState
from watcher.lockdown.reasons import Level
from watcher.record import SourceName, Trust

SCHEMA: Final = 1


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


def _on_the_wire(name: str) -> str:
    """Give what an attribute is called in JSON: `from` is a word of Python's."""
    return name.rstrip("_")


class _Part:
    __slots__ = ()
    __pydantic_config__: ClassVar = {"extra": "forbid", "alias_generator": _on_the_wire}


@dataclass(frozen=True, slots=True)
class Lockdown(_Part):
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


@dataclass(frozen=True, slots=True)
class Process(_Part):
    """The process the kernel named: whoever runs a program chooses its `comm` (15 bytes)."""

    comm: str | None = None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class SecureBoot(_Part):
    """What the kernel said about UEFI Secure Boot."""

    state: SecureBootState


@dataclass(frozen=True, slots=True)
class Module(_Part):
    """A kernel module by name."""

    name: str


@dataclass(frozen=True, slots=True)
class GapBounds(_Part):
    """Lines may be missing between these times; `count` is exact, or null if unknowable."""

    cause: str
    count: int | None
    from_: Timestamp | None
    to: Timestamp | None


@dataclass(frozen=True, slots=True)
class Posture(_Part):
    """The machine's state before and after a change."""

    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class HostPart(_Part):
    """The machine and boot the line comes from."""

    name: str | None = None
    machine_id: str | None = None
    boot_id: str | None = None


@dataclass(frozen=True, slots=True)
class Origin(_Part):
    """Where the line was read and how far it can be believed; times in microseconds."""

    source: SourceName
    trust: Trust
    cursor: str | None = None
    seq: int | None = None
    monotonic_us: int | None = None
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class MatchedRule(_Part):
    """A rule that matched."""

    id: str
    title: str
    level: Severity
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(_Part):
    """One explained line, or one stretch in which lines were lost."""

    schema: int = SCHEMA
    id: str
    time: Timestamp | None
    time_error_us: Annotated[int, _Told(description="how far `time` may be off")]
    observed: Timestamp
    kind: Kind
    severity: Severity
    title: str
    message: str
    lockdown: Lockdown = Lockdown()
    process: Process = Process()
    secure_boot: SecureBoot | None = None
    module: Module | None = None
    gap: GapBounds | None = None
    posture: Posture | None = None
    fields: Annotated[dict[str, str], _CAPTURED] = dataclasses.field(default_factory=dict)
    advice: str
    host: HostPart
    origin: Origin
    rules: tuple[MatchedRule, ...] = ()
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Event:
        """Make an event of the object of its JSON line. Raises ValueError if that is none."""
        event: Event = model().validate_python(data)
        return event

    def json_line(self) -> str:
        """Give the event as one line of JSON, without its newline.

        Controls that JSON lets pass (DEL, C1) and characters that reorder or hide text are
        escaped as well, so that the line is harmless on a terminal.
        """
        plain = _encode(self)
        # The rest of ASCII json escapes itself.
        bare = plain.isascii() and "\x7f" not in plain
        return plain if bare else plain.translate(_JSON_ESCAPES)


def _plain(part: _Part) -> dict[str, object]:
    names, values = _NAMES[type(part)].values(), _VALUES[type(part)](part)
    return dict(zip(names, values if len(names) > 1 else (values,), strict=True))


_encode: Final = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), default=_plain, check_circular=False
).encode


_NAMES: Final[Mapping[type[_Part], Mapping[str, str]]] = {
    part: {each.name: _on_the_wire(each.name) for each in dataclasses.fields(part)}
    for part in (
        Event, Lockdown, Process, SecureBoot, Module, GapBounds, Posture, HostPart, Origin,
        MatchedRule,
    )
}  # fmt: skip
_VALUES: Final = {part: attrgetter(*names) for part, names in _NAMES.items()}


def _json_escape(code: int) -> str:
    units = chr(code).encode("utf-16-be")
    return "".join(
        f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)
    )


_JSON_ESCAPES: Final = {code: _json_escape(code) for code in HIDDEN}
_LAST_US: Final = 253_402_300_799_999_999
"""9999-12-31, the last day datetime knows."""


def rfc3339(time_us: int | None) -> str | None:
    """Give Epoch microseconds as RFC 3339 in UTC; None for None and for what no calendar has."""
    if time_us is None or not 0 <= time_us <= _LAST_US:
        return None
    seconds, rest = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


@cache
def model() -> Any:
    """Give pydantic's model of the event: a TypeAdapter, made when first asked for."""
    from pydantic import TypeAdapter

    return TypeAdapter(Event)


def json_schema() -> dict[str, object]:
    """Give the JSON Schema of the event, as `lockdown-watcher schema` prints it."""
    schema: dict[str, object] = model().json_schema(mode="serialization")
    return schema
