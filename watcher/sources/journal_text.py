"""Whole journal entries as text: journalctl's json, json-pretty and export, and their records.

Formats: systemd's JOURNAL_EXPORT_FORMATS (export and JSON), util-linux dmesg --json, docker's
json-file. Every entry is bounded; what breaks the format is given up, never raised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from watcher.patterns import late
from watcher.provenance import names_a_process, trust_of, whole_text, with_facility
from watcher.record import Host, Place, Record, Trust

MAX_VALUE: Final = 65_536
"""Bytes of one field that are kept."""
MAX_FIELDS: Final = 1024
"""Fields of one entry; journald itself takes no more (ENTRY_FIELD_COUNT_MAX)."""
_MAX_DATA: Final = 768 << 20
"""Bytes of the largest field journald writes (DATA_SIZE_MAX)."""
CUT: Final = "a field longer than 64 KiB was cut"
UNFINISHED: Final = "the entry ends before its end mark"
_LENGTH: Final = 8
_FIELD_NAME: Final = late(rb"[A-Z_][A-Z0-9_]{0,63}")


class ExportEntry:
    """One entry of the export format, fed with lines until it is `done` or `broken`.

    A field with control characters is its name, a little-endian 64-bit length, that many bytes
    and a newline; the bytes may hold newlines, so lines are put together again and counted.
    """

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.warnings: tuple[str, ...] = ()
        self.done = False
        self.broken = False
        self._name: bytes | None = None
        self._held = bytearray()
        self._got = 0
        self._begun = False
        self._converted: bool | None = None  # lines end as on Windows

    def feed(self, raw: bytes, dropped: int) -> None:
        """Take one line; `dropped` bytes at its end were too many to keep."""
        if self._converted is None:
            self._converted = raw.endswith(b"\r")
        if self._converted and not dropped:
            raw = raw.removesuffix(b"\r")
        if self._name is not None:
            self._feed_binary(raw, dropped)
        elif raw in (b"", b"\r"):
            self.done = True
        else:
            self._feed_line(raw, dropped)

    def finish(self) -> None:
        """Take what there is where the file ends within the entry."""
        self.warnings = (*self.warnings, UNFINISHED)
        if self._name is not None:
            self._store(self._name, bytes(self._held[_LENGTH:]), 0)
        self.done = True

    def _feed_line(self, raw: bytes, dropped: int) -> None:
        name, equals, value = raw.partition(b"=")
        if not _FIELD_NAME.fullmatch(name):
            self.broken = True
        elif equals:
            self._store(name, value, dropped)
        else:
            self._name, self._got, self._begun = name, 0, False
            self._held.clear()

    def _feed_binary(self, raw: bytes, dropped: int) -> None:
        if self._begun:
            raw = b"\n" + raw
        self._begun = True
        room = _LENGTH + MAX_VALUE + 1 - len(self._held)
        self._held += raw[: max(room, 0)]
        self._got += len(raw) + dropped
        if len(self._held) < _LENGTH:
            return  # the length itself holds a newline
        length = int.from_bytes(self._held[:_LENGTH], "little")
        end = _LENGTH + length
        if length > _MAX_DATA or self._got > end:
            self.broken = True
        elif self._got == end:
            value = bytes(self._held[_LENGTH:])
            self._store(self._name or b"", value, length - len(value))
            self._name = None

    def _store(self, name: bytes, value: bytes, dropped: int) -> None:
        if dropped > 0 or len(value) > MAX_VALUE:
            self.warnings = tuple(dict.fromkeys((*self.warnings, CUT)))
        if len(self.fields) < MAX_FIELDS:
            text = value[:MAX_VALUE].decode(errors="backslashreplace")
            self.fields.setdefault(name.decode("ascii"), text)


# --- JSON

_BEFORE: Final = late(rb"[\s\0\x1e]*(?:data:\s*)?(?=\{)")
_HIDDEN: Final = late(rb'"MESSAGE" ?: ?\[')
_KERNEL: Final = late(rb'"_TRANSPORT" ?: ?"kernel"')
_FACILITY_0: Final = late(rb'"SYSLOG_FACILITY" ?: ?"0"')


def json_start(raw: bytes) -> int:
    """Give where a JSON object begins in a line of journalctl -o json, json-seq or json-sse.

    -1 where there is none.
    """
    match = _BEFORE.match(raw)
    return match.end() if match else -1


def hides_words(raw: bytes) -> bool:
    """Tell whether the words of a message need not stand in its JSON line as they are.

    A message with control characters is an array of numbers, and of what a process wrote to
    /dev/kmsg journald moves the first word into another field.
    """
    if _HIDDEN.search(raw):
        return True
    return _KERNEL.search(raw) is not None and not _FACILITY_0.search(raw)


def json_object(raw: bytes) -> dict[str, object] | None:
    """Read one JSON object, its texts made fit for UTF-8; None where `raw` is none."""
    try:
        found = json.loads(raw.decode(errors="backslashreplace").strip().rstrip(","))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return {_clean(k): _clean(v) if isinstance(v, str) else v for k, v in found.items()}


def journal_fields(found: Mapping[str, object]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Give the fields of a JSON entry as text, first value first, with warnings."""
    fields: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    for name, value in list(found.items())[:MAX_FIELDS]:
        text = _as_text(value)
        if text is None:
            continue
        if len(text) > MAX_VALUE:
            text, warnings = text[:MAX_VALUE], (CUT,)
        fields[_clean(name)] = _clean(text)
    return fields, warnings


