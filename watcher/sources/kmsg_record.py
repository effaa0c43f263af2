"""The record format of /dev/kmsg: `prio,seq,usec,flag[,more];text`, then ` KEY=value` lines.

printk.c, info_print_ext_header and msg_print_ext_body; Documentation/ABI/testing/dev-kmsg.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from watcher.patterns import late
from watcher.provenance import split_identifier, whole_text

_ESCAPE: Final = late(rb"\\x([0-9a-f]{2})")
_HEADER: Final = late(rb"(\d{1,4}),(\d{1,20}),(\d{1,20}),[^;\n]{0,256};")


class KmsgRecord(NamedTuple):
    """One record. `usec` is the kernel's clock since boot, `seq` counts all records of a boot.

    `text` is the line as it was printed, `escaped` as the kernel hands it out.
    """

    facility: int
    level: int
    seq: int
    usec: int
    text: str
    escaped: str
    dictionary: dict[str, str]

    def fields(self) -> dict[str, str]:
        """Give the fields journald makes of this record (journald-kmsg.c dev_kmsg_record).

        It parts the line first, and undoes the escapes of MESSAGE alone.
        """
        kernel = ("kernel", None, self.escaped)
        identifier, pid, message = split_identifier(self.escaped) if self.facility else kernel
        named = {"SYSLOG_IDENTIFIER": identifier, "SYSLOG_PID": pid}
        return {
            "_TRANSPORT": "kernel",
            "PRIORITY": str(self.level),
            "SYSLOG_FACILITY": str(self.facility),
            "MESSAGE": unescape(message.encode()),
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
    escaped = text.decode(errors="backslashreplace")
    return KmsgRecord(prio >> 3, prio & 7, seq, usec, unescape(text), escaped, dictionary)


def whole_line(fields: Mapping[str, str]) -> str:
    """Give a record's line from journald's fields, alike for a record read here or by journald.

    Of a line that a process wrote to /dev/kmsg, blanks before `ident[pid]: ` are lost to both.
    """
    if fields.get("_TRANSPORT") != "kernel" or fields.get("SYSLOG_FACILITY", "0") == "0":
        return whole_text(fields)
    parts = {name: unescape(fields[name].encode()) for name in _PARTED if name in fields}
    return whole_text({**fields, **parts})


_PARTED: Final = ("SYSLOG_IDENTIFIER", "SYSLOG_PID")


def unescape(raw: bytes) -> str:
    """Undo the kernel's \\xNN escapes; what is then no UTF-8 is shown as \\xNN again."""
    if b"\\x" in raw:
        raw = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), raw)
    return raw.decode(errors="backslashreplace")
