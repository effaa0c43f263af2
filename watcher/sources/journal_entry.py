"""One entry of the journal as a record, or as the gap that journald itself reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from watcher.host import now_us
from watcher.provenance import trust_of, whole_text
from watcher.record import Gap, Host, Place, Record

MISSED_ID: Final = "e9bf28e6e834481bb6f48f548ad13606"
"""journald's own "Missed N kernel messages" (SD_MESSAGE_JOURNAL_MISSED)."""

MISSED: Final = b"missed "
"""What that line holds, in lower case: a prefilter must let it pass, no rule asks for it."""

FIELD_BYTES: Final = 65_536
"""libsystemd's default data threshold; the kernel's longest line is 2048 bytes."""

_DIGITS: Final = 19
"""Of the largest 64-bit number there is; more is nonsense."""


def read_entry(reader: Any, realtime: int) -> Record | Gap:
    """Read the entry a reader stands on; `realtime` is its Epoch time in microseconds."""
    fields = {name: _text(value) for name, value in reader._get_all().items()}
    if fields.get("MESSAGE_ID") == MISSED_ID and fields.get("_TRANSPORT") == "driver":
        return _missed(reader, fields, realtime)
    monotonic, _ = reader._get_monotonic()
    source = fields.get("_SOURCE_MONOTONIC_TIMESTAMP", "")
    kernel_us = int(source) if source.isdecimal() and len(source) < _DIGITS else None
    # What journald read late was written that much earlier; both clocks stand in suspend.
    late_us = 0 if kernel_us is None else int(monotonic) - kernel_us
    return Record(
        text=whole_text(fields),
        place=Place("journal", cursor=reader._get_cursor()),
        trust=trust_of(fields),
        fields=fields,
        host=_host(fields),
        observed_us=now_us(),
        time_us=realtime - max(0, late_us),
        time_error_us=max(0, -late_us),
        monotonic_us=kernel_us,
        warnings=_cut(fields),
    )


def _missed(reader: Any, fields: Mapping[str, str], realtime: int) -> Gap:
    words = fields.get("MESSAGE", "").split()
    return Gap(
        cause="journald_missed",
        count=next((int(word) for word in words if word.isdecimal()), None),
        place=Place("journal", cursor=reader._get_cursor()),
        host=_host(fields),
        observed_us=now_us(),
        detail="journald could not keep up with /dev/kmsg",
        from_us=realtime,
        to_us=realtime,
    )


def _text(value: bytes | list[bytes]) -> str:
    # A field may stand in an entry more than once; journald's own fields never do.
    first = value[0] if isinstance(value, list) else value
    return first.decode(errors="backslashreplace")


def _host(fields: Mapping[str, str]) -> Host:
    return Host(fields.get("_HOSTNAME"), fields.get("_MACHINE_ID"), fields.get("_BOOT_ID"))


def _cut(fields: Mapping[str, str]) -> tuple[str, ...]:
    long = len(fields.get("MESSAGE", "")) >= FIELD_BYTES - len("MESSAGE=")
    return ("the line was longer than 64 KiB; its end was not read",) if long else ()
