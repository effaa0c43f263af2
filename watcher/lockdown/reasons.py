"""What the kernel restricts: every reason of lockdown, one row each, and every wording of it.

Sources ("read" column): L-5.4 is security/lockdown/lockdown.c and security/security.c of
Linux 5.4; BIN-x the strings of Debian's kernel x; Q-x that kernel booted under lockdown and
provoked; FED, DEB, UBU, RHEL and UEK the patch sets of those distributions before 5.4.
Programs and ways on marked (use) are from use, not from a kernel source.
"""

from typing import Final, Literal, NamedTuple

Level = Literal["integrity", "confidentiality"]


class Reason(NamedTuple):
    """One thing lockdown refuses.

    `level` is the lowest that refuses it (None: kernels before 5.4 knew only locked or not);
    `what` stands in titles, `meaning` is the one line a person reads, `instead` the safe ways on.
    """

    id: str
    level: Level | None
    what: str
    meaning: str
    operation: str
    instead: str
    programs: str = ""
    errno: str = "EPERM"
    since: str = "5.4"
    until: str | None = None
    read: str = "L-5.4"


_INT: Final = "integrity"
_CONF: Final = "confidentiality"

_POWERPC = "Nothing to do on other machines; on powerpc use the platform's own service tools."
_NO_DEBUGGER = "Debug an unlocked test machine or a virtual machine instead."
_INTEGRITY_MODE = (
    "Where policy allows, boot with lockdown=integrity, which permits this and still keeps the"
    " kernel's integrity; it gives up the secrecy of kernel memory."
)

