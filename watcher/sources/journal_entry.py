"""One entry of the journal as a record, or as the gap that journald itself reports."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from watcher.host import now_us
from watcher.provenance import trust_of, with_facility
from watcher.record import Gap, Host, Place, Record
from watcher.sources.kmsg_record import whole_line

MISSED_ID: Final = "e9bf28e6e834481bb6f48f548ad13606"
"""journald's own "Missed N kernel messages" (SD_MESSAGE_JOURNAL_MISSED)."""

MISSED: Final = b"missed "
"""What that line holds, in lower case: a prefilter must let it pass, no rule asks for it."""

CANARY_ID: Final = "6d4a2c1f0b6e5d0a9c1e3f7a5b8d2e94"
"""MESSAGE_ID of the daemon's own marked entries (watcher/health)."""
CANARY: Final = "lockdown-watcher canary"
"""Begins their MESSAGE; a mark follows."""

REALTIME: Final = "__REALTIME_TIMESTAMP"
"""When an entry was received, in Epoch microseconds: what journalctl's JSON has beside fields."""

FIELD_BYTES: Final = 65_536
"""libsystemd's default data threshold; the kernel's longest line is 2048 bytes."""

_DIGITS: Final = 18
"""A 64-bit number may have them; more is nonsense, and thousands Python refuses to read."""


def read_entry(reader: Any, realtime: int) -> Record | Gap:
    """Read the entry a reader stands on; `realtime` is its Epoch time in microseconds."""
    raw = reader._get_all()
    fields = {name: field_text(name, value) for name, value in raw.items()}
    fields[REALTIME] = str(realtime)
    if fields.get("MESSAGE_ID") == MISSED_ID and fields.get("_TRANSPORT") == "driver":
        return _missed(reader, fields, realtime)
    monotonic, _ = reader._get_monotonic()
    kernel_us = _number(fields.get("_SOURCE_MONOTONIC_TIMESTAMP", ""))
    # What journald read late was written that much earlier; both clocks stand in suspend.
    late_us = 0 if kernel_us is None else int(monotonic) - kernel_us
    return Record(
        text=whole_line(fields),
        place=Place("journal", cursor=reader._get_cursor()),
        trust=trust_of(fields),
        fields=with_facility(fields),
        host=_host(fields),
        observed_us=now_us(),
        time_us=realtime - max(0, late_us),
        time_error_us=max(0, -late_us),
        monotonic_us=kernel_us,
        warnings=_cut(raw.get("MESSAGE", b"")),
    )


def is_canary(entry: Record | Gap) -> TypeGuard[Record]:
    """Tell whether an entry is a canary, whoever sent it: nothing but the words and a mark.

    Anything else that calls itself one is judged as every other line.
    """
    if isinstance(entry, Gap) or entry.fields.get("MESSAGE_ID") != CANARY_ID:
        return False
    return re.fullmatch(rf"{CANARY} [0-9a-f]{{32}}", entry.text) is not None


UNIT: Final = "lockdown-watcher.service"


def is_own_event(fields: Mapping[str, str]) -> bool:
    """Tell whether an entry is an event that this program wrote: it is not to be judged again.

    Else a rule that matches the words of its own event would go round for ever. What any process
    may write of itself is not enough to hide from rules: journald must say that it was ours.
    """
    ours = fields.get("_SYSTEMD_UNIT") == UNIT or fields.get("_PID") == str(os.getpid())
    return ours and "LOCKDOWN_EVENT_ID" in fields


def _missed(reader: Any, fields: Mapping[str, str], realtime: int) -> Gap:
    numbers = map(_number, fields.get("MESSAGE", "").split())
    return Gap(
        cause="journald_missed",
        count=next((number for number in numbers if number is not None), None),
        place=Place("journal", cursor=reader._get_cursor()),
        host=_host(fields),
        observed_us=now_us(),
        detail="journald could not keep up with /dev/kmsg",
        from_us=realtime,
        to_us=realtime,
    )


def _number(text: str) -> int | None:
    plain = len(text) <= _DIGITS and text.isascii() and text.isdecimal()
    return int(text) if plain else None


def _first(value: bytes | list[bytes]) -> bytes:
    # A field may stand in an entry more than once; journald's own fields never do.
    return value[0] if isinstance(value, list) else value


def field_text(name: str, value: bytes | list[bytes]) -> str:
    """Give the text of a field as rules and events see it."""
    # libsystemd keeps to its threshold only where it has to decompress.
    return _first(value)[: FIELD_BYTES - len(name) - 1].decode(errors="backslashreplace")


def _host(fields: Mapping[str, str]) -> Host:
    return Host(fields.get("_HOSTNAME"), fields.get("_MACHINE_ID"), fields.get("_BOOT_ID"))


def _cut(message: bytes | list[bytes]) -> tuple[str, ...]:
    long = len(_first(message)) >= FIELD_BYTES - len("MESSAGE=")
    return ("the line was longer than 64 KiB; its end was not read",) if long else ()
