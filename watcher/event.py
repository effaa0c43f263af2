"""The event, schema 1 (design: Contract): one pydantic model, JSON Lines on the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from watcher.kinds import Kind, Severity
from watcher.lockdown.causes import CauseId
from watcher.lockdown.lines import SecureBootState
from watcher.lockdown.reasons import Level
from watcher.record import SourceName, Trust

SCHEMA: Final = 1

Timestamp = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, description="RFC 3339, UTC, microseconds")
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


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


class Process(_Part):
    """The process the kernel named: whoever runs a program chooses its `comm` (15 bytes)."""

    comm: str | None = None
    pid: int | None = None


class SecureBoot(_Part):
    """What the kernel said about UEFI Secure Boot."""

    state: SecureBootState


class Module(_Part):
    """A kernel module by name."""

    name: str


class GapBounds(_Part):
    """Lines may be missing between these times; `count` is exact, or null if unknowable."""

    cause: str
    count: int | None
    from_: Timestamp | None = Field(alias="from")
    to: Timestamp | None


class Posture(_Part):
    """The machine's state before and after a change."""

    before: str | None
    after: str | None


class HostPart(_Part):
    """The machine and boot the line comes from."""

    name: str | None = None
    machine_id: str | None = None
    boot_id: str | None = None


class Origin(_Part):
    """Where the line was read and how far it can be believed; times in microseconds."""

    source: SourceName
    trust: Trust
    cursor: str | None = None
    seq: int | None = None
    monotonic_us: int | None = None
    file: str | None = None
    line: int | None = None


class MatchedRule(_Part):
    """A rule that matched."""

    id: str
    title: str
    level: Severity
    tags: tuple[str, ...] = ()


class Event(_Part):
    """One explained line, or one stretch in which lines were lost."""

    schema_: int = Field(default=SCHEMA, alias="schema")
    id: str
    time: Timestamp | None
    time_error_us: int = Field(description="how far `time` may be off")
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
    fields: dict[str, str] = Field(default={}, description="what a rule's extract captured")
    advice: str
    host: HostPart
    origin: Origin
    rules: tuple[MatchedRule, ...] = ()
    warnings: tuple[str, ...] = ()

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)

    def json_line(self) -> str:
        """Give the event as one line of JSON, without its newline.

        Controls that JSON lets pass (DEL, C1) and characters that reorder or hide text are
        escaped as well, so that the line is harmless on a terminal.
        """
        return self.model_dump_json(by_alias=True).translate(_JSON_ESCAPES)


def _json_escape(code: int) -> str:
    units = chr(code).encode("utf-16-be")
    return "".join(
        f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)
    )


def _hidden() -> list[int]:
    one_by_one = (0xAD, 0x61C, 0x6DD, 0x70F, 0x8E2, 0x180E, 0xFEFF, 0x110BD, 0x110CD, 0xE0001)
    runs = (
        (0x7F, 0x9F), (0x600, 0x605), (0x890, 0x891), (0x200B, 0x200F), (0x2028, 0x202E),
        (0x2060, 0x206F), (0xFFF9, 0xFFFB), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3),
        (0x1D173, 0x1D17A), (0xE0020, 0xE007F),
    )  # fmt: skip
    return [*one_by_one, *(code for first, last in runs for code in range(first, last + 1))]


HIDDEN: Final = tuple(_hidden())
"""Code points above ASCII that move, hide or reorder text (Unicode Bidi_Control, Cf, Zl, Zp)."""

_JSON_ESCAPES: Final = {code: _json_escape(code) for code in HIDDEN}
_LAST_US: Final = 253_402_300_799_999_999
"""9999-12-31, the last day datetime knows."""


def rfc3339(time_us: int | None) -> str | None:
    """Give Epoch microseconds as RFC 3339 in UTC; None for None and for what no calendar has."""
    if time_us is None or not 0 <= time_us <= _LAST_US:
        return None
    seconds, rest = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def json_schema() -> dict[str, object]:
    """Give the JSON Schema of the event, as `lockdown-watcher schema` prints it."""
    return Event.model_json_schema(by_alias=True, mode="serialization")
