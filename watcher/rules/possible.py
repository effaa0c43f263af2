"""Whether a rule can match anything a journal holds, and if not, why.

Each kind of entry is a world with the fields it may have. A condition is run in it with three
answers: what cannot be told may be true and may be false, so what is said never to match never
does; the other way round nothing is promised. Pure: which worlds this machine has is told from
outside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from watcher.rules.evaluate import Fields, holds
from watcher.rules.needs import all_of

Node = list[Any]
_NAME: Final = re.compile(r"[A-Z0-9_]{1,64}")
"""Names of fields that journald takes (journal_field_valid)."""

_EVERY: Final = (  # noqa: SIM905 - as all others
    "_BOOT_ID _MACHINE_ID _HOSTNAME _RUNTIME_SCOPE _TRANSPORT _NAMESPACE PRIORITY MESSAGE"
    " MESSAGE_ID SYSLOG_FACILITY SYSLOG_IDENTIFIER SYSLOG_PID SYSLOG_RAW SYSLOG_TIMESTAMP"
    " _SOURCE_REALTIME_TIMESTAMP _SOURCE_MONOTONIC_TIMESTAMP _SOURCE_BOOTTIME_TIMESTAMP"
    " __REALTIME_TIMESTAMP"
).split()
_KERNEL: Final = "_KERNEL_DEVICE _KERNEL_SUBSYSTEM _UDEV_SYSNAME _UDEV_DEVNODE _UDEV_DEVLINK"
_PROCESS: Final = (
    "_PID _UID _GID _COMM _EXE _CMDLINE _CAP_EFFECTIVE _AUDIT_SESSION _AUDIT_LOGINUID"
    " _SYSTEMD_CGROUP _SYSTEMD_SLICE _SYSTEMD_UNIT _SYSTEMD_USER_UNIT _SYSTEMD_USER_SLICE"
    " _SYSTEMD_SESSION _SYSTEMD_OWNER_UID _SYSTEMD_INVOCATION_ID _SELINUX_CONTEXT _STREAM_ID"
    " _LINE_BREAK"
)
_SUBJECT: Final = (
    "_PID _PPID _UID _EUID _FSUID _GID _EGID _FSGID _TTY _AUDIT_SESSION _AUDIT_LOGINUID"
    " _SELINUX_CONTEXT _COMM _EXE _CMDLINE"
)


@dataclass(frozen=True, slots=True)
class World:
    """One kind of entry: `fixed` values, fields it may have, and prefixes of more such."""

    name: str
    fixed: Mapping[str, str]
    may_have: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    not_values: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Tell whether an entry of this kind may have a field of that name."""
        if name in self.fixed or name in self.may_have:
            return True
        return bool(_NAME.fullmatch(name)) and any(map(name.startswith, self.prefixes))


def _audit(kind: str, names: str, *, prefixes: tuple[str, ...] = ()) -> World:
    own = {"_TRANSPORT": "audit", "_AUDIT_TYPE_NAME": kind}
    may = frozenset((*_EVERY, "_AUDIT_TYPE", "_AUDIT_ID", *names.split()))
    return World(f"audit {kind}", own, may, prefixes)


_A: Final = "_AUDIT_FIELD_"
_RECORDS: Final = (
    _audit("EXECVE", f"{_A}ARGC", prefixes=(f"{_A}A",)),
    _audit("PATH", "", prefixes=(f"{_A}NAME", f"{_A}I", f"{_A}M", f"{_A}O", f"{_A}D", f"{_A}R",
                                 f"{_A}CAP_")),
    _audit("SYSCALL", f"{_SUBJECT} _SUID _SGID {_A}ARCH {_A}SYSCALL {_A}SUCCESS {_A}EXIT {_A}A0"
                      f" {_A}A1 {_A}A2 {_A}A3 {_A}ITEMS {_A}SUID {_A}SGID {_A}KEY {_A}PER"),
    _audit("CWD", f"{_A}CWD"),
    _audit("PROCTITLE", "_CMDLINE"),
    _audit("SOCKADDR", f"{_A}SADDR"),
)  # fmt: skip
_TYPES: Final = frozenset(each.fixed["_AUDIT_TYPE_NAME"].lower() for each in _RECORDS)

