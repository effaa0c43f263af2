"""The words of the contract: kinds of event and how grave one is (Sigma's levels)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

Kind = Literal[
    "lockdown.enabled",
    "lockdown.denied",
    "lockdown.lifted",
    "lockdown.lift_refused",
    "lockdown.suppressed",
    "lockdown.effect",
    "lockdown.unknown",
    "lockdown.forged",
    "secureboot.state",
    "module.signature",
    "kexec.signature",
    "bpf.warning",
    "selinux.lockdown",
    "posture.changed",
    "posture.contradiction",
    "watch.gap",
    "watch.degraded",
    "rule.match",
]
Severity = Literal["informational", "low", "medium", "high", "critical"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""From the least to the gravest."""

MEANINGS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "lockdown.enabled": "The kernel said that it is locked down, and by what.",
        "lockdown.denied": "The kernel refused something to a program because it is locked down."
        " Root is refused too: the program says EPERM, the kernel's line says why.",
        "lockdown.lifted": "The kernel is no longer protected, until the next boot. Only kernels"
        " before 5.5 with a distribution's own patch can be lifted, by SysRq-x.",
        "lockdown.lift_refused": "Somebody tried to lift lockdown from a program.",
        "lockdown.suppressed": "The kernel's rate limit hid denials: it logs ten in five seconds,"
        " for all programs together, and counts the rest.",
        "lockdown.effect": "The kernel went without something because it is locked down.",
        "lockdown.unknown": "A line in lockdown's own frame with words the catalogue does not"
        " know: a newer kernel, or another distribution's. It is never dropped.",
        "lockdown.forged": "The words are the kernel's, the writer is not: a program wrote them to"
        " /dev/kmsg or to the journal. Nothing such a line says is believed.",
        "secureboot.state": "The kernel said whether UEFI Secure Boot is on.",
        "module.signature": "A kernel module was refused, or taints the kernel, for its signature.",
        "kexec.signature": "A kernel image for kexec was refused for its signature.",
        "bpf.warning": "The kernel warned of a BPF program, or of a setting, that can do harm.",
        "selinux.lockdown": "SELinux's lockdown class (kernels 5.6 to 5.16) refused a program what"
        " the kernel itself might have allowed.",
        "posture.changed": "How this machine stands changed: lockdown's level, Secure Boot, shim's"
        " validation, or a setting beside them. From files under /sys and /proc, not from a line.",
        "posture.contradiction": "What this machine says of itself does not fit together, such as"
        " Secure Boot on and a kernel that is not locked down.",
        "watch.gap": "Lines are missing: a ring buffer that ran over, journal files that are gone"
        " or damaged. The count is exact where it can be known, and null where it cannot.",
        "watch.degraded": "The watcher itself sees or delivers less than it should.",
        "rule.match": "A rule of yours matched a line that the catalogue does not know.",
    }
)
"""What each kind of event means, for manuals and the journal's catalogue."""


def gravest(severities: list[Severity]) -> Severity:
    """Give the highest of at least one severity."""
    return max(severities, key=SEVERITIES.index)
