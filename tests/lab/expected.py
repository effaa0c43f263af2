"""What must come of every provocation and of every boot, by kernel and mode."""

from __future__ import annotations

from collections import Counter
from typing import Final

OK: Final = "ok"
KEY_SHOWN: Final = "ok (the key is shown)"
Row = tuple[str, str, str, str]


def at_integrity(refused: str, *, unlocked: str = OK) -> Row:
    """What is refused from integrity on; under Secure Boot the same."""
    return unlocked, refused, refused, refused


def at_confidentiality(refused: str, late: str = OK) -> Row:
    """What is refused in confidentiality mode alone."""
    return OK, OK, refused, late


def never(outcome: str = OK) -> Row:
    """What lockdown has nothing to say about."""
    return outcome, outcome, outcome, outcome


def level(errno: str, now: str, *events: str) -> str:
    """What writing to lockdown's own file gives, and the level that is in force afterwards."""
    return " ".join([errno, f"(level: {now})", *events])


# The errno, in brackets what it gave to read where that matters (Operation.answers), then the
# events: for a denial its reason, for anything else its kind. The columns are unlocked,
# lockdown=integrity, lockdown=confidentiality, UEFI Secure Boot.
EXPECTED: Final[dict[str, Row]] = {
    "dev_mem": at_integrity("EPERM dev_mem"),
    "dev_port": never("ENOENT"),  # not built for clouds
    "kcore": at_confidentiality("EPERM kcore"),
    "ioperm": at_integrity("EPERM ioport"),
    "iopl": at_integrity("EPERM ioport"),
    "msr_write": at_integrity("EPERM msr"),
    "msr_ioctl": at_integrity("EPERM msr"),
    "pci_sysfs": at_integrity("EPERM pci_access"),
    "pci_proc": at_integrity("EPERM pci_access"),
    "pci_mmap": at_integrity("EPERM pci_access"),
    "tiocsserial": at_integrity("EPERM tiocsserial"),
    "efi_test": never("ENOENT"),  # not built by Debian
    "acpi_table": at_integrity("(ignored) acpi_tables lockdown.effect", unlocked="(installed)"),
    # IMA's policy for Secure Boot enforces signatures, and so comes before lockdown.
    "finit_module": (
        "ok module.signature",
        "EPERM module_signature",
        "EPERM module_signature",
        "EKEYREJECTED module.signature",
    ),
    "init_module": (
        OK,  # the kernel says it once
        "EPERM module_signature",
        "EPERM module_signature",
        "EKEYREJECTED module.signature",
    ),
    "module_param": at_integrity("EPERM module_parameters"),
    "kexec_load": (OK, "EPERM kexec", "EPERM kexec", "EACCES kexec.signature"),
    "kexec_unsigned": (
        "ok kexec.signature",
        "EPERM kexec.signature kexec",
        "EPERM kexec.signature kexec",
        "ENODATA kexec.signature kexec.signature",
    ),
    # Debian's own key is not built in: it is known only where shim brought it.
    "kexec_debian": (OK, "EPERM kexec", "EPERM kexec", "ENOKEY kexec.signature"),
    "kexec_signed": (OK, "EPERM kexec", "EPERM kexec", OK),
    "power_read": at_integrity("ok (freeze mem) hibernation", unlocked="ok (freeze mem disk)"),
    "power_disk": at_integrity(
        "ok ([disabled]) hibernation",
        unlocked="ok ([platform] shutdown reboot suspend test_resume)",
    ),
    "power_write": at_integrity("EPERM hibernation", unlocked="ENODEV"),  # there is no swap
    "snapshot": at_integrity("EPERM hibernation"),
    "bpf_map": never(),
    "bpf_read": at_confidentiality("EINVAL bpf_read_kernel"),
    "bpf_read_old": at_confidentiality("EINVAL bpf_read_kernel"),
    "bpf_read_str": at_confidentiality("EINVAL bpf_read_kernel"),
    "bpf_read_user": never(),
    "bpf_write": at_integrity("EINVAL bpf_write_user", unlocked="ok bpf.warning bpf.warning"),
    "perf_clock": never(),
    "perf_regs": at_confidentiality("EPERM perf"),
    "kprobe_perf": at_confidentiality("EPERM kprobes"),
    "kprobe_trace": at_confidentiality("ENOENT"),  # tracefs came after lockdown: it is empty
    "tracefs": at_confidentiality("ENOENT"),
    "debugfs_write": at_integrity("EPERM debugfs"),
    "debugfs_chmod": at_integrity("EPERM debugfs"),
    "debugfs_read": never(),
    "xfrm_dump": (
        KEY_SHOWN,
        KEY_SHOWN,
        "ok (the key is blanked) xfrm_secret xfrm_secret",
        KEY_SHOWN,
    ),
    "set_none": (
        level("EPERM", "none"),
        level("EPERM", "integrity"),
        level("EPERM", "confidentiality"),
        level("EPERM", "integrity"),
    ),
    "sysrq_x": never(),
    "set_integrity": (
        level(OK, "integrity", "lockdown.enabled"),
        level("EPERM", "integrity"),
        level("EPERM", "confidentiality"),
        level("EPERM", "integrity"),
    ),
    "dev_mem_late": never("EPERM dev_mem"),
    "set_confid": (
        level(OK, "confidentiality", "lockdown.enabled"),
        level(OK, "confidentiality", "lockdown.enabled"),
        level("EPERM", "confidentiality"),
        level(OK, "confidentiality", "lockdown.enabled"),
    ),
    "tracefs_late": ("EPERM tracefs", "EPERM tracefs", "ENOENT", "EPERM tracefs"),
}
COLUMNS: Final = ("unlocked", "integrity", "confidentiality", "Secure Boot")


