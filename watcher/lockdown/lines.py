"""Every line around lockdown that is no denial and no announcement with a cause: one row each.

Patterns match the whole text, run in linear time (one open repeat at most), and come from the
kernels' own format strings; the tags in `read` are those of reasons.py.
"""

import re
from functools import cache
from typing import Final, Literal, NamedTuple

from watcher.kinds import Kind
from watcher.lockdown.reasons import Level

SecureBootState = Literal["enabled", "disabled", "undetermined"]


class Line(NamedTuple):
    """One wording as a pattern, with the named groups text, count, module, comm and pid.

    `ends`: how a whole line ends; one that matches and does not end so was cut on its way.
    """

    id: str
    kind: Kind
    wording: str
    title: str
    meaning: str
    instead: str
    since: str
    read: str
    until: str | None = None
    level: Level | None = None
    lineage: str = "mainline"
    secure_boot: SecureBootState | None = None
    ends: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        """Give the pattern compiled; once, and not before a line needs it (10 ms for all)."""
        return _compiled(self.wording)


@cache
def _compiled(wording: str) -> re.Pattern[str]:
    return re.compile(wording, re.DOTALL)


_LIFT_INSTEAD: Final = (
    "If nobody at the keyboard meant to do this, treat the machine as compromised: keep the log,"
    " reboot, and update to a kernel that has no such key (Fedora 5.4.18, Debian 5.5.13 and"
    " later, or any mainline kernel)."
)
_SYSRQ: Final = r"(?:sysrq: )?(?:SysRq : )?"
_STAY: Final = "Nothing needs doing: this follows from the lockdown announced before."
_TRACING: Final = "Tracing needs lockdown=integrity or an unlocked kernel. " + _STAY
_SIGN: Final = (
    "Sign the module with an enrolled machine owner key (mokutil --import), or use the"
    " distribution's signed package."
)
_KEXEC: Final = "Load a signed kernel image with kexec -s, and enrol its key if it is your own."
_SB_ON: Final = "Nothing needs doing. Most distributions lock the kernel down in this state."
_SB_OFF: Final = (
    "If this machine should boot securely, look at the firmware setup and at mokutil --sb-state"
    " (shim's own validation may be switched off). On Fedora kernels 4.9 to 4.13 the same words"
    " also mean that SysRq-x has just lifted lockdown."
)
_SB_UNKNOWN: Final = "Ask the firmware: mokutil --sb-state, or bootctl status."

