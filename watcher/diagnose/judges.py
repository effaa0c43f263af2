"""Whether a cause holds: one small function each, the trouble and the machine in.

A judge says whether the cause holds on this machine for this trouble (None: it cannot tell),
and by what evidence. Rules of kernels: facts of bpf(2), perf_event_open(2), capabilities(7) and
of the kernel sources named beside them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from watcher.diagnose.symptom import Symptom
from watcher.lockdown import REASONS
from watcher.lockdown.causes import CAUSE_NAMES
from watcher.posture import Posture, at_least


class Case(NamedTuple):
    """The trouble and the machine it is on."""

    symptom: Symptom
    posture: Posture

    @property
    def topic(self) -> str | None:
        """The topic's id."""
        return self.symptom.topic.id if self.symptom.topic else None


class Judged(NamedTuple):
    """Whether a cause holds (None: cannot tell), and why we think so."""

    holds: bool | None
    evidence: str


# --- lockdown


def lockdown(case: Case) -> Judged:
    """Lockdown: does the level refuse this, with this errno, and does the log show it?"""
    errno, level = case.symptom.errno, case.posture.level
    if errno in ("EACCES", "EKEYREJECTED", "ENOKEY", "ENOSYS", "ENODATA"):
        return Judged(False, f"lockdown answers EPERM, or EINVAL for BPF; it never gives {errno}")
    if level is None:
        return Judged(None, f"{case.posture}")
    if level == "none":
        return Judged(False, "this kernel is not locked down")
    met = [each for each in case.symptom.reasons if each in case.posture.blocked]
    return _locked(case, met) if met else Judged(False, _left_alone(case))


def _left_alone(case: Case) -> str:
    what = case.symptom.topic.name if case.symptom.topic else "this"
    needs = [REASONS[each].level for each in case.symptom.reasons if each in REASONS]
    more = "; it would take confidentiality" if "confidentiality" in needs else ""
    return f"at level {case.posture.level} lockdown leaves {what} alone{more}"


def _locked(case: Case, met: list[str]) -> Judged:
    logged = [each for each in met if case.posture.log.reasons[each]]
    cause = case.posture.standing.cause
    by = f", because {CAUSE_NAMES[cause]}" if cause else ""
    words = f"level {case.posture.level}{by}, refuses {', '.join(met)}"
    if logged:
        times = ", ".join(f"{each} {case.posture.log.reasons[each]}x" for each in logged)
        return Judged(True, f"{words}; the log of this boot has it: {times}")
    if not _errno_fits(case, met):
        return Judged(False, f"{words}, but not with {case.symptom.errno}")
    if case.symptom.topic is None and case.symptom.reason is None:
        few = f"level {case.posture.level}{by}, refuses {len(met)} kinds of things"
        return Judged(None, f"{few} (lockdown-watcher status); what was tried is not told")
    return Judged(True, words)


def _errno_fits(case: Case, met: list[str]) -> bool:
    """Since 5.13 a helper taken away is EINVAL, and only kprobes and the old `BPF` are EPERM."""
    errno = case.symptom.errno
    if errno == "EINVAL":
        return any(REASONS[each].errno.startswith("EINVAL") for each in met)
    if errno == "ENOENT":
        return "tracefs" in met
    return errno != "EPERM" or any(not REASONS[each].errno.startswith("EINVAL") for each in met)


# --- who asks


def capability(case: Case) -> Judged:
    """The capabilities that the topic asks for."""
    topic, posture = case.symptom.topic, case.posture
    if topic is None or not topic.capabilities:
        if posture.process.uid == 0:
            return Judged(False, "asked as root")
        return Judged(None, "asked as an ordinary user; root may be needed")
    needed = _needed(topic.capabilities, posture)
    held = posture.process.may(*needed)
    if held is None:
        return Judged(None, "capabilities cannot be seen")
    names = " or ".join(needed)
    if held:
        return Judged(False, f"this process has {names}")
    return Judged(True, f"this process has no {names}, which {topic.asks} needs")


def _needed(capabilities: tuple[str, ...], posture: Posture) -> tuple[str, ...]:
    """CAP_BPF and CAP_PERFMON are of 5.8; before, CAP_SYS_ADMIN was asked for."""
    new = not posture.kernel.version or posture.kernel.version >= (5, 8)
    return tuple(c for c in capabilities if new or c not in ("CAP_BPF", "CAP_PERFMON"))