def bpf(denials: int, warnings: int) -> dict[str, Row]:
    """What BPF gives where the verifier asks for a helper's prototype that many times."""
    read = at_confidentiality("EINVAL" + " bpf_read_kernel" * denials)
    write = at_integrity(
        "EINVAL" + " bpf_write_user" * denials, unlocked=OK + " bpf.warning" * warnings
    )
    return {"bpf_read": read, "bpf_read_old": read, "bpf_read_str": read, "bpf_write": write}


# Since 77b644c39d6a (6.12) early LSMs start after setup_arch(), which takes the table: it is
# installed, locked down or not.
SINCE_6_12: Final = {"acpi_table": never("(installed)")}

# Where other kernels differ from bookworm's.
EXCEPT: Final[dict[str, dict[str, Row]]] = {
    "bullseye-5.10": {"xfrm_dump": never(KEY_SHOWN)},
    "bookworm-6.1-amd64": {"dev_port": at_integrity("EPERM dev_mem")},
    "bookworm-6.12": bpf(2, 3) | SINCE_6_12,
    "trixie-6.12": bpf(2, 3) | SINCE_6_12,
    "sid-7": bpf(7, 0) | SINCE_6_12,
}


# --- what a boot gives before anything is tried, logged or counted by the rate limit: as above,
# the reasons of denials and the kinds of other events

LOCKED: Final = Counter({"lockdown.enabled": 1, "hibernation": 1})  # swsusp looks for an image
TABLE: Final = Counter({"acpi_tables": 1, "lockdown.effect": 1})
FIRMWARE: Final = Counter({"secureboot.state": 1})
Counters = tuple[Counter[str], ...]


def boots(locked: Counter[str], tracing: int) -> Counters:
    """What the four modes give; confidentiality takes away that many parts of tracing."""
    traced = Counter({"tracefs": tracing, "lockdown.effect": tracing})
    return Counter(), locked, locked + traced, locked + FIRMWARE


EXPECTED_BOOT: Final[dict[str, Counters]] = {
    "bullseye-5.10": boots(LOCKED + TABLE, 11),
    "bookworm-6.1": boots(LOCKED + TABLE, 12),
    "bookworm-6.1-amd64": boots(LOCKED + TABLE, 12),
    "bookworm-6.12": boots(LOCKED, 12),
    "trixie-6.12": boots(LOCKED, 12),
    "sid-7": boots(LOCKED, 12),
}
