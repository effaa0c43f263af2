"""Why a kernel says it is locked down: the words after "Kernel is locked down from"."""

from typing import Final, Literal, NamedTuple

CauseId = Literal[
    "efi_secure_boot", "command_line", "kconfig", "securityfs", "ipl", "power", "other"
]


class Cause(NamedTuple):
    """One announced cause, the wording family it betrays, and where it was read."""

    text: str
    id: CauseId
    lineage: str
    read: str


CAUSES: Final = {
    cause.text: cause
    for cause in (
        Cause("command line", "command_line", "mainline", "L-5.4"),
        Cause("Kernel configuration", "kconfig", "mainline", "L-5.4"),
        Cause("securityfs", "securityfs", "mainline", "L-5.4"),
        Cause("config", "kconfig", "fedora-4.17", "FED, UBU4.15, RHEL8"),
        Cause("EFI secure boot", "efi_secure_boot", "fedora-4.14", "FED, DEB4.19, UBU4.15"),
        Cause("EFI Secure Boot mode", "efi_secure_boot", "fedora-5.4", "FED, SUSE, Ubuntu 5.4"),
        Cause("EFI Secure Boot", "efi_secure_boot", "debian-5.4", "DEB, BIN-5.10 to BIN-7.2"),
        Cause("Secure IPL", "ipl", "rhel-8", "RHEL8"),
        Cause("Secure IPL mode", "ipl", "fedora-5.14", "FED s390x"),
        Cause("Power secure boot", "power", "rhel-8", "RHEL8"),
    )
}

CAUSE_NAMES: Final[dict[CauseId, str]] = {
    "efi_secure_boot": "UEFI Secure Boot is on",
    "command_line": "the kernel command line asks for it",
    "kconfig": "the kernel was built so",
    "securityfs": "somebody raised it at run time through securityfs",
    "ipl": "the mainframe was started by Secure IPL",
    "power": "Power secure boot is on",
    "other": "see the line for the reason it gives",
}
