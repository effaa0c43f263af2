"""The words of the contract: kinds of event and how grave one is (Sigma's levels)."""

from __future__ import annotations

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


def gravest(severities: list[Severity]) -> Severity:
    """Give the highest of at least one severity."""
    return max(severities, key=SEVERITIES.index)
