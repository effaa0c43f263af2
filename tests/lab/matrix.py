"""Kernel x mode x operation: what each gives, as errno, lines and events."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Self

from tests.lab.apt import NotInArchive
from tests.lab.kernels import WANTED, Kernel, kernel
from tests.lab.small import (
    CONFIDENTIALITY,
    INTEGRITY,
    SECURE_BOOT,
    UNLOCKED,
    Answer,
    Mode,
    boot,
    kernel_texts,
)
from watcher.event import Event

AT_A_TIME: Final = 1 if os.environ.get("PYTEST_XDIST_WORKER") else 2
"""Guests that run at once: emulation takes a whole core each, and so does each test process."""

SECURE_BOOT_KERNELS: Final = ("bookworm-6.1", "bookworm-6.12")


@dataclass(frozen=True, slots=True)
class Operation:
    """One way to be refused: what it is, the reason it should hit, what it needs.

    `key` is the name of the process that tries, and without `_late` what provoke calls it.
    `needs` is the CONFIG option without which a kernel has nothing to refuse. `at_boot`: no
    step, for the kernel does it by itself as it starts; the pattern tells its lines, and the
    names of its groups, what they say of the result. `answers`: what it gave to read is part of
    the result.
    """

    key: str
    what: str
    reason: str | None
    needs: str = ""
    at_boot: str = ""
    answers: bool = False

    @property
    def step(self) -> str:
        """Give the line of the plan that does it."""
        return f"{self.key.removesuffix('_late')} comm={self.key.encode().hex()}"


_MEMORY: Final = "Memory, ports and registers"
_DEVICES: Final = "PCI, serial lines and firmware"
_CODE: Final = "Modules and kexec"
_POWER: Final = "Hibernation"
_TRACING: Final = "BPF, perf, kprobes and tracefs"
_FILES: Final = "debugfs and IPsec keys"
_ITSELF: Final = "Lockdown itself, at the end of the same boot"

GROUPS: Final[dict[str, tuple[Operation, ...]]] = {
    _MEMORY: (
        Operation("dev_mem", "open `/dev/mem`", "dev_mem", "DEVMEM"),
        Operation("dev_port", "open `/dev/port`", "dev_mem", "DEVPORT"),
        Operation("kcore", "open `/proc/kcore`", "kcore", "PROC_KCORE"),
        Operation("ioperm", "`ioperm(0x80, 1, 1)`", "ioport", "X86_IOPL_IOPERM"),
        Operation("iopl", "`iopl(3)`", "ioport", "X86_IOPL_IOPERM"),
        Operation("msr_write", "write `/dev/cpu/0/msr`", "msr", "X86_MSR"),
        Operation("msr_ioctl", "`X86_IOC_WRMSR_REGS`", "msr", "X86_MSR"),
    ),
    _DEVICES: (
        Operation("pci_sysfs", "write `/sys/bus/pci/devices/*/config`", "pci_access", "PCI"),
        Operation("pci_proc", "write `/proc/bus/pci/00/00.0`", "pci_access", "PCI"),
        Operation("pci_mmap", "mmap `/sys/bus/pci/devices/*/resource5`", "pci_access", "PCI"),
        Operation("tiocsserial", "`TIOCSSERIAL` with another irq", "tiocsserial", "SERIAL_8250"),
        Operation("efi_test", "open `/dev/efi_test`", "efi_test", "EFI_TEST"),
        Operation(
            "acpi_table",
            "ACPI table in the initrd",
            "acpi_tables",
            "ACPI_TABLE_UPGRADE",
            answers=True,
            at_boot="ACPI tables is restricted|(?P<ignored>ignoring table override)"
            "|(?P<installed>Table Upgrade: install)",
        ),
    ),
    _CODE: (
        Operation("finit_module", "`finit_module`, signature cut off", "module_signature"),
        Operation("init_module", "`init_module`, signature cut off", "module_signature"),
        Operation("module_param", "write a `module_param_hw` (8250.share_irqs)",
                  "module_parameters", "SERIAL_8250"),
        Operation("kexec_load", "`kexec_load`", "kexec", "KEXEC"),
        Operation("kexec_unsigned", "`kexec_file_load`, signature removed", "kexec", "KEXEC_FILE"),
        Operation("kexec_debian", "`kexec_file_load`, signed by Debian", "kexec", "KEXEC_FILE"),
        Operation("kexec_signed", "`kexec_file_load`, signed by a key in UEFI's db", "kexec",
                  "KEXEC_FILE"),
    ),
    _POWER: (
        Operation("power_read", "read `/sys/power/state`", "hibernation", "HIBERNATION",
                  answers=True),
        Operation("power_disk", "read `/sys/power/disk`", "hibernation", "HIBERNATION",
                  answers=True),
        Operation("power_write", "write `disk` to `/sys/power/state`", "hibernation",
                  "HIBERNATION"),
        Operation("snapshot", "open `/dev/snapshot`", "hibernation", "HIBERNATION_SNAPSHOT_DEV"),
    ),
    _TRACING: (
        Operation("bpf_map", "`BPF_MAP_CREATE`", None),
        Operation("bpf_read", "load BPF with `probe_read_kernel`", "bpf_read_kernel"),
        Operation("bpf_read_old", "load BPF with `probe_read`", "bpf_read_kernel"),
        Operation("bpf_read_str", "load BPF with `probe_read_kernel_str`", "bpf_read_kernel"),
        Operation("bpf_read_user", "load BPF with `probe_read_user`", None),
        Operation("bpf_write", "load BPF with `probe_write_user`", "bpf_write_user"),
        Operation("perf_clock", "`perf_event_open`, CPU clock", None),
        Operation("perf_regs", "`perf_event_open` with `REGS_INTR`", "perf"),
        Operation("kprobe_perf", "`perf_event_open` of a kprobe", "kprobes", "KPROBE_EVENTS"),
        Operation("kprobe_trace", "write tracefs `kprobe_events`", "kprobes", "KPROBE_EVENTS"),
        Operation("tracefs", "open tracefs `trace`", "tracefs", "TRACING"),
    ),
    _FILES: (
        Operation("debugfs_write", "open `clear_warn_once` to write", "debugfs", "DEBUG_FS"),
        Operation("debugfs_chmod", "chmod `clear_warn_once`", "debugfs", "DEBUG_FS"),
        Operation("debugfs_read", "open `kprobes/list` (0400) to read", None, "DEBUG_FS"),
        Operation("xfrm_dump", "dump IPsec states", "xfrm_secret", "XFRM_USER", answers=True),
    ),
    _ITSELF: (
        Operation("set_none", "write `none` to `/sys/kernel/security/lockdown`", None,
                  answers=True),
        Operation("sysrq_x", "SysRq-x (`/proc/sysrq-trigger`)", None),
        Operation("set_integrity", "write `integrity`", None, answers=True),
        Operation("dev_mem_late", "then open `/dev/mem`", "dev_mem", "DEVMEM"),
        Operation("set_confid", "write `confidentiality`", None, answers=True),
        Operation("tracefs_late", "then open tracefs `trace`", "tracefs", "TRACING"),
    ),
}  # fmt: skip
OPERATIONS: Final = tuple(op for group in GROUPS.values() for op in group)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one operation gave in one boot; `error` is None where the kernel did it at boot."""

    kernel: Kernel
    mode: Mode
    operation: Operation
    error: int | None
    note: str
    records: list[bytes]
    events: list[Event]

    @property
    def lines(self) -> list[str]:
        """Give the texts of the kernel's own records."""
        return kernel_texts(self.records)

    @property
    def built(self) -> bool:
        """Tell whether the kernel was built with what the operation needs."""
        return not self.operation.needs or bool(self.kernel.config(self.operation.needs))

    @property
    def errno(self) -> str:
        """Give the name of the errno; "ok", or "" where there was no call."""
        if self.error is None:
            return ""
        return errno.errorcode.get(self.error, "failed") if self.error else "ok"


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot: all its answers, the boot's own first, and the operations they answer."""

    kernel: Kernel
    mode: Mode
    answers: list[Answer]
    operations: Sequence[Operation]

    @property
    def events(self) -> list[Event]:
        """Give the events of all answers, in order."""
        return [event for answer in self.answers for event in answer.events]

    def cells(self) -> list[Cell]:
        """Give a cell for each operation."""
        start, *answers = self.answers
        asked = iter(answers)
        return [
            self._at_boot(op, start) if op.at_boot else self._cell(op, next(asked))
            for op in self.operations
        ]

    def _cell(self, op: Operation, answer: Answer) -> Cell:
        a = answer
        return Cell(self.kernel, self.mode, op, a.error, a.note, a.records, a.events)

    def _at_boot(self, op: Operation, start: Answer) -> Cell:
        told = {r: m for r in start.records if (m := re.search(op.at_boot, r.decode()))}
        events = [e for e in start.events if re.search(op.at_boot, e.message)]
        note = " ".join(m.lastgroup for m in told.values() if m.lastgroup) or "no line"
        return Cell(self.kernel, self.mode, op, None, note, list(told), events)


