"""What went wrong, from a topic's name or from what a program printed. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from watcher.lockdown import REASONS

MOST_TEXT: Final = 20_000
"""Characters looked at of what was pasted."""


class Topic(NamedTuple):
    """Something people want to do.

    `reasons` are what lockdown calls it (`narrow` ones only count if the text names them),
    `signs` a pattern of words that betray it, `capabilities` any one of which is asked for.
    """

    id: str
    name: str
    reasons: tuple[str, ...]
    signs: str
    capabilities: tuple[str, ...] = ("CAP_SYS_ADMIN",)
    narrow: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    asks: str = ""


TOPICS: Final = {
    topic.id: topic
    for topic in (
        Topic(
            "bpf", "BPF", ("bpf", "bpf_read_kernel", "kprobes"),
            r"bpf|\bbcc\b|failed to load program|cannot use helper|unknown func|memlock"
            r"|falco|tetragon|cilium",
            ("CAP_BPF", "CAP_SYS_ADMIN"), ("bpf_write_user",), ("BPF_SYSCALL",),
            "loading BPF programs",
        ),
        Topic(
            "module", "kernel modules", ("module_signature",),
            r"\bmodule|modprobe|insmod|\.ko\b|dkms|key was rejected|required key not|nvidia",
            ("CAP_SYS_MODULE",), ("module_parameters",), ("MODULES",), "loading modules",
        ),
        Topic(
            "kexec", "kexec", ("kexec",), r"kexec|kdump",
            ("CAP_SYS_BOOT",), (), ("KEXEC", "KEXEC_FILE"), "loading another kernel",
        ),
        Topic(
            "hibernation", "hibernation", ("hibernation",),
            r"hibernat|sleep verb|/sys/power|/dev/snapshot|s2disk|swsusp",
            (), (), ("HIBERNATION",), "hibernating",
        ),
        Topic(
            "msr", "CPU registers (MSR)", ("msr",), r"\bmsr\b|/msr\b|wrmsr|rdmsr|undervolt",
            ("CAP_SYS_RAWIO",), (), ("X86_MSR",), "writing registers",
        ),
        Topic(
            "ioport", "ports, /dev/mem, PCI", ("ioport", "dev_mem", "pci_access"),
            r"ioperm|iopl|/dev/k?mem|/dev/port|port access|setpci|flashrom|i/o port|super-?user\?",
            ("CAP_SYS_RAWIO",), (), (), "reaching hardware from user space",
        ),
        Topic(
            "tracefs", "kprobes, tracefs", ("tracefs", "kprobes"),
            r"tracefs|/tracing|kprobe|trace-cmd|ftrace|debug/tracing",
            (), (), ("FTRACE", "KPROBES"), "tracing",
        ),
        Topic(
            "debugfs", "debugfs", ("debugfs",), r"debugfs|/sys/kernel/debug",
            (), (), ("DEBUG_FS",), "writing to debugfs",
        ),
        Topic(
            "perf", "perf", ("perf", "kprobes"), r"\bperf\b|perf_event",
            ("CAP_PERFMON", "CAP_SYS_ADMIN"), (), ("PERF_EVENTS",), "measuring with perf",
        ),
    )
}  # fmt: skip
"""In the order in which they are looked for in a text: the narrower signs first."""

_ERRNOS: Final = (
    ("EKEYREJECTED", r"key was rejected|ekeyrejected"),
    ("ENOKEY", r"required key not available|enokey"),
    ("EINVAL", r"invalid argument|einval|errno[ =]22|unknown func|cannot use helper"),
    ("EACCES", r"permission denied|eacces|errno[ =]13"),
    ("EPERM", r"operation not permitted|not permitted|eperm|errno[ =]1\b|super-?user"),
    ("ENOSYS", r"function not implemented|enosys"),
    ("ENOENT", r"no such file|enoent"),
    ("ENODATA", r"no data available|enodata"),
)

_EXACT: Final = (
    ("bpf_write_user", r"bpf_probe_write_user"),
    ("bpf_read_kernel", r"bpf_probe_read(?!_user)(?:_kernel)?(?:_str)?\b"),
    ("dev_mem", r"/dev/k?mem|/dev/port"),
    ("pci_access", r"setpci|/sys/bus/pci|pciconfig"),
    ("perf", r"intr-regs|regs_intr"),
    ("kprobes", r"kprobe_events|perf_event_open\(/sys/bus/event_source/devices/kprobe"),
    ("module_parameters", r"unsafe module parameter"),
)
"""Texts that name the very thing lockdown has a reason for."""


class Symptom(NamedTuple):
    """What is known of the trouble; None: not told. `reason` is lockdown's own word for it."""

    text: str
    topic: Topic | None = None
    errno: str | None = None
    reason: str | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Give the reasons lockdown would have."""
        if self.reason:
            return (self.reason,)
        return self.topic.reasons if self.topic else tuple(REASONS)


def symptom(text: str) -> Symptom | None:
    """Read a topic or what a program printed; None if nothing in it is known."""
    low = text[:MOST_TEXT].strip().lower()
    if low in TOPICS:
        return Symptom(text, TOPICS[low])
    reason = _first(_EXACT, low)
    if reason is None and low.replace(" ", "_") in REASONS:
        reason = low.replace(" ", "_")
    errno = _first(_ERRNOS, low)
    topic = _topic_of(reason) or next((t for t in TOPICS.values() if re.search(t.signs, low)), None)
    found = Symptom(text, topic, errno, reason)
    return found if topic or errno or reason else None


def of_reason(reason: str) -> Symptom:
    """Give the symptom of a refusal that the log names."""
    return Symptom(reason, _topic_of(reason), None, reason)


def topic_of_program(name: str) -> Topic | None:
    """Guess what a program is about: by the catalogue's usual programs, or by its name."""
    for reason in REASONS.values():
        if name in reason.programs.split() and (found := _topic_of(reason.id)):
            return found
    return next((t for t in TOPICS.values() if re.search(t.signs, name.lower())), None)


def _topic_of(reason: str | None) -> Topic | None:
    return next((t for t in TOPICS.values() if reason in (*t.reasons, *t.narrow)), None)


def _first(rows: tuple[tuple[str, str], ...], low: str) -> str | None:
    return next((name for name, pattern in rows if re.search(pattern, low)), None)
