"""Which kernel this is: version, the family that built it, how it was built and started."""

from __future__ import annotations

import re
import shlex
import zlib
from typing import Final, NamedTuple

from watcher.posture.tree import Tree

Version = tuple[int, ...]


class Kernel(NamedTuple):
    """A kernel. `kconfig` is None where no configuration of this very kernel can be read.

    `command_line` holds only the parameters in PARAMETERS: others may be secrets.
    """

    release: str | None = None
    version: Version = ()
    family: str | None = None
    lineage: str | None = None
    distribution: str | None = None
    kconfig: dict[str, str] | None = None
    command_line: dict[str, str] | None = None
    lsm: tuple[str, ...] | None = None

    @property
    def has_levels(self) -> bool:
        """Tell whether it has the lockdown LSM: 5.4, or SUSE's 5.3 with its backport."""
        return self.version >= (5, 4) or (self.family == "suse" and self.version >= (5, 3))

    @property
    def is_older(self) -> bool:
        """Tell whether it is known to be from before the LSM."""
        return bool(self.version) and not self.has_levels

    def built(self, option: str) -> bool | None:
        """Tell whether an option was built in or as a module; None if that is not known."""
        return None if self.kconfig is None else self.kconfig.get(option, "n") in ("y", "m")


PARAMETERS: Final = frozenset(
    """lockdown lsm security module.sig_enforce nomodule iomem msr.allow_writes resume noresume
    nohibernate hibernate ima_appraise ima_policy fips efi secureboot enforcing selinux apparmor
    secretmem.enable secretmem_enable printk.devkmsg sysrq_always_enabled securelevel
    init_on_alloc crashkernel""".split()  # noqa: SIM905 - read best so
)
"""Of the command line these are kept; nothing else of it is anybody's business."""

OPTIONS: Final = frozenset(
    """SECURITY_LOCKDOWN_LSM SECURITY_LOCKDOWN_LSM_EARLY LOCK_DOWN_KERNEL_FORCE_NONE
    LOCK_DOWN_KERNEL_FORCE_INTEGRITY LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY LOCK_DOWN_KERNEL
    LOCK_DOWN_MANDATORY LOCK_DOWN_IN_EFI_SECURE_BOOT EFI_SECURE_BOOT_LOCK_DOWN
    ALLOW_LOCKDOWN_LIFT_BY_SYSRQ LSM MODULES MODULE_SIG MODULE_SIG_FORCE STRICT_DEVMEM
    IO_STRICT_DEVMEM DEVMEM X86_MSR BPF_SYSCALL BPF_UNPRIV_DEFAULT_OFF KEXEC KEXEC_FILE KEXEC_SIG
    HIBERNATION KPROBES DEBUG_FS FTRACE PERF_EVENTS PRINTK_CALLER IMA_ARCH_POLICY X86_IOPL_IOPERM
    PROC_KCORE""".split()  # noqa: SIM905
)

_FAMILIES: Final = (
    (r"(?i)microsoft", "wsl"),
    (r"uek", "uek"),
    (r"\.el7", "rhel-7"),
    (r"\.el8", "rhel-8"),
    (r"\.el\d", "rhel"),
    (r"\.fc\d", "fedora"),
    (r"\.amzn|\.azl|\.cm\d", "cloud"),
    (r"Ubuntu|-generic", "ubuntu"),
    (r"Debian|\+deb\d", "debian"),
    (r"SUSE|-default\b", "suse"),
    (r"-arch\d|-zen\d|-lts\b", "arch"),
)
"""Marks in the release and in /proc/version, by which distributions' kernels are known."""

_OLD: Final[dict[str, tuple[tuple[Version, str], ...]]] = {
    "fedora": (
        ((4, 16), "fedora-4.16"),
        ((4, 14), "fedora-4.14"),
        ((4, 9), "fedora-4.9"),
        ((3,), "fedora-3"),
    ),
    "debian": (((4, 19), "debian-4.19"), ((4, 15), "debian-4.15"), ((4, 5), "debian-4.5")),
    "ubuntu": (((4, 15), "ubuntu-4.15"),),
    "rhel-8": (((4, 18), "rhel-8"),),
    "rhel-7": (((3, 10), "rhel-7"),),
    "uek": (((4, 14), "uek-4.14"),),
}
_OWN_WORDS: Final = {"fedora": "fedora-5.4", "debian": "debian-5.4", "ubuntu": "ubuntu-5.4"}


def inspect_kernel(tree: Tree) -> Kernel:
    """Read what the tree tells of its kernel."""
    release = tree.text("proc/sys/kernel/osrelease", "kernel version")
    built_by = tree.text("proc/version") or ""
    version = version_of(release or "")
    family = family_of(f"{release or ''} {built_by}")
    lsm = tree.text("sys/kernel/security/lsm")
    words = tree.text("proc/cmdline", "kernel command line")
    return Kernel(
        release=release,
        version=version,
        family=family,
        lineage=lineage_of(version, family),
        distribution=_distribution(tree),
        kconfig=_kconfig(tree, release),
        command_line=None if words is None else kept_parameters(words),
        lsm=tuple(filter(None, lsm.split(","))) if lsm is not None else None,
    )


def version_of(release: str) -> Version:
    """Give the numbers a release begins with: (5, 2, 15); () for none."""
    found = re.match(r"(\d{1,4})\.(\d{1,6})(?:\.(\d{1,6}))?", release)
    return tuple(int(part) for part in found.groups() if part) if found else ()


def family_of(words: str) -> str | None:
    """Give the family whose mark stands in a release or in /proc/version."""
    return next((family for mark, family in _FAMILIES if re.search(mark, words)), None)


def lineage_of(version: Version, family: str | None) -> str | None:
    """Give the wording family of a kernel's lockdown lines, as the catalogue names them."""
    if not version:
        return None
    if version >= (5, 4) or (family == "suse" and version >= (5, 3)):
        return _OWN_WORDS.get(family or "", "mainline")
    rows = _OLD.get(family or "", ())
    return next((lineage for since, lineage in rows if version >= since), "before-5.4")


def _distribution(tree: Tree) -> str | None:
    text = tree.text("etc/os-release") or tree.text("usr/lib/os-release") or ""
    found = re.search(r'^PRETTY_NAME="?([^"\n]{1,100})', text, re.MULTILINE)
    return found[1] if found else None


def kept_parameters(text: str) -> dict[str, str]:
    """Give of a kernel command line what is kept of it, by name; dashes become underscores."""
    pairs = (word.partition("=") for word in _words(text))
    named = ((name.replace("-", "_"), value) for name, _, value in pairs)
    return {name: value for name, value in named if name in PARAMETERS}


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, posix=True)
    except ValueError:  # a quote that does not end
        return text.split()


def _kconfig(tree: Tree, release: str | None) -> dict[str, str] | None:
    data = tree.data("proc/config.gz")
    if data is not None:
        return _options(_inflated(data))
    for path in (f"boot/config-{release}", f"lib/modules/{release}/config"):
        if release and "/" not in release and (data := tree.data(path)) is not None:
            return _options(data)
    where = f"/boot/config-{release or 'RELEASE'}"
    tree.miss("kernel configuration", "proc/config.gz", f"neither this nor {where} is here")
    return None


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, 4 << 20)
    except zlib.error:
        return b""


def _options(data: bytes) -> dict[str, str]:
    rows = re.findall(rb'^CONFIG_(\w{1,80})="?([^"\n]{0,200})', data, re.MULTILINE)
    named = ((name.decode(), value.decode(errors="replace")) for name, value in rows)
    return {name: value for name, value in named if name in OPTIONS}
