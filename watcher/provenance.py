"""Who really wrote a record: the verdict on journald's fields.

journald sets _TRANSPORT=kernel on everything it reads from /dev/kmsg, lines that root wrote
there included, and lets any process set SYSLOG_FACILITY and SYSLOG_IDENTIFIER. Only both
together single out the kernel: underscore fields are journald's own, and the kernel forces
facility 1 or higher on what user space writes (printk.c devkmsg_write, journald-kmsg.c).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from watcher.record import Trust

_KERNEL_AUDIT_TYPES = frozenset(map(str, range(1400, 1500)))
"""AVC and kin; user space may only send 1100 to 1199 and 2100 to 2999 (linux/audit.h)."""

_WORD = re.compile(r"[ \t\n\r]*([^ \t\n\r]*)")


def trust_of(fields: Mapping[str, str]) -> Trust:
    """Say whether the kernel wrote a journal record with these fields, or a process."""
    transport = fields.get("_TRANSPORT")
    if transport == "kernel":
        # journald of 2013 left the facility out for the kernel's own lines.
        return "kernel" if fields.get("SYSLOG_FACILITY", "0") == "0" else "injected"
    if transport == "audit" and fields.get("_AUDIT_TYPE") in _KERNEL_AUDIT_TYPES:
        return "kernel"
    return "injected"


def with_facility(fields: Mapping[str, str]) -> dict[str, str]:
    """Give the fields with the facility that `trust_of` takes for granted: rules ask for it."""
    implied = {"SYSLOG_FACILITY": "0"} if fields.get("_TRANSPORT") == "kernel" else {}
    return {**implied, **fields}


_PROCESS = (
    frozenset(("_PID", "_UID", "_GID", "_COMM", "_EXE", "_CMDLINE", "_CAP_EFFECTIVE"))
    | frozenset(("_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT", "_SYSTEMD_SLICE", "_SYSTEMD_CGROUP"))
    | frozenset(("SYSLOG_PID", "PROGRAM", "PID", "CODE_FILE", "CONTAINER_NAME", "CONTAINER_ID"))
    | frozenset(("_STREAM_ID", "UNIT"))
)
"""Fields that only what a process wrote has; syslog-ng has PROGRAM and PID."""


def names_a_process(fields: Mapping[str, str]) -> bool:
    """Tell whether the fields say that a process wrote the entry."""
    return not _PROCESS.isdisjoint(fields)


def whole_text(fields: Mapping[str, str]) -> str:
    """Give a record's line as it was written to /dev/kmsg, put together again.

    For records of facility 1 and up journald moves `ident[pid]: ` out of MESSAGE.
    """
    message = fields.get("MESSAGE", "")
    if fields.get("_TRANSPORT") != "kernel" or fields.get("SYSLOG_FACILITY", "0") == "0":
        return message
    return join_identifier(fields.get("SYSLOG_IDENTIFIER"), fields.get("SYSLOG_PID"), message)


def join_identifier(identifier: str | None, pid: str | None, message: str) -> str:
    """Undo `split_identifier`."""
    if identifier is None:
        return message
    return f"{identifier}: {message}" if pid is None else f"{identifier}[{pid}]: {message}"


def split_identifier(text: str) -> tuple[str | None, str | None, str]:
    """Part a line as journald does: identifier, pid and message (syslog_parse_identifier).

    The first word must end in a colon; `[...]` before the colon is the pid; one white space
    after it goes.
    """
    first = _WORD.match(text)
    if not first or not first[1].endswith(":"):
        return None, None, text
    name, pid = first[1][:-1], None
    if name.endswith("]") and "[" in name:
        name, _, pid = name[:-1].rpartition("[")
    return name, pid, text[first.end() + 1 :]