def seccomp(case: Case) -> Judged:
    """A filter of system calls on this process."""
    state = case.posture.process.seccomp
    if state is None:
        return Judged(None, "seccomp's state cannot be seen")
    if not state:
        return Judged(False, "no seccomp filter is on this process")
    if case.topic in ("msr", "debugfs", "tracefs", "hibernation"):
        return Judged(False, "a filter is on, but this is done with plain files")
    inside = case.posture.process.container
    by = f" by the container ({inside})" if inside else ""
    return Judged(None, f"a filter is on this process{by}; which calls it refuses cannot be read")


def user_namespace(case: Case) -> Judged:
    """Root in a user name space is nobody to bpf(), modules and kexec."""
    inside = case.posture.process.user_namespace
    if inside is None:
        return Judged(None, "the user name space cannot be seen")
    if not inside:
        return Judged(False, "not in a user name space of its own")
    return Judged(
        True, "in a user name space of its own: being root here counts for nothing to the kernel"
    )


def selinux(case: Case) -> Judged:
    """SELinux, whose own lockdown class existed from 5.6 to 5.15."""
    mode = case.posture.settings.selinux
    if case.posture.log.kinds["selinux.lockdown"]:
        return Judged(True, "the log has denials of SELinux's own lockdown class")
    if mode != "enforcing":
        return Judged(False, f"SELinux is {mode or 'not in use'}")
    if case.symptom.errno in (None, "EACCES"):
        return Judged(None, "SELinux is enforcing; ausearch -m avc -ts recent shows its denials")
    return Judged(False, "SELinux is enforcing, but answers EACCES")


def not_built(case: Case) -> Judged:
    """A kernel without the feature."""
    topic, kernel = case.symptom.topic, case.posture.kernel
    if topic is None or not topic.options:
        return Judged(False, "nothing to be built in is known for this")
    built = [kernel.built(option) for option in topic.options]
    names = " nor ".join(f"CONFIG_{option}" for option in topic.options)
    if None in built:
        return Judged(None, "the kernel's configuration cannot be seen")
    if any(built):
        return Judged(False, "the kernel has it built in")
    return Judged(True, f"this kernel was built without {names}")


# --- BPF


def unprivileged_bpf(case: Case) -> Judged:
    """The sysctl kernel.unprivileged_bpf_disabled."""
    value, process = case.posture.settings.unprivileged_bpf_disabled, case.posture.process
    if process.may("CAP_BPF", "CAP_SYS_ADMIN"):
        return Judged(False, "concerns only processes without CAP_BPF")
    if value is None:
        # Somebody may have set it to 0, but then the kernel warns from then on, and few do.
        default = case.posture.kernel.built("BPF_UNPRIV_DEFAULT_OFF")
        known = "this kernel was built to start with 2" if default else "its default is unknown"
        return Judged((default and process.uid != 0) or None, f"not read, but {known}")
    if value == 0:
        return Judged(False, "kernel.unprivileged_bpf_disabled is 0")
    if process.uid == 0:
        return Judged(False, f"is {value}, but it is the missing capability that lets it count")
    return Judged(
        True, f"kernel.unprivileged_bpf_disabled is {value}, and this user has no CAP_BPF"
    )


_SMALL: Final = 1 << 20
"""Bytes of locked memory that real BPF maps soon exceed."""


def memlock(case: Case) -> Judged:
    """RLIMIT_MEMLOCK, which counted BPF memory until 5.11."""
    version, limit = case.posture.kernel.version, case.posture.process.memlock
    if version >= (5, 11):
        return Judged(False, "since 5.11 BPF memory is not counted against it, whatever is printed")
    if limit is None or not version:
        return Judged(None, "the limit on locked memory cannot be seen")
    if limit == -1 or limit > 64 * _SMALL:
        return Judged(False, f"the limit is {_size(limit)}")
    words = f"the limit is {_size(limit)}, and this kernel counts BPF maps against it, root's too"
    return Judged(True if limit < _SMALL else None, words)


def _size(limit: int) -> str:
    return "unlimited" if limit == -1 else f"{limit // 1024} KiB"


def verifier(case: Case) -> Judged:
    """The verifier's own refusals, which it explains in its log."""
    if case.symptom.reason in ("bpf_read_kernel", "bpf_write_user"):
        return Judged(
            True, "the helper is unknown to this kernel, or not allowed to this program type or to"
            " whoever loads it"
        )  # fmt: skip
    if case.symptom.errno in ("EINVAL", "EACCES"):
        return Judged(
            None, "the verifier's log would tell; it is empty where something else refused"
        )
    return Judged(False, "the verifier does not answer EPERM without saying why")


# --- other switches