WORLDS: Final = (
    World("kernel", {"_TRANSPORT": "kernel"}, frozenset((*_EVERY, *_KERNEL.split()))),
    World(
        "process",
        {},
        frozenset((*_EVERY, *_PROCESS.split())),
        tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"),  # programs write what they like
        {"_TRANSPORT": frozenset(("kernel", "audit"))},
    ),
    *_RECORDS,
    World(
        "audit",
        {"_TRANSPORT": "audit"},
        frozenset((*_EVERY, *_SUBJECT.split(), "_AUDIT_TYPE", "_AUDIT_ID", "_AUDIT_TYPE_NAME")),
        ("_AUDIT_FIELD_", "AUDIT_FIELD_"),
        {"_AUDIT_TYPE_NAME": _TYPES},
    ),
)


def never(condition: Node) -> str | None:
    """Say why a rule can match no entry of any journal; None where it may."""
    if any(_may(condition, world) for world in WORLDS):
        return None
    names = sorted(set(fields(condition)))
    unknown = [name for name in names if not any(world.has(name) for world in WORLDS)]
    if unknown and any(_may(condition, _granted(world, unknown)) for world in WORLDS):
        return f"needs {_listed(unknown)}, which no journal entry has"
    if unknown:
        return f"needs {_listed(unknown)}, which no journal entry has, beside fields of others"
    own = [name for name in names if name not in _EVERY and name != "_AUDIT_TYPE_NAME"]
    return f"asks one entry for {_listed(own)}, which are never in one"


def kinds(condition: Node) -> frozenset[str]:
    """Give the transports of entries that may match: kernel, audit, process (all others)."""
    return frozenset(world.name.split()[0] for world in WORLDS if _may(condition, world))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)


def _granted(world: World, names: Iterable[str]) -> World:
    may = world.may_have | frozenset(names)
    return World(world.name, world.fixed, may, world.prefixes, world.not_values)


def fields(node: Node) -> Iterator[str]:
    """Give the names of all fields a condition looks at."""
    name, first, *_ = node
    if name in ("and", "or"):
        for each in first:
            yield from fields(each)
    elif name == "not":
        yield from fields(first)
    else:
        yield first
        if name == "reference":
            yield node[2]


# --- three answers: (may be true, may be false)

_Answer = tuple[bool, bool]
_UNKNOWN: Final = (True, True)


def _may(node: Node, world: World) -> bool:
    return _answer(node, world)[0]


def _answer(node: Node, world: World) -> _Answer:
    name, first, *_ = node
    if name == "not":
        true, false = _answer(first, world)
        return false, true
    if name in ("and", "or"):
        return _joined(name, [_answer(each, world) for each in first])
    return _leaf(node, world)


def _joined(name: str, answers: list[_Answer]) -> _Answer:
    true, false = zip(*answers, strict=True)
    return (all(true), any(false)) if name == "and" else (any(true), all(false))


def _leaf(node: Node, world: World) -> _Answer:
    looked_at = list(fields(node))
    if all(name in world.fixed or not world.has(name) for name in looked_at):
        found = holds(node, Fields(world.fixed))
        return found, not found
    if node[0] != "reference" and literal(node) in world.not_values.get(node[1], ()):
        return False, True
    return _UNKNOWN


def literal(node: Node) -> str | None:
    """Give the one value, in lower case, that a string leaf without wildcards asks for."""
    if node[0] == "string" and all(isinstance(part, str) for part in node[2]):
        return "".join(node[2]).lower()
    return None


# --- what must stand in a field


def demanded(node: Node, name: str) -> frozenset[str] | None:
    """Give lower-case values one of which the field has if `node` is true; None: cannot tell."""
    kind, first, *_ = node
    if kind in ("and", "or"):
        return _DEMANDED[kind]([demanded(each, name) for each in first])
    value = literal(node) if kind == "string" and first == name else None
    return None if value is None else frozenset((value,))


def _of_and(sets: list[frozenset[str] | None]) -> frozenset[str] | None:
    return min((each for each in sets if each is not None), key=len, default=None)


_DEMANDED: Final[Mapping[str, Callable[[list[frozenset[str] | None]], frozenset[str] | None]]] = {
    "and": _of_and,
    "or": all_of,
}
