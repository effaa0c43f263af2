"""The record format of /dev/kmsg: `prio,seq,usec,flag[,more];text`, then ` KEY=value` lines.

printk.c, info_print_ext_header and msg_print_ext_body; Documentation/ABI/testing/dev-kmsg.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from watcher.provenance import split_identifier

_ESCAPE: Final = re.compile(rb"\\x([0-9a-f]{2})")
_HEADER: Final = re.compile(rb"(\d{1,4}),(\d{1,20}),(\d{1,20}),[^;\n]{0,256};")


@dataclass(frozen=True, slots=True)
class KmsgRecord:
    """One record. `usec` is the kernel's clock since boot, `seq` counts all records of a boot."""

    facility: int
    level: int
    seq: int
    usec: int
    text: str
    dictionary: dict[str, str]

    def fields(self) -> dict[str, str]:
        """Give the fields journald makes of this record (journald-kmsg.c dev_kmsg_record)."""
        kernel = ("kernel", None, self.text)
        identifier, pid, message = split_identifier(self.text) if self.facility else kernel
        named = {"SYSLOG_IDENTIFIER": identifier, "SYSLOG_PID": pid}
        return {
            "_TRANSPORT": "kernel",
            "PRIORITY": str(self.level),
            "SYSLOG_FACILITY": str(self.facility),
            "MESSAGE": message,
            "_SOURCE_MONOTONIC_TIMESTAMP": str(self.usec),
            **{name: value for name, value in named.items() if value is not None},
            **{_DICTIONARY[k]: v for k, v in self.dictionary.items() if k in _DICTIONARY},
        }


_DICTIONARY: Final = {"SUBSYSTEM": "_KERNEL_SUBSYSTEM", "DEVICE": "_KERNEL_DEVICE"}


def parse_record(raw: bytes) -> KmsgRecord | None:
    """Read one record, dictionary lines and all; None if `raw` is none."""
    header = _HEADER.match(raw)
    if not header:
        return None
    prio, seq, usec = (int(part) for part in header.groups())
    text, *more = raw[header.end() :].rstrip(b"\n").split(b"\n")
    pairs = (line[1:].partition(b"=") for line in more if line.startswith(b" "))
    dictionary = {unescape(key): unescape(value) for key, _, value in pairs}
    return KmsgRecord(prio >> 3, prio & 7, seq, usec, unescape(text), dictionary)


def unescape(raw: bytes) -> str:
    """Undo the kernel's \\xNN escapes; what is then no UTF-8 is shown as \\xNN again."""
    if b"\\x" in raw:
        raw = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), raw)
    return raw.decode(errors="backslashreplace")
