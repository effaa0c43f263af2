"""What this process may: capabilities, seccomp, limits, name spaces, and the container around it.

What fails for a service may work in a shell, so this speaks of whoever asks, and says so.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from watcher.posture.tree import Tree

CAPABILITIES: Final = {
    "CAP_NET_ADMIN": 12,
    "CAP_IPC_LOCK": 14,
    "CAP_SYS_MODULE": 16,
    "CAP_SYS_RAWIO": 17,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_BOOT": 22,
    "CAP_SYS_RESOURCE": 24,
    "CAP_SYSLOG": 34,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
"""Bits of CapEff (include/uapi/linux/capability.h), those that matter here."""

_WHOLE_MAP: Final = ["0", "0", "4294967295"]


class Process(NamedTuple):
    """Who asks; None: not seen. `memlock` is bytes, -1 unlimited; `seccomp` 0 off, 2 a filter."""

    uid: int | None = None
    capabilities: tuple[str, ...] | None = None
    seccomp: int | None = None
    memlock: int | None = None
    user_namespace: bool | None = None
    container: str | None = None

    def may(self, *capabilities: str) -> bool | None:
        """Tell whether it has any of these capabilities."""
        if self.capabilities is None:
            return None
        return any(each in self.capabilities for each in capabilities)


def inspect_process(tree: Tree) -> Process:
    """Read /proc/self and the marks of containers."""
    status = tree.text("proc/self/status", "capabilities") or ""
    mask = _field(status, "CapEff", 16)
    mapped = tree.text("proc/self/uid_map")
    return Process(
        uid=_field(status, "Uid"),
        capabilities=_held(mask),
        seccomp=_field(status, "Seccomp"),
        memlock=_memlock(tree.text("proc/self/limits") or ""),
        user_namespace=None if mapped is None else mapped.split() != _WHOLE_MAP,
        container=_container(tree),
    )


def _held(mask: int | None) -> tuple[str, ...] | None:
    if mask is None:
        return None
    return tuple(name for name, bit in CAPABILITIES.items() if mask >> bit & 1)


def _field(status: str, name: str, base: int = 10) -> int | None:
    found = re.search(rf"^{name}:\s+([0-9a-f]{{1,16}})\b", status, re.MULTILINE)
    return int(found[1], base) if found else None


def _memlock(limits: str) -> int | None:
    found = re.search(r"^Max locked memory\s+(\d{1,19}|unlimited)", limits, re.MULTILINE)
    if not found:
        return None
    return -1 if found[1] == "unlimited" else int(found[1])


def _container(tree: Tree) -> str | None:
    """Name the container: its own marks first, then what its groups are called."""
    if tree.has(".dockerenv"):
        return "docker"
    if tree.has("run/.containerenv"):
        return "podman"
    if said := tree.text("run/systemd/container"):
        return said[:40]
    groups = tree.text("proc/1/cgroup") or ""
    found = re.search(r"docker|kubepods|libpod|lxc|containerd", groups)
    return found[0] if found else None
