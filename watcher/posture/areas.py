"""What still works at a level and what does not, area by area, for people. Pure data.

From the kernel's own reasons (lockdown/reasons.py) and from what was measured (docs/lab.md).
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from watcher.lockdown import REASONS
from watcher.posture.kernel import Kernel
from watcher.posture.standing import PostureLevel

State = Literal["works", "partly", "blocked", "unknown", "absent"]


class Area(NamedTuple):
    """One thing people want to do: its state, and in a few words how far."""

    id: str
    name: str
    state: State
    words: str


class _Row(NamedTuple):
    """Words by level; where a level is left out, the one below holds. `needs`: Kconfig options."""

    id: str
    name: str
    integrity: tuple[State, str]
    confidentiality: tuple[State, str] | None = None
    locked: tuple[State, str] | None = None
    free: tuple[State, str] = ("works", "")
    needs: tuple[str, ...] = ()


_ROWS: Final = (
    _Row(
        "bpf",
        "BPF",
        ("works", "but programs may not write to user memory (EINVAL)"),
        ("partly", "loads, but may not read kernel memory (EINVAL), nor use kprobes (EPERM)"),
        ("blocked", "every bpf() call, maps included"),
        needs=("BPF_SYSCALL",),
    ),
    _Row(
        "tracing",
        "kprobes, tracefs",
        ("works", ""),
        ("blocked", "kprobes give EPERM; tracing files may not even exist"),
        ("partly", "kprobes are refused"),
        needs=("KPROBES",),
    ),
    _Row(
        "perf",
        "perf",
        ("works", ""),
        ("partly", "but for --intr-regs and kprobes"),
        ("partly", "but for --intr-regs and kprobes"),
        needs=("PERF_EVENTS",),
    ),
    _Row(
        "module",
        "kernel modules",
        ("partly", "only those signed with a key this kernel trusts"),
        free=("works", "unsigned ones taint the kernel"),
        needs=("MODULES",),
    ),
    _Row(
        "hibernation",
        "hibernation",
        ("blocked", "suspend to RAM works"),
        free=("works", "given swap and resume="),
        needs=("HIBERNATION",),
    ),
    _Row(
        "kexec",
        "kexec, kdump",
        ("partly", "only kexec -s (kexec_file_load) with a signed kernel"),
        needs=("KEXEC", "KEXEC_FILE"),
    ),
    _Row(
        "dev_mem",
        "/dev/mem, /dev/port",
        ("blocked", ""),
        free=("works", "for root, as far as CONFIG_STRICT_DEVMEM lets"),
        needs=("DEVMEM",),
    ),
    _Row("ioport", "I/O ports", ("blocked", "ioperm and iopl")),
    _Row(
        "msr",
        "CPU registers (MSR)",
        ("partly", "reading works, writing does not"),
        free=("works", "unless msr.allow_writes=off"),
        needs=("X86_MSR",),
    ),
    _Row(
        "debugfs",
        "debugfs",
        ("partly", "reading mostly works, writing does not"),
        needs=("DEBUG_FS",),
    ),
    _Row("kcore", "/proc/kcore", ("works", ""), ("blocked", ""), ("blocked", ""),
         needs=("PROC_KCORE",)),
)  # fmt: skip


def areas(level: PostureLevel | None, kernel: Kernel) -> tuple[Area, ...]:
    """Say of each area what holds at a level on this kernel."""
    return tuple(_area(row, level, kernel) for row in _ROWS)


def _area(row: _Row, level: PostureLevel | None, kernel: Kernel) -> Area:
    if row.needs and not any(kernel.built(option) is not False for option in row.needs):
        return Area(row.id, row.name, "absent", "not built into this kernel")
    if level is None:
        return Area(row.id, row.name, "unknown", "")
    if row.id == "bpf" and level == "locked" and (said := refuses_bpf(kernel)) is not True:
        state: State = "works" if said is False else "unknown"
        return Area(
            row.id, row.name, state, "depends on the kernel's build" if said is None else ""
        )
    return Area(row.id, row.name, *_words(row, level))


def _words(row: _Row, level: PostureLevel) -> tuple[State, str]:
    if level == "none":
        return row.free
    if level == "locked":
        return row.locked or row.integrity
    if level == "confidentiality":
        return row.confidentiality or row.integrity
    return row.integrity


def refuses_bpf(kernel: Kernel) -> bool | None:
    """Tell whether a locked kernel before 5.4 refuses all of bpf(); None: nobody wrote it down.

    Fedora: from 4.16, not in 4.18.5 to 5.0, again from 5.1.4; Debian and Ubuntu from 4.15;
    Oracle's UEK allows it in integrity mode.
    """
    version = kernel.version
    if kernel.family == "fedora":
        return (4, 16) <= version < (4, 18, 5) or version >= (5, 1, 4)
    if kernel.family in ("debian", "ubuntu"):
        return version >= (4, 15)
    return None


# --- the kernel's own reasons

_ONLY: Final = {"kgdb": "ubuntu"}
_ELSEWHERE: Final = frozenset({"device_tree", "rtas_error_injection", "xmon_wr", "xmon_rw"})
"""On powerpc alone."""


def blocked(level: PostureLevel | None, kernel: Kernel) -> tuple[str, ...]:
    """Give the ids of the reasons that a kernel at this level refuses, in the kernel's order."""
    if level in (None, "none"):
        return ()
    return tuple(each.id for each in REASONS.values() if _refuses(each.id, level, kernel))


def _refuses(reason: str, level: PostureLevel, kernel: Kernel) -> bool:
    row = REASONS[reason]
    if reason in _ELSEWHERE or _ONLY.get(reason, kernel.family) != kernel.family:
        return False
    if level != "locked":
        return row.level is not None and (row.level == "integrity" or level == "confidentiality")
    if reason == "bpf":
        return refuses_bpf(kernel) is True
    return reason in _BEFORE_LEVELS


_BEFORE_LEVELS: Final = frozenset(
    """module_signature dev_mem kexec hibernation pci_access ioport msr acpi_tables pcmcia_cis
    tiocsserial module_parameters mmiotrace debugfs kcore kprobes perf""".split()  # noqa: SIM905
)
"""What the patch sets before 5.4 refuse as well, by the later names (Fedora 4.16 to 5.3)."""