REASONS: Final[dict[str, Reason]] = {
    reason.id: reason
    for reason in (
        # The order is the kernel's own (enum lockdown_reason).
        Reason(
            "module_signature",
            _INT,
            "Loading an unsigned module",
            "A kernel module without a signature this kernel trusts was refused, even to root.",
            "init_module or finit_module of a module with no signature, an unknown key or"
            " unsupported crypto",
            "Sign the module with a machine owner key that is enrolled (mokutil --import, then"
            " confirm at boot; DKMS can do it at each build), or use the distribution's signed"
            " package.",
            "modprobe insmod dkms systemd-modules systemd-udevd",
            errno="EPERM (EKEYREJECTED, and another line, where Secure Boot enforces signatures)",
            read="L-5.4, Q-6.12i",
        ),
        Reason(
            "dev_mem",
            _INT,
            "Access to physical memory or ports (/dev/mem, /dev/port)",
            "Opening /dev/mem, /dev/kmem or /dev/port is refused, so that no program can read or"
            " change the kernel behind its back.",
            "open of /dev/mem, /dev/kmem or /dev/port, after the CAP_SYS_RAWIO check",
            "Use the kernel's own interface: /sys/firmware/dmi for SMBIOS tables, resourceN files"
            " with a driver or VFIO for devices, a vendor driver for firmware.",
            "dmidecode flashrom Xorg fwupd cbmem",
            read="L-5.4, Q-6.12i",
        ),
        Reason(
            "efi_test",
            _INT,
            "Access to /dev/efi_test",
            "The firmware test interface, which calls UEFI services as it is told, is refused.",
            "open of /dev/efi_test",
            "Run firmware tests on a machine booted without Secure Boot for that purpose.",
            "fwts",
        ),
        Reason(
            "kexec",
            _INT,
            "kexec of an unsigned kernel image",
            "Starting another kernel that nobody signed is refused, as it would undo lockdown.",
            "kexec_load always; kexec_file_load of an image without a trusted signature",
            "Use kexec -s (kexec_file_load) with a kernel signed by a key in UEFI's db or MOK list;"
            " kdump-tools: set KDUMP_KEXEC_ARGS to use -s.",
            "kexec kdump kdump-config",
            errno="EPERM (ENOKEY, ENODATA or EACCES where Secure Boot enforces signatures)",
            read="L-5.4, Q-6.12c, Q-6.1 under Secure Boot",
        ),
        Reason(
            "hibernation",
            _INT,
            "Hibernation",
            "Hibernation is refused, because the image on disk could be changed before resume;"
            " merely asking whether it is possible writes this line.",
            "write to /sys/power/state, read of /sys/power/state or /sys/power/disk (which"
            " succeeds and omits disk), open of /dev/snapshot, resume at boot",
            "Suspend to RAM works. To silence the question, mask hibernate.target and"
            " hybrid-sleep.target so that nothing asks.",
            "systemd-logind swapper/0 s2disk resume systemd-sleep",
            read="L-5.4, Q-6.12c",
        ),
        Reason(
            "pci_access",
            _INT,
            "Direct PCI access",
            "Writing PCI configuration or mapping a device's memory from user space is refused.",
            "pwrite to /sys/bus/pci/devices/*/config, mmap of resourceN, /proc/bus/pci writes,"
            " pciconfig_write",
            "Use a kernel driver for the device, or VFIO, which the IOMMU guards.",
            "setpci flashrom mstflint",
            read="FED patch 10/27, Q-6.12i",
        ),
        Reason(
            "ioport",
            _INT,
            "Raw I/O port access",
            "Direct access to I/O ports is refused; X servers ask out of habit and work without.",
            "ioperm, or iopl that raises the level, after the CAP_SYS_RAWIO check",
            "Use the kernel driver for the device (cros_ec, i2c, hwmon, rtc).",
            "Xorg hwclock ectool flashrom dpdk-testpmd",
            read="L-5.4, Q-6.12i",
        ),
        Reason(
            "msr",
            _INT,
            "Writing a CPU register (MSR)",
            "Writing model-specific registers is refused, because some of them can take over the"
            " kernel; reading them is still allowed.",
            "write to /dev/cpu/N/msr, X86_IOC_WRMSR_REGS",
            "Use the kernel's own controls: intel_pstate, powercap, thermald's sysfs knobs."
            " Undervolting by MSR is not possible while locked down.",
            "wrmsr intel-undervolt throttled xmrig x86_energy_perf_policy",
        ),
        Reason(
            "acpi_tables",
            _INT,
            "Modifying ACPI tables",
            "Replacing or adding ACPI tables is refused, because ACPI code runs in the kernel.",
            "custom_method, table upgrade from the initrd (since 6.12 it is let through: lockdown"
            " is not asked so early), acpi_rsdp=, efivar_ssdt=, configfs tables, error injection"
            " (EINJ)",
            "Have the firmware mended by its vendor; test overrides on an unlocked machine.",
            "swapper",
            read="L-5.4, Q-5.10, Q-6.1; Q-6.12 and Q-7.2 install the table",
        ),
        Reason(
            "device_tree",
            _INT,
            "Modifying the device tree",
            "Writing the device tree through /proc/powerpc/ofdt is refused.",
            "write to /proc/powerpc/ofdt",
            _POWERPC,
            "drmgr",
            since="6.1",
            read="BIN-6.1, powerpc 99df7a2810b6",
        ),
        Reason(
            "pcmcia_cis",
            _INT,
            "Storing PCMCIA card information directly",
            "Replacing a PC card's information structure is refused.",
            "write to a PC card's cis attribute in sysfs",
            "Use cards whose own information structure is right.",
        ),
        Reason(
            "tiocsserial",
            _INT,
            "Reconfiguring a serial port's address or interrupt",
            "Changing the I/O port or interrupt of a serial port is refused, since it would let a"
            " program aim the driver at other hardware.",
            "ioctl TIOCSSERIAL that changes port or irq (5.4 to 5.12 log any TIOCSSERIAL)",
            "Leave port and interrupt alone; speed and flags can still be set.",
            "setserial",
            read="L-5.4, DEB 5.10.46-1",
        ),
        Reason(
            "module_parameters",
            _INT,
            "Unsafe module parameters",
            "Module parameters that give hardware addresses, interrupts or DMA channels are"
            " refused.",
            "setting a hardware parameter (ioport, iomem, irq, dma) of a module; Debian adds"
            " phram and slram",
            "Let the kernel find the hardware by itself (ACPI, PnP, device tree).",
            "modprobe",
            read="L-5.4, DEB",
        ),
        Reason(
            "mmiotrace",
            _INT,
            "Unsafe memory-mapped I/O tracing",
            "The MMIO trace test module is refused.",
            "loading testmmiotrace",
            _NO_DEBUGGER,
        ),
        Reason(
            "debugfs",
            _INT,
            "Access to debugfs",
            "Writing to debugfs, or reading a file there that only root may read, is refused;"
            " tracing files in /sys/kernel/tracing are another matter and not covered by this.",
            "open of a debugfs file for writing, with ioctl or mmap, or (before early 2022) with"
            " a mode other than 0444; chmod and chown there",
            "Use the stable interface of the driver (sysfs), or tracefs at /sys/kernel/tracing.",
            "powertop tlp cat debugd",
            read="L-5.4, DEB 5.10.103-1, Q-6.12i",
        ),
        Reason(
            "xmon_wr",
            _INT,
            "xmon write access",
            "The powerpc debugger xmon may only read.",
            "entering xmon on powerpc",
            _NO_DEBUGGER,
            read="UBU5.4, BIN-5.10",
        ),
        Reason(
            "kgdb",
            _INT,
            "KDB or KGDB access",
            "The kernel debuggers kdb and kgdb are refused.",
            "entering kdb or kgdb",
            _NO_DEBUGGER,
            since="5.4 (Ubuntu only)",
            read="UBU5.4",
        ),
        Reason(
            "bpf_write_user",
            _INT,
            "BPF that writes to user memory",
            "Loading a BPF program that calls bpf_probe_write_user fails with EINVAL, not EPERM:"
            " the helper does not exist for the verifier.",
            "BPF_PROG_LOAD of a program that calls bpf_probe_write_user (helper 36)",
            "Do without that helper; nothing but a kernel that is not locked down permits it.",
            "bpftrace ebpf-agents",
            errno="EINVAL",
            since="about 5.14, 5.10.70",
            read="DEB 5.10.70-1, Q-5.10i to Q-7.2c",
        ),
        Reason(
            "dbg_write_kernel",
            _INT,
            "Writing kernel memory with kgdb or kdb",
            "Debugger commands that change kernel memory are refused.",
            "kdb and kgdb commands that write",
            _NO_DEBUGGER,
            since="2022: 5.17.11, 5.10.120",
            read="CVE-2022-21499, DEB 5.17.11-1",
        ),
        Reason(
            "rtas_error_injection",
            _INT,
            "RTAS error injection",
            "Injecting errors through powerpc firmware is refused.",
            "sys_rtas with ibm,errinjct",
            _POWERPC,
            "errinjct",
            since="6.1",
            read="BIN-6.1, powerpc b8f3e48834fe",
        ),
        Reason(
            "xen_user_actions",
            _INT,
            "Unrestricted Xen calls from a guest",
            "A guest's user space may not make arbitrary Xen hypercalls.",
            "xen-privcmd loaded with unrestricted in a domU",
            "Leave the module's unrestricted parameter off.",
            since="2026: 6.12.85, 6.1.170, 5.10.257",
            read="CVE-2026-31788, DEB, BIN-7.2",
        ),
        Reason(
            "kcore",
            _CONF,
            "Reading kernel memory through /proc/kcore",
            "Opening /proc/kcore is refused, so that kernel secrets stay in the kernel.",
            "open of /proc/kcore",
            _INTEGRITY_MODE,
            "drgn crash perf avml",
            read="L-5.4, Q-6.12c",
        ),
        Reason(
            "kprobes",
            _CONF,
            "Setting a kprobe",
            "Kprobes, and with them most of BCC's and bpftrace's attach points, are refused with"
            " EPERM.",
            "kprobe_events in tracefs, perf_event_open of the kprobe PMU, fprobe events",
            _INTEGRITY_MODE,
            "perf bpftrace bcc stap",
            read="L-5.4, Q-6.12c",
        ),
        Reason(
            "bpf_read_kernel",
            _CONF,
            "BPF that reads kernel memory",
            "BPF programs that read kernel memory are refused: since 5.13 loading fails with"
            " EINVAL (unknown func bpf_probe_read_kernel), from 5.4 to 5.12 the helper fails"
            " while the program runs.",
            "BPF_PROG_LOAD of a program that calls bpf_probe_read, bpf_probe_read_kernel or their"
            " _str forms",
            _INTEGRITY_MODE,
            "bcc bpftrace falco tetragon opensnitchd",
            errno="EINVAL (EPERM inside the program, 5.4 to 5.12)",
            read="L-5.4, Q-5.10c to Q-7.2c",
        ),
        Reason(
            "dbg_read_kernel",
            _CONF,
            "Reading kernel memory with kgdb or kdb",
            "Debugger commands that show kernel memory are refused.",
            "kdb and kgdb commands that read",
            _NO_DEBUGGER,
            since="2022: 5.17.11, 5.10.120",
            read="CVE-2022-21499, DEB 5.17.11-1",
        ),
        Reason(
            "perf",
            _CONF,
            "perf with kernel register samples",
            "Sampling interrupt registers with perf is refused; kernels 5.4 to 5.12 write this"
            " line at any perf_event_open, though nothing fails.",
            "perf_event_open with PERF_SAMPLE_REGS_INTR",
            "Record without --intr-regs.",
            "perf",
            read="L-5.4, DEB 5.10.38-1, Q-6.12c",
        ),
        Reason(
            "tracefs",
            _CONF,
            "Use of tracefs",
            "Tracing files are not made or not opened; with lockdown set at boot they do not"
            " exist, and programs see ENOENT.",
            "creating or opening files in tracefs",
            _INTEGRITY_MODE,
            "swapper/0 trace-cmd perf bcc",
            errno="EPERM, or ENOENT where lockdown came before tracefs",
            read="L-5.4, Q-6.12c",
        ),
        Reason(
            "xmon_rw",
            _CONF,
            "xmon read and write access",
            "The powerpc debugger xmon is off.",
            "entering xmon on powerpc",
            _NO_DEBUGGER,
            read="UBU5.4, BIN-5.10",
        ),
        Reason(
            "xfrm_secret",
            _CONF,
            "Showing IPsec keys",
            "IPsec keys are blanked out in what the kernel shows; nothing fails.",
            "dump of xfrm state (ip xfrm state)",
            "Nothing is needed: the tunnels work.",
            "ip charon strongswan",
            errno="none: the key is left out",
            since="after 5.10, by 6.1",
            read="BIN-6.1",
        ),
        # Before 5.4, where nothing in the kernel's later table equals them.
        Reason(
            "bpf",
            None,
            "BPF",
            "Every bpf() call fails with EPERM on this kernel, maps included, even as root; it"
            " says so once per boot, at the first caller, so later refusals are silent.",
            "any bpf(2) command; the verifier log stays empty",
            "Use a kernel of 5.4 or later, where integrity mode allows BPF. Removing Secure Boot"
            " or lifting lockdown would work too, at the price of all the protection.",
            "systemd bcc bpftrace",
            since="4.15 (Debian, Ubuntu), 4.16 (Fedora, but for 4.18.5 to 5.0)",
            read="FED patch 23/27, DEB 4.19",
            until="5.3",
        ),
        Reason(
            "asus_wmi",
            None,
            "ASUS WMI debug access",
            "Calling ASUS firmware methods through debugfs is refused.",
            "debugfs files of asus-wmi",
            "Use the driver's sysfs attributes.",
            until="4.15",
            since="4.14",
            read="FED",
        ),
        Reason(
            "dtrace",
            None,
            "DTrace",
            "DTrace is refused in confidentiality mode of Oracle's UEK.",
            "opening the DTrace device",
            "Oracle's UEK allows it in integrity mode.",
            "dtrace",
            read="UEK 4.14",
            since="4.14",
            until="5.3",
        ),
    )
}
