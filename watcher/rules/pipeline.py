"""Rules written for other logs, said in the journal's fields: a pySigma pipeline a log source.

A rule that names a field of the journal itself is left as it is. What the kernel's audit records
become in the journal is read from systemd's journald-audit.c (v261): a few fields get native names
with the kernel's quotes and hexadecimal undone, all others are _AUDIT_FIELD_ and the name in upper
case, with the value as it came. Each record is an entry of its own, so that a rule which asks for
fields of two records never matches: possible.py says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sigma.processing.pipeline import ProcessingPipeline
    from sigma.rule import SigmaRule

_NATIVE: Final = ("MESSAGE", "PRIORITY", "SYSLOG_", "_")

IDENTIFIERS: Final[Mapping[str, list[str]]] = {
    "sshd": ["sshd", "sshd-session", "sshd-auth"],  # OpenSSH 9.8 and 10.0 parted the program
    "sudo": ["sudo"],
    "cron": ["cron", "crond", "anacron", "cronie"],
    "vsftpd": ["vsftpd"],
    "clamav": ["clamd", "freshclam", "clamscan", "clamonacc", "clamav"],
    "guacamole": ["guacd", "guacamole"],
}
"""Who writes the log of a Sigma service (taxonomy, "Linux"), as SYSLOG_IDENTIFIER."""

_CONDITIONS: Final[Mapping[str, dict[str, Any]]] = {
    "auditd": {"_TRANSPORT": "audit"},
    "auth": {"SYSLOG_FACILITY": [4, 10]},  # auth and authpriv (syslog.3)
    "kernel": {"_TRANSPORT": "kernel", "SYSLOG_FACILITY": 0},
    "file_event": {
        "_TRANSPORT": "audit",
        "_AUDIT_TYPE_NAME": "PATH",
        "_AUDIT_FIELD_NAMETYPE": "CREATE",
    },
    **{name: {"SYSLOG_IDENTIFIER": who} for name, who in IDENTIFIERS.items()},
}

_PROCESS: Final = {
    "CommandLine": "_CMDLINE",
    "Image": "_EXE",
    "User": "_UID",
    "ProcessId": "_PID",
    "TargetFilename": "_AUDIT_FIELD_NAME",
}
"""Sigma's taxonomy. journald knows of no parent but its number, of no connection anything."""

_AUDIT: Final = {
    "type": "_AUDIT_TYPE_NAME",
    "pid": "_PID",
    "ppid": "_PPID",
    "uid": "_UID",
    "euid": "_EUID",
    "fsuid": "_FSUID",
    "gid": "_GID",
    "egid": "_EGID",
    "fsgid": "_FSGID",
    "tty": "_TTY",
    "ses": "_AUDIT_SESSION",
    "auid": "_AUDIT_LOGINUID",
    "subj": "_SELINUX_CONTEXT",
    "comm": "_COMM",
    "exe": "_EXE",
    "proctitle": "_CMDLINE",
    # Of user space's messages (msg='...'), which stand in no kernel record:
    "unit": "AUDIT_FIELD_UNIT",
    "acct": "AUDIT_FIELD_ACCT",
    "cmd": "AUDIT_FIELD_CMD",
    "op": "AUDIT_FIELD_OP",
    "hostname": "AUDIT_FIELD_HOSTNAME",
    "addr": "AUDIT_FIELD_ADDR",
    "terminal": "AUDIT_FIELD_TERMINAL",
    "res": "AUDIT_FIELD_RES",
}

_DECODED: Final = frozenset(
    {"_AUDIT_FIELD_NAME", "_AUDIT_FIELD_PATH", "_AUDIT_FIELD_DEV", "_AUDIT_FIELD_SYSCALL"}
)
"""Fields of that prefix whose value is not as it came, or never quoted."""

SYSCALLS: Final[Mapping[str, tuple[int | None, int | None]]] = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "memfd_create": (319, 279),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "sysinfo": (99, 179),
    "personality": (135, 92),
    "syslog": (103, 116),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "bpf": (321, 280),
    "ptrace": (101, 117),
    "connect": (42, 203),
    "open": (2, None),
    "openat": (257, 56),
}
"""Numbers on x86_64 and aarch64 (their unistd tables): the kernel's records have no names."""

_ARCHES: Final = ("c000003e", "c00000b7")
"""AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64 (linux/audit.h), as records have them."""


def for_journal(rule: SigmaRule) -> SigmaRule:
    """Say `rule` in the journal's fields, in place.

    One that is written for the journal, or is about another system, stays as it is.
    """
    if rule.logsource.product not in {None, "linux"}:
        return rule
    # A filter's own fields do not tell what the rule was written for.
    own = {name: each for name, each in rule.detection.detections.items() if name[:6] != "_filt_"}
    if any(field.startswith(_NATIVE) for field in _fields(own)):
        return rule
    source = rule.logsource.service or rule.logsource.category or ""
    return _pipeline(source if source in _CONDITIONS else "").apply(rule)  # type: ignore[return-value]


