"""What a program tried to do when lockdown refused it: "dd tried to reach physical memory".

For notes on a desktop, where people read a sentence and not the kernel's words. One row a reason
of reasons.py, in its order; each goes on after "tried to". Short, for servers cut a title off.
"""

from __future__ import annotations

from typing import Final

TRIED: Final[dict[str, str]] = {
    "module_signature": "load an unsigned module",
    "dev_mem": "reach physical memory",
    "efi_test": "call UEFI firmware directly",
    "kexec": "start another kernel (kexec)",
    "hibernation": "use hibernation",
    "pci_access": "reach a PCI device directly",
    "ioport": "reach I/O ports directly",
    "msr": "write a CPU register (MSR)",
    "acpi_tables": "change ACPI tables",
    "device_tree": "change the device tree",
    "pcmcia_cis": "rewrite a PC card's description",
    "tiocsserial": "move a serial port's address",
    "module_parameters": "give a driver hardware addresses",
    "mmiotrace": "trace memory-mapped I/O",
    "debugfs": "use debugfs",
    "xmon_wr": "change the kernel with xmon",
    "kgdb": "enter the kernel debugger",
    "bpf_write_user": "write user memory with BPF",
    "dbg_write_kernel": "change kernel memory (kgdb)",
    "rtas_error_injection": "inject firmware errors (RTAS)",
    "xen_user_actions": "call the Xen hypervisor directly",
    "kcore": "read kernel memory (kcore)",
    "kprobes": "set a kprobe in the kernel",
    "bpf_read_kernel": "read kernel memory with BPF",
    "dbg_read_kernel": "read kernel memory (kgdb)",
    "perf": "sample registers with perf",
    "tracefs": "trace the kernel (tracefs)",
    "xmon_rw": "use the kernel debugger xmon",
    "xfrm_secret": "read IPsec keys",
    "bpf": "use BPF",
    "asus_wmi": "call ASUS firmware directly",
    "dtrace": "use DTrace",
}


def sentence(kind: str, reason: str | None, program: str | None) -> str | None:
    """Say what happened as a sentence; None for what is no denial of a known reason.

    `program` is the process's name, made harmless for wherever the sentence goes.
    """
    tried = TRIED.get(reason or "") if kind == "lockdown.denied" else None
    return tried and f"Blocked: {program or 'a program'} tried to {tried}"