_BYTE: Final = 255


def _as_text(value: object) -> str | None:
    if isinstance(value, list):
        # Several values, each perhaps an array of bytes: the first counts, and no array is deeper.
        first = value[0] if value and not isinstance(value[0], int) else value
        return _of_bytes(first) if isinstance(first, list) else _as_text(first)
    return None if value is None or isinstance(value, dict) else str(value)


def _of_bytes(value: list[object]) -> str | None:
    """Read an array of byte numbers; None where it is another."""
    numbers = [each for each in value if isinstance(each, int) and 0 <= each <= _BYTE]
    if len(numbers) != len(value):
        return None
    return bytes(numbers).decode(errors="backslashreplace")


def _clean(text: str) -> str:
    # JSON can name lone surrogates, which no UTF-8 output takes.
    return text.encode(errors="backslashreplace").decode()


# --- what an entry's fields say


def record_of_entry(
    fields: dict[str, str], place: Place, observed_us: int, warnings: tuple[str, ...] = ()
) -> Record | None:
    """Give the record of a journal entry; None where another program wrote it."""
    fields = _with_transport(fields)
    trust = _trust(fields)
    if trust is None:
        return None
    time_us, monotonic_us = _times(fields)
    return Record(
        text=whole_text(fields),
        place=place,
        trust=trust,
        fields=with_facility(fields),
        host=Host(fields.get("_HOSTNAME"), fields.get("_MACHINE_ID"), fields.get("_BOOT_ID")),
        observed_us=observed_us,
        time_us=time_us,
        monotonic_us=monotonic_us,
        warnings=warnings,
    )


def _with_transport(fields: dict[str, str]) -> dict[str, str]:
    """Fill in the transport that `journalctl --output-fields` left out, as far as it is told."""
    identifier = fields.get("SYSLOG_IDENTIFIER", "kernel")
    if "_TRANSPORT" in fields or identifier != "kernel":
        return fields
    if "_AUDIT_TYPE" in fields:
        return {**fields, "_TRANSPORT": "audit"}
    return fields if names_a_process(fields) else {**fields, "_TRANSPORT": "kernel"}


def _trust(fields: Mapping[str, str]) -> Trust | None:
    """Say what a file's fields are worth: never more than "unverified". None: no claim."""
    transport = fields.get("_TRANSPORT")
    if transport == "driver":
        return "unverified"  # journald itself: "Missed N kernel messages"
    if transport in ("kernel", "audit") or fields.get("SYSLOG_IDENTIFIER") == "kernel":
        return "unverified" if trust_of(fields) == "kernel" else "injected"
    return None


def _times(fields: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Give Epoch and monotonic microseconds of the event itself, not of its reception."""
    received = _number(fields, "__REALTIME_TIMESTAMP")
    monotonic = _number(fields, "_SOURCE_MONOTONIC_TIMESTAMP")
    received_monotonic = _number(fields, "__MONOTONIC_TIMESTAMP")
    if None in (received, monotonic, received_monotonic):
        return received, monotonic
    return (received or 0) - ((received_monotonic or 0) - (monotonic or 0)), monotonic


def _number(fields: Mapping[str, str], name: str) -> int | None:
    text = fields.get(name, "")
    fits = text.isascii() and text.isdecimal() and len(text) <= 18  # noqa: PLR2004 - 64 bits
    return int(text) if fits else None
