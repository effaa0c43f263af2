"""How kernels word each reason, from 4.14 to now: the text between "Lockdown:" and "is restricted".

Mainline (5.4 and later) has one wording for each reason; the patch sets that distributions
carried before have several. The tags in `read` are those of reasons.py.
"""

from typing import Final, NamedTuple


class Wording(NamedTuple):
    """One wording of a reason; `mainline` tells the LSM's own table from older patch sets."""

    text: str
    reason: str
    since: str
    until: str | None
    read: str
    mainline: bool = False


def _mainline(text: str, reason: str, since: str = "5.4", read: str = "L-5.4") -> Wording:
    return Wording(text, reason, since, None, read, mainline=True)


def _old(
    text: str, reason: str, since: str = "4.14", until: str = "5.3", read: str = "FED"
) -> Wording:
    return Wording(text, reason, since, until, read)


WORDINGS: Final = (
    # security/security.c, lockdown_reasons[], in its order.
    _mainline("unsigned module loading", "module_signature"),
    _mainline("/dev/mem,kmem,port", "dev_mem"),
    _mainline("/dev/efi_test access", "efi_test"),
    _mainline("kexec of unsigned images", "kexec"),
    _mainline("hibernation", "hibernation"),
    _mainline("direct PCI access", "pci_access"),
    _mainline("raw io port access", "ioport"),
    _mainline("raw MSR access", "msr"),
    _mainline("modifying ACPI tables", "acpi_tables"),
    _mainline("modifying device tree contents", "device_tree", "6.1", "BIN-6.1"),
    _mainline("direct PCMCIA CIS storage", "pcmcia_cis"),
    _mainline("reconfiguration of serial port IO", "tiocsserial"),
    _mainline("unsafe module parameters", "module_parameters"),
    _mainline("unsafe mmio", "mmiotrace"),
    _mainline("debugfs access", "debugfs"),
    _mainline("xmon write access", "xmon_wr", read="BIN-5.10"),
    _mainline("KDB or KGDB access", "kgdb", "5.4 (Ubuntu)", "UBU5.4"),
    _mainline("use of bpf to write user RAM", "bpf_write_user", "5.10.70", "BIN-5.10"),
    _mainline("use of kgdb/kdb to write kernel RAM", "dbg_write_kernel", "5.10.120", "BIN-5.10"),
    _mainline("RTAS error injection", "rtas_error_injection", "6.1", "BIN-6.1"),
    _mainline("Xen guest user action", "xen_user_actions", "2026", "BIN-7.2"),
    _mainline("/proc/kcore access", "kcore"),
    _mainline("use of kprobes", "kprobes"),
    _mainline("use of bpf to read kernel RAM", "bpf_read_kernel"),
    _mainline("use of kgdb/kdb to read kernel RAM", "dbg_read_kernel", "5.10.120", "BIN-5.10"),
    _mainline("unsafe use of perf", "perf"),
    _mainline("use of tracefs", "tracefs"),
    _mainline("xmon read and write access", "xmon_rw", read="BIN-5.10"),
    _mainline("xfrm SA secret", "xfrm_secret", "6.1", "BIN-6.1"),
    # The patch sets before, and the distributions' names in them.
    _old("/dev/mem", "dev_mem", "4.14-rc", "4.14-rc"),
    _old("/dev/kmem", "dev_mem", "4.14-rc", "4.14-rc"),
    _old("Direct ioport access", "ioport", "4.14-rc", "4.14-rc"),
    _old("/dev/snapshot", "hibernation"),
    _old("/proc/kcore", "kcore"),
    _old("ACPI RSDP specification", "acpi_tables"),
    _old("ACPI custom methods", "acpi_tables"),
    _old("ACPI error injection", "acpi_tables"),
    _old("ACPI table override", "acpi_tables"),
    _old("Asus WMI", "asus_wmi", until="4.15"),
    _old("BPF", "bpf", "4.15", "5.3", "FED patch 23/27, DEB4.19, UBU4.15"),
    _old(
        "Command line-specified device addresses, irqs and dma channels",
        "module_parameters",
    ),
    _old("Direct MSR access", "msr"),
    _old("Direct PCI access", "pci_access"),
    _old("Direct PCMCIA CIS storage", "pcmcia_cis"),
    _old("Hibernation", "hibernation"),
    _old("Loading of unsigned modules", "module_signature", until="4.19", read="FED, DEB4.19"),
    _old("Loading of unsigned module", "module_signature", "4.16"),
    _old("Loading of module with unsupported crypto", "module_signature", "4.16"),
    _old("Loading of module with unavailable key", "module_signature", "4.16"),
    _old("Loading of untrusted modules", "module_signature", "4.18", "4.18", "RHEL 8 bug reports"),
    _old("kexec of unsigned image", "kexec", "5.0"),
    _old("kexec of image with unsupported crypto", "kexec", "5.0"),
    _old("kexec of image with unavailable key", "kexec", "5.0"),
    _old("MMIO trace testing", "mmiotrace"),
    _old("PERF_SAMPLE_REGS_INTR", "perf", "4.16"),
    _old("Use of kprobes", "kprobes", "4.16"),
    _old(
        "Using TIOCSSERIAL to change device addresses, irqs and dma channels",
        "tiocsserial",
    ),
    _old("changing perms in debugfs", "debugfs", "4.16"),
    _old("debugfs", "debugfs"),
    _old("ioperm", "ioport"),
    _old("iopl", "ioport"),
    _old("perf", "perf", "4.14", "4.14", "UEK"),
    _old("DTRACE", "dtrace", "4.14", "4.14", "UEK"),
)