def provoked(kernel: Kernel, mode: Mode, operations: Sequence[Operation] = OPERATIONS) -> Boot:
    """Boot once and do `operations`. Raises GuestFailed."""
    plan = [op.step for op in operations if not op.at_boot]
    return Boot(kernel, mode, boot(kernel, mode, plan), operations)


def modes_of(kernel_name: str) -> list[Mode]:
    """Give the modes a kernel is booted in."""
    secure = [SECURE_BOOT] if kernel_name in SECURE_BOOT_KERNELS else []
    return [UNLOCKED, INTEGRITY, CONFIDENTIALITY, *secure]


def kernels(names: Iterable[str]) -> tuple[list[Kernel], dict[str, str]]:
    """Give the kernels of these names, and of those that a moving suite lacks now, why.

    Raises LabError where a kernel should be there and cannot be had.
    """
    found: list[Kernel] = []
    absent: dict[str, str] = {}
    for name in dict.fromkeys(names):
        try:
            found.append(kernel(name))
        except NotInArchive as error:
            if not WANTED[name].moving:
                raise
            absent[name] = str(error)
    return found, absent


class Matrix:
    """Kernels booted in modes, all (name, mode) of `pairs`, AT_A_TIME, as a context manager.

    All of it starts on entry; on exit what has not begun is left undone. `absent` are the kernels
    that a moving suite lacks now, with the reason. Raises LabError on entry.
    """

    def __init__(self, pairs: Iterable[tuple[str, Mode]]) -> None:
        # The slowest first.
        self._pairs = sorted(pairs, key=lambda pair: not pair[1].secure_boot)
        self.absent: dict[str, str] = {}

    def __enter__(self) -> Self:
        found, self.absent = kernels(name for name, _ in self._pairs)
        there = {kernel.name: kernel for kernel in found}
        self._pool = ThreadPoolExecutor(AT_A_TIME)
        self._boots = {
            (name, mode.name): self._pool.submit(provoked, there[name], mode)
            for name, mode in self._pairs
            if name in there
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def boot(self, kernel: str, mode: str) -> Boot | None:
        """Wait for a boot and give it; None if the kernel is not there. Raises GuestFailed."""
        boot = self._boots.get((kernel, mode))
        return boot.result() if boot else None

    def finished(self) -> list[Boot]:
        """Wait for all boots, and give them. Raises GuestFailed if one did not come to its end."""
        return [boot.result() for boot in self._boots.values()]
