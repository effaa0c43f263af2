"""What can refuse an operation: one row a cause, and the order in which the kernel asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from watcher.diagnose import judges
from watcher.diagnose.judges import Case, Judged


class Cause(NamedTuple):
    """One thing that refuses; `advice` safest first, `never` what not to do."""

    id: str
    title: str
    judge: Callable[[Case], Judged]
    advice: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


_NO_WEAKENING: Final = (
    (
        "Do not switch Secure Boot or lockdown off to get this done: it gives every program that"
        " becomes root the run of the kernel, for good, to run one program once."
    ),
)
_ELEVATE: Final = (
    "Run it as root or give the program that one capability (setcap, AmbientCapabilities=)."
)

CAUSES: Final = {
    cause.id: cause
    for cause in (
        Cause(
            "lockdown",
            "the kernel's lockdown",
            judges.lockdown,
            never=_NO_WEAKENING,
        ),
        Cause(
            "capability",
            "a missing capability",
            judges.capability,
            advice=(_ELEVATE,),
            never=(
                (
                    "Do not make the container or the program all-powerful (--privileged) for "
                    "one capability."
                ),
            ),
        ),
        Cause(
            "seccomp",
            "a seccomp filter",
            judges.seccomp,
            advice=(
                (
                    "Allow that one call in the profile of the container or in SystemCallFilter= "
                    "of the unit; outside of it the same command shows whether the filter is it."
                ),
            ),
            never=("Do not run it with seccomp=unconfined for good: it opens every call.",),
        ),
        Cause(
            "user_namespace",
            "a user name space",
            judges.user_namespace,
            advice=(
                (
                    "Run it as the host's root: rootful podman or docker, or outside of the "
                    "container."
                ),
            ),
        ),
        Cause(
            "selinux",
            "SELinux or another security module",
            judges.selinux,
            advice=(
                (
                    "Look for the denial (ausearch -m avc -ts recent) and allow that one thing "
                    "(audit2allow)."
                ),
            ),
            never=("Do not setenforce 0 and leave it so: it switches off all of SELinux.",),
        ),
        Cause(
            "not_built",
            "a kernel built without it",
            judges.not_built,
            advice=("Use a kernel built with that option.",),
        ),
        Cause(
            "unprivileged_bpf_disabled",
            "BPF is closed to ordinary users",
            judges.unprivileged_bpf,
            advice=(
                (
                    "Run it as root or give the program CAP_BPF, and CAP_PERFMON for tracing "
                    "(5.8 and later)."
                ),
            ),
            never=("Do not set it to 0: unprivileged BPF is a known way to leak kernel memory.",),
        ),
        Cause(
            "memlock",
            "the limit on locked memory (RLIMIT_MEMLOCK)",
            judges.memlock,
            advice=(
                (
                    "Raise it for this program: ulimit -l unlimited, LimitMEMLOCK=infinity in "
                    "its unit, or a kernel of 5.11 or later."
                ),
            ),
        ),
        Cause(
            "verifier",
            "the BPF verifier",
            judges.verifier,
            advice=(
                (
                    "Read the verifier's log (it names instruction and reason); use "
                    "bpf_probe_read_kernel and _user in place of bpf_probe_read."
                ),
            ),
        ),
        Cause(
            "perf_event_paranoid",
            "perf is closed to ordinary users",
            judges.paranoid,
            advice=("Run it as root or give the program CAP_PERFMON.",),
            never=("Do not set kernel.perf_event_paranoid to -1 on a shared machine.",),
        ),
        Cause(
            "modules_disabled",
            "module loading is switched off",
            judges.modules_disabled,
            advice=(
                (
                    "Load the module earlier in the boot, before it is switched off; a reboot "
                    "clears it."
                ),
            ),
        ),
        Cause(
            "module_key",
            "the module's signature or its key, or IMA's policy on it",
            judges.module_key,
            advice=(
                (
                    "Sign the module with a key that is enrolled: mokutil --import KEY, confirm "
                    "at boot; DKMS can do it at each build."
                ),
                "Use the distribution's signed package.",
            ),
            never=_NO_WEAKENING,
        ),
        Cause(
            "kexec_load_disabled",
            "kexec is switched off",
            judges.kexec_disabled,
            advice=("Load the kernel earlier in the boot; a reboot clears it.",),
        ),
        Cause(
            "image_signature",
            "the kernel image's signature, or IMA's policy on it",
            judges.image_signature,
            advice=("Use kexec -s with an image signed by a key in UEFI's db or the MOK list.",),
        ),
        Cause(
            "nohibernate",
            "hibernation is switched off at boot",
            judges.no_hibernate,
            advice=("Take nohibernate off the command line.",),
        ),
        Cause(
            "no_swap",
            "nothing to hibernate to",
            judges.no_swap,
            advice=(
                (
                    "Make a swap partition or file at least as large as memory in use, and set "
                    "resume=."
                ),
            ),
        ),
        Cause(
            "msr_allow_writes",
            "msr.allow_writes=off",
            judges.allow_writes,
            advice=(
                (
                    "Use the kernel's own controls (powercap, intel_pstate); if it must be, boot "
                    "with msr.allow_writes=on, which lets root change any register."
                ),
            ),
        ),
        Cause(
            "bios_lock",
            "a lock set by the firmware",
            judges.bios_lock,
            advice=("See the firmware's setup (overclocking lock, CFG lock).",),
        ),
        Cause(
            "strict_devmem",
            "CONFIG_STRICT_DEVMEM",
            judges.strict_devmem,
            advice=("Use sysfs or a driver; /dev/mem shows devices and the first megabyte only.",),
        ),
    )
}

ORDER: Final[dict[str | None, tuple[str, ...]]] = {
    "bpf": ("not_built", "user_namespace", "unprivileged_bpf_disabled", "capability", "memlock",
            "lockdown", "verifier", "seccomp", "selinux"),
    "perf": ("not_built", "perf_event_paranoid", "capability", "user_namespace", "lockdown",
             "seccomp", "selinux"),
    "module": ("not_built", "modules_disabled", "user_namespace", "capability", "module_key",
               "lockdown", "seccomp", "selinux"),
    "kexec": ("not_built", "kexec_load_disabled", "user_namespace", "capability",
              "image_signature", "lockdown", "seccomp"),
    "hibernation": ("not_built", "nohibernate", "lockdown", "no_swap"),
    "msr": ("not_built", "user_namespace", "capability", "lockdown", "msr_allow_writes",
            "bios_lock"),
    "ioport": ("not_built", "user_namespace", "capability", "lockdown", "strict_devmem", "seccomp",
               "selinux"),
    "debugfs": ("not_built", "capability", "lockdown", "selinux"),
    "tracefs": ("not_built", "capability", "lockdown", "selinux"),
    None: ("user_namespace", "capability", "lockdown", "seccomp", "selinux"),
}  # fmt: skip
"""Which causes come into question, in the order in which the kernel asks."""