def paranoid(case: Case) -> Judged:
    """The sysctl kernel.perf_event_paranoid."""
    value = case.posture.settings.perf_event_paranoid
    if case.posture.process.may("CAP_PERFMON", "CAP_SYS_ADMIN"):
        return Judged(False, "concerns only processes without CAP_PERFMON")
    if value is None:
        return Judged(None, "kernel.perf_event_paranoid cannot be read")
    if value <= 0:
        return Judged(False, f"kernel.perf_event_paranoid is {value}")
    return Judged(True, f"kernel.perf_event_paranoid is {value}, and this user has no CAP_PERFMON")


def modules_disabled(case: Case) -> Judged:
    """No more modules: sysctl or command line."""
    if case.posture.settings.modules_disabled:
        return Judged(True, "kernel.modules_disabled is 1: no module at all until the next boot")
    if "nomodule" in (case.posture.kernel.command_line or {}):
        return Judged(True, "the command line has nomodule")
    return Judged(False, "kernel.modules_disabled is not set")


def module_key(case: Case) -> Judged:
    """The module's signature: broken, missing, or by a key unknown here."""
    enforce, errno = case.posture.settings.sig_enforce, case.symptom.errno
    if errno in ("EKEYREJECTED", "ENOKEY"):
        why = " (module.sig_enforce is on)" if enforce else ""
        return Judged(True, f"{errno} means the signature itself was checked and refused{why}")
    if enforce and not at_least(case.posture.level, "integrity"):
        return Judged(True, "module.sig_enforce is on, without lockdown")
    if enforce:
        return Judged(None, "module.sig_enforce is on as well; it gives EKEYREJECTED, not EPERM")
    return Judged(False, "module.sig_enforce is off, or cannot be read")


def kexec_disabled(case: Case) -> Judged:
    """The sysctl kernel.kexec_load_disabled."""
    if case.posture.settings.kexec_load_disabled:
        return Judged(True, "kernel.kexec_load_disabled is 1 until the next boot")
    return Judged(False, "kernel.kexec_load_disabled is not set")


def image_signature(case: Case) -> Judged:
    """The kernel image's signature, or IMA's policy."""
    if case.symptom.errno in ("ENOKEY", "ENODATA", "EACCES", "EKEYREJECTED"):
        return Judged(True, f"{case.symptom.errno} is the image's signature, or IMA's policy")
    by_ima = case.posture.firmware.enforces and case.posture.kernel.built("IMA_ARCH_POLICY")
    if by_ima and not case.symptom.errno:
        words = "under Secure Boot IMA's policy is asked before lockdown: then it is EACCES"
        return Judged(None, words)
    return Judged(False, "the signature would give ENOKEY, ENODATA or EACCES")


def no_hibernate(case: Case) -> Judged:
    """The command line."""
    words = case.posture.kernel.command_line or {}
    off = "nohibernate" in words or words.get("hibernate") in ("no", "off")
    return Judged(off, f"the command line {'switches it off' if off else 'does not switch it off'}")


def no_swap(case: Case) -> Judged:
    """Hibernation needs a place on disk."""
    swap, words = case.posture.settings.swap, case.posture.kernel.command_line or {}
    if swap is False:
        return Judged(True, "there is no swap on a disk to hibernate to (zram does not do)")
    if "noresume" in words:
        return Judged(True, "the command line has noresume")
    return Judged(False if swap else None, "there is swap" if swap else "swap cannot be seen")


def allow_writes(case: Case) -> Judged:
    """The parameter of module msr (5.9 and later)."""
    value = case.posture.settings.msr_allow_writes
    if value == "off":
        return Judged(True, "msr.allow_writes is off")
    if value is None:
        return Judged(
            None, "msr.allow_writes cannot be read: module msr is not loaded, or before 5.9"
        )
    return Judged(False, f"msr.allow_writes is {value}")


def bios_lock(case: Case) -> Judged:
    """Registers that the firmware locks."""
    if at_least(case.posture.level, "locked"):
        return Judged(False, "a lock of the firmware would show as EIO, and lockdown comes first")
    return Judged(None, "the firmware may lock a register (EIO, or a value that does not change)")


def strict_devmem(case: Case) -> Judged:
    """What /dev/mem shows where it may be opened."""
    strict = case.posture.kernel.built("STRICT_DEVMEM")
    if case.symptom.reason not in (None, "dev_mem"):
        return Judged(False, "concerns /dev/mem only")
    if (case.posture.kernel.command_line or {}).get("iomem") == "relaxed":
        return Judged(False, "the command line has iomem=relaxed")
    if not strict:
        return Judged(False if strict is False else None, "not built in" if strict is False else
                      "the kernel's configuration cannot be seen")  # fmt: skip
    return Judged(None, "CONFIG_STRICT_DEVMEM lets /dev/mem open, but not read RAM (EPERM on read)")