LINES: Final = (
    Line(
        "lifted",
        "lockdown.lifted",
        r"Lifting lockdown",
        "Lockdown was lifted: the kernel is no longer protected",
        "From here on, until the next boot, the protection announced before is gone: unsigned"
        " modules, /dev/mem, kexec and the rest work again for root.",
        _LIFT_INSTEAD,
        "4.14",
        "FED, DEB4.19, UBU5.4",
        until="5.5",
        lineage="fedora-4.14",
    ),
    Line(
        "lift_key",
        "lockdown.lifted",
        _SYSRQ + r"Disabling Secure Boot restrictions",
        "SysRq-x was used to lift lockdown",
        "The magic key that removes the kernel's protection until the next boot was pressed or"
        ' written; "Lifting lockdown" follows if it worked.',
        _LIFT_INSTEAD,
        "4.9",
        "FED@21e4b8338, DEB4.19, bcc#2695",
        until="5.5",
        lineage="fedora-4.9",
    ),
    Line(
        "lift_refused",
        "lockdown.lift_refused",
        _SYSRQ + r"This sysrq operation is disabled from userspace\.",
        "An attempt to lift lockdown from a program was refused",
        "Somebody with root wrote x to /proc/sysrq-trigger; some kernels (Fedora to 5.2.17 and"
        " 5.3.1, Debian 4.19) print this and lift lockdown all the same.",
        'Look for "Lifting lockdown" right after it, and for who wrote to /proc/sysrq-trigger.',
        "4.9",
        "FED@61ea70464, bcc#2525",
        until="5.5",
        lineage="fedora-4.9",
    ),
    Line(
        "suppressed",
        "lockdown.suppressed",
        r"lockdown_is_locked_down: (?P<count>-?\d{1,19}) callbacks suppressed",
        "{count} lockdown denials were not logged",
        "The kernel logs at most 10 denials in 5 seconds, for all programs together, and counts"
        " the rest; which programs and which operations they were is not known.",
        "Look at the denials around it: the program that repeats is the likely one. A denial by"
        " somebody else may hide among them.",
        "6.1",
        "Q-6.12c, BIN-6.1",
        ends="suppressed",
    ),
    Line(
        "tracing_disabled",
        "lockdown.effect",
        r"Tracing disabled due to lockdown",
        "Tracing is off: the kernel is locked down",
        "The kernel made no tracing files, so programs that trace find nothing there (ENOENT).",
        _TRACING,
        "5.4",
        "BIN-5.10, Q-5.10c",
        level="confidentiality",
    ),
    Line(
        "tracer",
        "lockdown.effect",
        r"Can not register tracer (?P<text>.{1,64}) due to lockdown",
        "A tracer is off: the kernel is locked down",
        "One of the kernel's tracers did not start.",
        _TRACING,
        "5.4",
        "BIN-5.10, Q-6.12c",
        level="confidentiality",
    ),
    Line(
        "tracing_clock",
        "lockdown.effect",
        r"Can not set tracing clock due to lockdown",
        "The tracing clock was not set: the kernel is locked down",
        "Tracing is off, its clock with it.",
        _TRACING,
        "5.4",
        "BIN-5.10, DEB 5.4.19-1",
        level="confidentiality",
    ),
    Line(
        "ring_buffer_tests",
        "lockdown.effect",
        r"Lockdown is enabled, skipping ring buffer tests",
        "A self-test was skipped: the kernel is locked down",
        "The ring buffer's self-test did not run.",
        _STAY,
        "5.4.6",
        "FED@493595acd",
        level="confidentiality",
    ),
    Line(
        "xmon",
        "lockdown.effect",
        r"xmon: (?P<text>Disabled|Read-only) due to kernel lockdown",
        "The debugger xmon is limited: the kernel is locked down",
        "The powerpc debugger may not be used, or may only read.",
        _STAY,
        "5.4",
        "arch/powerpc/xmon/xmon.c",
    ),
    Line(
        "table_override",
        "lockdown.effect",
        r"(?:ACPI: )?[Kk]ernel is locked down, ignoring table override",
        "An ACPI table override was ignored: the kernel is locked down",
        "The ACPI tables in the initrd were not used; the firmware's own are in force.",
        "Have the firmware mended by its vendor; test overrides on an unlocked machine.",
        "4.9",
        "FED, BIN-5.10",
        level="integrity",
    ),
    Line(
        "parameter_ignored",
        "lockdown.effect",
        r'(?:xen:xen_privcmd: )?Kernel is locked down, parameter "(?P<text>[^"]{1,64})" .{1,64}',
        "A module parameter was ignored: the kernel is locked down",
        "The module runs, but without what the parameter asks for.",
        "Drop the parameter; it cannot be had on a locked kernel.",
        "2026 (6.12.85, 6.1.170)",
        "BIN-6.12 xen-privcmd",
        level="integrity",
        ends="ignored",
    ),
    Line(
        "not_permitted",
        "lockdown.effect",
        (
            r"(?P<text>(?:Command line-specified |Using TIOCSSERIAL to change )?"
            r"device addresses, irqs and dma channels|Direct CIS storage)"
            r" (?:is not|are not|isn't) permitted when the kernel is locked down"
        ),
        "A hardware setting was refused: the kernel is locked down",
        "The setting would let a program aim a driver at other hardware.",
        "Let the kernel find the hardware by itself (ACPI, PnP).",
        "4.9",
        "FED 4.9 to 4.13",
        until="4.13",
        lineage="fedora-4.9",
    ),
    Line(
        "invalid_reason",
        "lockdown.effect",
        r"Invalid lockdown reason",
        "The kernel asked lockdown about something it does not know",
        "A bug in this kernel or in a module built for another one.",
        "Report it to whoever built the kernel, with the stack trace below the line.",
        "5.4",
        "BIN-5.10, L-5.4",
    ),
    Line(
        "malformed_option",
        "lockdown.effect",
        r"Malformed early option 'lockdown'",
        "lockdown= on the kernel command line was not understood",
        "The option was ignored: unless something else locks it, this kernel is not locked down.",
        "Write lockdown=integrity or lockdown=confidentiality; there is no other value.",
        "5.4",
        "BIN-6.12, Q-6.12off",
    ),
    Line(
        "secureboot_enabled",
        "secureboot.state",
        (
            r"(?:secureboot: )?(?:Secure boot enabled|Secure boot mode enabled)"
            r"|(?:EFI stub: |efi: )?UEFI Secure Boot is enabled\."
            r"|(?:integrity|ima): secureboot mode enabled"
            r"|(?:ima|evm): Secure boot enabled: ignoring .{1,80}"
        ),
        "Secure Boot is on",
        "The firmware checked the signature of what it started.",
        _SB_ON,
        "3.7",
        "FED, DEB, BIN-6.1, BIN-6.12",
        secure_boot="enabled",
    ),
    Line(
        "secureboot_disabled",
        "secureboot.state",
        (
            r"(?:secureboot: )?(?:Secure boot disabled|Secure boot mode disabled)"
            r"|(?:EFI stub: |efi: )?UEFI Secure Boot is disabled\."
            r"|(?:integrity|ima): secureboot mode disabled"
        ),
        "Secure Boot is off",
        "The firmware, or shim in its place, did not check what it started.",
        _SB_OFF,
        "3.7",
        "FED, DEB, BIN-6.1, BIN-6.12",
        secure_boot="disabled",
    ),
    Line(
        "secureboot_undetermined",
        "secureboot.state",
        (
            r"(?:secureboot: )?Secure boot could not be determined(?: \(mode \d+\))?"
            r"|(?:EFI stub: |efi: )?(?:ERROR: )?Could not determine UEFI Secure Boot status\."
            r"|(?:integrity|ima): secureboot mode unknown(?:, no efi)?"
        ),
        "Secure Boot could not be determined",
        "The kernel could not learn from the firmware whether Secure Boot is on.",
        _SB_UNKNOWN,
        "3.7",
        "FED, DEB, BIN-6.1, BIN-6.12",
        secure_boot="undetermined",
    ),
    Line(
        "module_unsigned",
        "module.signature",
        (
            # What tools say of themselves begins alike: "modprobe: ...", "ERROR: ...".
            r"(?P<module>(?!(?i:error|warning|info|notice|fatal|modprobe|insmod|make|dkms):)"
            r"[\w.+-]{1,64}): (?P<text>module verification failed)"
            r"(?::(?: (?:signature.{0,100})?)?)?"
        ),
        "The module {module} was loaded unsigned",
        "Its signature or the key for it is missing; a kernel that is not locked down loads it"
        " anyway and marks itself tainted. Under lockdown it would be refused.",
        _SIGN,
        "3.7",
        "Q-6.1n, BIN-5.10",
        ends="tainting kernel",
    ),
    Line(
        "module_rejected",
        "module.signature",
        (
            r"(?:module: |(?P<module>[\w.+-]{1,64}): )?(?P<text>(?:[Ll]oading of )?"
            r"(?:unsigned modules?|untrusted modules?|module with unsupported crypto"
            r"|module with unavailable key)) is rejected\.?"
        ),
        "A module was refused for its signature",
        "The kernel enforces signatures (module.sig_enforce, or IMA's policy that Secure Boot"
        " brings with it): EKEYREJECTED, before lockdown is asked, so no lockdown line follows.",
        _SIGN,
        "3.7",
        "BIN-5.10, FED@61ea70464, Q-6.1 under Secure Boot",
    ),
    Line(
        "module_fips",
        "module.signature",
        (
            r"(?:Kernel panic - not syncing: )?"
            r"Module (?P<module>[\w.+-]{1,64}) signature verification failed in FIPS mode"
        ),
        "The module {module} has a bad signature in FIPS mode",
        "A kernel in FIPS mode stops (panics) rather than run a module it cannot verify.",
        _SIGN,
        "3.7",
        "BIN-6.12",
    ),
    Line(
        "module_appraisal",
        "module.signature",
        r"ima: (?P<text>impossible to appraise a module) without a file descriptor.{0,80}",
        "A module was refused: its signature cannot be checked this way",
        "An IMA policy appraises modules (ima_policy=secure_boot does) and module.sig_enforce is"
        " not set: init_module has no file whose signature IMA could read, and fails with EACCES."
        " Under Secure Boot sig_enforce is set, and the module is refused with another line.",
        "Load it with finit_module (modprobe, insmod of kmod), from a signed file.",
        "4.18",
        "BIN-7.2",
        ends="kernel parameter might help",
    ),
    Line(
        "kexec_appraisal",
        "kexec.signature",
        r"ima: (?P<text>impossible to appraise a kernel image) without a file descriptor.{0,80}",
        "kexec was refused: the signature of the image cannot be checked this way",
        "IMA's policy, which Secure Boot brings with it, refuses kexec_load with EACCES before"
        " lockdown is asked, so no lockdown line follows.",
        _KEXEC,
        "4.18",
        "Q-6.1 under Secure Boot",
        ends="kexec_file_load syscall.",
    ),
    Line(
        "kexec_signature",
        "kexec.signature",
        (
            r"(?:kexec(?:_file)?: )?(?:Enforced )?"
            r"(?P<text>kernel signature verification failed) \(-?\d{1,10}\)\."
        ),
        "A kernel image for kexec has no trusted signature",
        "kexec_file_load could not verify the image; under lockdown or enforcement it refuses it.",
        _KEXEC,
        "3.17",
        "BIN-6.12, FED@61ea70464",
    ),
    Line(
        "kexec_rejected",
        "kexec.signature",
        (
            r"(?:kexec(?:_file)?: )?(?P<text>kexec of"
            r" (?:unsigned images?|image with [a-z ]{1,40})) rejected\.?"
        ),
        "A kernel image for kexec was refused for its signature",
        "kexec_file_load could not verify the image and refused it.",
        _KEXEC,
        "5.0",
        "FED@61ea70464",
        until="5.3",
        lineage="fedora-4.16",
    ),
    Line(
        "pefile_unsigned",
        "kexec.signature",
        r"PEFILE: (?P<text>Unsigned PE binary)",
        "A kernel image for kexec is not signed",
        "The image given to kexec_file_load carries no signature at all.",
        _KEXEC,
        "3.17",
        "Q-6.12c",
    ),
    Line(
        "bpf_write_user_warning",
        "bpf.warning",
        (
            r"(?P<comm>.{0,60})\[(?P<pid>\d{1,10})\] is installing a program with"
            r" (?P<text>bpf_probe_write_user) helper.{0,60}"
        ),
        "A program loaded BPF code that can write user memory",
        "bpf_probe_write_user can change any process's memory; few debugging tools need it, and"
        " BPF rootkits like it.",
        "If you did not start this program, look at it at once (bpftool prog show).",
        "4.8",
        "BIN-5.10 to BIN-6.12",
        until="6.13",
        ends="corrupt user memory!",
    ),
    Line(
        "bpf_unprivileged",
        "bpf.warning",
        r"(?:Spectre V2 : )?WARNING: (?P<text>Unprivileged eBPF is enabled).{0,160}",
        "Unprivileged BPF is enabled on a CPU that leaks through it",
        "Any user may load BPF programs, and on this CPU that can leak kernel memory (Spectre v2"
        " branch history).",
        "Set kernel.unprivileged_bpf_disabled=2, the default of most distributions.",
        "5.17",
        "BIN-6.12",
    ),
)  # fmt: skip
