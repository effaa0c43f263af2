"""Entries of `journalctl -o verbose`: a header with the cursor, then indented fields."""

from __future__ import annotations

import re
from typing import Final

from watcher.patterns import late
from watcher.sources.journal_text import CUT, MAX_FIELDS, MAX_VALUE

_HEADER: Final = late(
    rb"\S{1,40} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})? \S{1,12} "
    rb"\[(s=[0-9a-f]{32};i=[0-9a-f]+;"
    rb"b=([0-9a-f]{32});m=([0-9a-f]{1,16});t=([0-9a-f]{1,16});x=[0-9a-f]+)\]\r?"
)
_FIELD: Final = late(rb" {4}([A-Z_][A-Z0-9_]{0,63})=(.*?)\r?", re.DOTALL)


class VerboseEntry:
    """One entry, begun with its header by `begin` and fed with lines until one does not fit."""

    def __init__(self, number: int, fields: dict[str, str]) -> None:
        self.number, self.fields = number, fields
        self.warnings: tuple[str, ...] = ()
        self._name = ""
        self._indent = b"\0"

    @staticmethod
    def begin(raw: bytes, number: int) -> VerboseEntry | None:
        """Give the entry that `raw` is the header of; None where it is none."""
        match = _HEADER.fullmatch(raw) if raw.rstrip(b"\r").endswith(b"]") else None
        if not match:
            return None
        cursor, boot, monotonic, realtime = (part.decode("ascii") for part in match.groups())
        fields = {
            "__CURSOR": cursor,
            "__REALTIME_TIMESTAMP": str(int(realtime, 16)),
            "__MONOTONIC_TIMESTAMP": str(int(monotonic, 16)),
            "_BOOT_ID": boot,
        }
        return VerboseEntry(number, fields)

    def feed(self, raw: bytes, dropped: int) -> bool:
        """Tell whether a line belonged to the entry."""
        if raw.startswith(self._indent):  # a further line of a value, under its first
            more = raw[len(self._indent) :].decode(errors="backslashreplace").rstrip("\r")
            self._store(f"{self.fields.get(self._name, '')}\n{more}", dropped)
            return True
        match = _FIELD.fullmatch(raw)
        if not match:
            return False
        self._name, value = match[1].decode("ascii"), match[2]
        self._indent = b" " * (4 + len(self._name) + 1)
        if self._name not in self.fields:
            self._store(value.decode(errors="backslashreplace"), dropped)
        return True

    def _store(self, text: str, dropped: int) -> None:
        if dropped or len(text) > MAX_VALUE:
            self.warnings = (CUT,)
        if len(self.fields) < MAX_FIELDS or self._name in self.fields:
            self.fields[self._name] = text[:MAX_VALUE]