def fields_of(rule: SigmaRule) -> set[str]:
    """Give the names of all fields that a rule's detection looks at."""
    return _fields(rule.detection.detections)


def _fields(detections: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for detection in detections.values():
        _collect(detection, found)
    return found


def _collect(detection: Any, found: set[str]) -> None:
    for item in detection.detection_items:
        if hasattr(item, "detection_items"):
            _collect(item, found)
        elif item.field:
            found.add(item.field)


@functools.cache
def _pipeline(source: str) -> ProcessingPipeline:
    """Give the pipeline for a log source, by its service or else its category."""
    from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
    from sigma.processing.transformations import (
        AddConditionTransformation,
        FieldFunctionTransformation,
    )

    audit = source == "auditd"
    mapping: dict[Any, Any] = _AUDIT if audit else _PROCESS
    named: Callable[[str | None], str] = _audit_name if audit else _unchanged
    steps: list[Any] = [FieldFunctionTransformation(mapping, named), *_values()]
    if condition := _CONDITIONS.get(source):
        steps.append(AddConditionTransformation(condition, name=f"_{source}"))
    return ProcessingPipeline([ProcessingItem(step) for step in steps])


def _audit_name(field: str | None) -> str:
    if field and field.startswith(_NATIVE):
        return field
    return f"_AUDIT_FIELD_{(field or '').upper().replace('-', '_')}"


def _unchanged(field: str | None) -> str:
    return field or ""


# --- values


def _values() -> list[Any]:
    """Make the transformations of values; here, for their base classes are pySigma's."""
    from sigma.processing.transformations.base import DetectionItemTransformation
    from sigma.rule import SigmaDetectionItem

    class Values(DetectionItemTransformation):
        def apply_detection_item(self, detection_item: SigmaDetectionItem) -> Any:
            field = detection_item.field or ""
            if field == "_AUDIT_FIELD_SYSCALL":
                return _syscalls(detection_item)
            if field == "_UID":
                detection_item.value = [_user(each) for each in detection_item.value]
            if field.startswith("_AUDIT_FIELD_") and field not in _DECODED:
                detection_item.value = [_as_written(each) for each in detection_item.value]
            return None

    return [Values()]


def _user(value: Any) -> Any:
    """The journal has numbers; the one name whose number is the same everywhere is root's."""
    from sigma.types import SigmaNumber

    return SigmaNumber(0) if str(value) == "root" else value


def _syscalls(item: Any) -> Any:
    """Turn names of system calls into numbers, each with the architecture it is right for."""
    from sigma.conditions import ConditionOR
    from sigma.rule import SigmaDetection, SigmaDetectionItem
    from sigma.types import SigmaNumber, SigmaString

    known = [SYSCALLS.get(str(value)) for value in item.value]
    if not all(known):
        return None
    either: list[Any] = []
    for number, arch in enumerate(_ARCHES):
        numbers: list[Any] = [
            SigmaNumber(each[number]) for each in known if each and each[number] is not None
        ]
        if numbers:
            syscall = SigmaDetectionItem(item.field, [], numbers)
            on = SigmaDetectionItem("_AUDIT_FIELD_ARCH", [], [SigmaString(arch)])
            either.append(SigmaDetection([on, syscall]))
    return SigmaDetection(either, item_linking=ConditionOR)


def _as_written(value: Any) -> Any:
    """Allow for the two ways in which the kernel writes a text (audit_log_untrustedstring).

    In double quotes, or, if it has a blank, a quote or a byte that cannot be printed, in
    hexadecimal. Values that are no untrusted text stand as they are.
    """
    from sigma.types import SigmaExpansion, SigmaRegularExpression, SigmaString

    if not isinstance(value, SigmaString) or value.contains_placeholder():
        return value
    quoted = SigmaString()
    quoted.s = ['"', *value.s, '"']
    return SigmaExpansion([value, quoted, SigmaRegularExpression(_hexadecimal(value))])


def _hexadecimal(value: Any) -> str:
    """Give a pattern for `value` in hexadecimal, each letter in both cases."""
    from sigma.types import SpecialChars

    wild = {SpecialChars.WILDCARD_MULTI: "(?:..)*", SpecialChars.WILDCARD_SINGLE: ".."}
    parts = (
        "".join(map(_either_case, part)) if isinstance(part, str) else wild.get(part, "")
        for part in value.s
    )
    return f"^{''.join(parts)}$"


def _either_case(letter: str) -> str:
    both = dict.fromkeys(each.encode().hex().upper() for each in (letter.upper(), letter.lower()))
    return f"(?:{'|'.join(both)})" if len(both) > 1 else next(iter(both))
