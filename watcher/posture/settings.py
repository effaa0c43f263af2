"""Switches that give the same errors as lockdown: sysctls, module parameters, SELinux, swap."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from watcher.posture.kernel import Version
from watcher.posture.tree import Tree

_SYSCTL: Final = "proc/sys/kernel"


class Settings(NamedTuple):
    """The switches as they stand; None: not seen, or not in this kernel."""

    sig_enforce: bool | None = None
    modules_disabled: bool | None = None
    kexec_load_disabled: bool | None = None
    unprivileged_bpf_disabled: int | None = None
    perf_event_paranoid: int | None = None
    sysrq: int | None = None
    dmesg_restrict: bool | None = None
    msr_allow_writes: str | None = None
    selinux: str | None = None
    swap: bool | None = None


def inspect_settings(tree: Tree, version: Version) -> Settings:
    """Read them; none of the files asks lockdown anything (/sys/power/state would)."""
    return Settings(
        sig_enforce=_yes(tree.text("sys/module/module/parameters/sig_enforce")),
        modules_disabled=_on(tree, "modules_disabled"),
        kexec_load_disabled=_on(tree, "kexec_load_disabled"),
        unprivileged_bpf_disabled=_unprivileged_bpf(tree, version),
        perf_event_paranoid=tree.number(f"{_SYSCTL}/perf_event_paranoid"),
        sysrq=tree.number(f"{_SYSCTL}/sysrq"),
        dmesg_restrict=_on(tree, "dmesg_restrict"),
        msr_allow_writes=tree.text("sys/module/msr/parameters/allow_writes"),
        selinux={"1": "enforcing", "0": "permissive"}.get(
            tree.text("sys/fs/selinux/enforce") or ""
        ),
        swap=_swap(tree.text("proc/swaps")),
    )


def _on(tree: Tree, name: str) -> bool | None:
    value = tree.number(f"{_SYSCTL}/{name}")
    return None if value is None else value != 0


def _yes(text: str | None) -> bool | None:
    return {"Y": True, "1": True, "N": False, "0": False}.get(text or "")


def _swap(text: str | None) -> bool | None:
    """Tell whether there is swap on a disk; zram holds no hibernation image."""
    if text is None:
        return None
    return any("zram" not in line for line in text.splitlines()[1:])


def _unprivileged_bpf(tree: Tree, version: Version) -> int | None:
    """Read the sysctl unless reading it would put a warning into the kernel log.

    Before 6.4.11 and 6.1.52 it does on CPUs with eIBRS where the value is 0.
    """
    mended = version >= (6, 4, 11) or (6, 1, 52) <= version < (6, 2)
    cpu = tree.text("sys/devices/system/cpu/vulnerabilities/spectre_v2") or ""
    if not mended and re.search(r"(?i)ibrs", cpu.partition(";")[0]):
        tree.miss(
            "kernel.unprivileged_bpf_disabled",
            f"{_SYSCTL}/unprivileged_bpf_disabled",
            "not read, as on this kernel and CPU reading it can write a warning to the log",
        )
        return None
    return tree.number(f"{_SYSCTL}/unprivileged_bpf_disabled")
