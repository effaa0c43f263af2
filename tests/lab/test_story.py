"""What older kernels said, through a real ring buffer, a real journald and the real watcher."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.lab.cache import scratch
from tests.lab.command import run
from tests.lab.full_guest import FILES, FullGuest
from tests.lab.full_parts import need_full_lab
from tests.lab.kernels import Kernel, headers, kernel

pytestmark = pytest.mark.timeout(1200)

SCAN: Final = "journalctl --sync && lockdown-watcher scan --boot 0 -o json"
LIVE: Final = "/var/log/kmsg.jsonl"
MODULE: Final = Path(__file__).parent / "printk_module"
Told = list[tuple[str, str | None, str | None, str | None]]
"""Of each event: kind, reason, lineage, process."""

STORIES: Final[dict[str, tuple[list[str], Told]]] = {
    "Fedora 30, 5.2": (
        [
            "Kernel is locked down from EFI secure boot; see man kernel_lockdown.7",
            "Lockdown: systemd: BPF is restricted; see man kernel_lockdown.7",
            "Lifting lockdown",
        ],
        [
            ("lockdown.enabled", None, "fedora-4.14", None),
            ("lockdown.denied", "bpf", "fedora-4.16", "systemd"),
            ("lockdown.lifted", None, "fedora-4.14", None),
        ],
    ),
    "Debian 10, 4.19": (
        [
            "Kernel is locked down from EFI secure boot; see https://wiki.debian.org/SecureBoot",
            "Lockdown: BPF is restricted; see https://wiki.debian.org/SecureBoot",
            "Lifting lockdown",
        ],
        [
            ("lockdown.enabled", None, "debian-4.19", None),
            ("lockdown.denied", "bpf", "debian-4.19", None),
            ("lockdown.lifted", None, "fedora-4.14", None),
        ],
    ),
    "Ubuntu 19.10, 5.3": (
        [
            "Kernel is locked down from EFI Secure Boot mode; see man kernel_lockdown.7",
            (
                "Lockdown: bpftrace: use of bpf to read kernel RAM is restricted;"
                " see man kernel_lockdown.7"
            ),
            "This sysrq operation is disabled from userspace.",
            "sysrq: Disabling Secure Boot restrictions",
            "Lifting lockdown",
        ],
        [
            ("lockdown.enabled", None, "fedora-5.4", None),
            ("lockdown.denied", "bpf_read_kernel", "mainline", "bpftrace"),
            ("lockdown.lift_refused", None, "fedora-4.9", None),
            ("lockdown.lifted", None, "fedora-4.9", None),
            ("lockdown.lifted", None, "fedora-4.14", None),
        ],
    ),
}


def built(kernel: Kernel, work: Path) -> Path:
    """Give the module that lets us speak in the kernel's name, built for `kernel`."""
    folder = shutil.copytree(MODULE, work / "module")
    run("make", "-C", headers(kernel), f"M={folder}", f"-j{os.cpu_count()}", "modules")
    return folder / "lab_printk.ko"


@pytest.fixture(scope="module")
def guest() -> Iterator[FullGuest]:
    """An unlocked guest with the module loaded, and the watcher on its /dev/kmsg."""
    need_full_lab()
    debian = kernel("bookworm-6.1")
    with scratch() as work:
        module = built(debian, work)
        with FullGuest(debian, work, files={module.name: module}) as running:
            running.sure(f"insmod {FILES}/{module.name}")
            running.sure(
                "systemd-run --unit=live --property=StandardError=journal"
                f" --property=StandardOutput=append:{LIVE}"
                " lockdown-watcher watch --source kmsg -o json"
            )
            yield running


def lockdown_events(output: str) -> list[dict[str, Any]]:
    """Give the events about lockdown; the module itself, being unsigned, is another one."""
    found = [json.loads(line) for line in output.splitlines()]
    return [event for event in found if event["kind"].startswith("lockdown.")]


def told(event: dict[str, Any]) -> tuple[str, str | None, str | None, str | None]:
    """Give what a story expects of an event."""
    lockdown = event["lockdown"]
    return event["kind"], lockdown["reason"], lockdown["lineage"], event["process"]["comm"]


@pytest.mark.parametrize("story", STORIES)
def test_the_story_is_told_alike_by_ring_and_journal(guest: FullGuest, story: str) -> None:
    """Facility 0, so trusted: the very events, in order, with one id from either source."""
    lines, expected = STORIES[story]
    before = len(lockdown_events(guest.run(f"cat {LIVE}").stdout))
    for line in lines:
        guest.sure(f"echo {shlex.quote(f'<5>{line}')} > /dev/lab_printk")
    wanted = before + len(lines)
    guest.wait_until(f'[ $(grep -c \'"kind":"lockdown[.]\' {LIVE}) -ge {wanted} ]')
    live = lockdown_events(guest.sure(f"cat {LIVE}"))[before:]
    past = lockdown_events(guest.sure(SCAN))[before:]
    assert [told(event) for event in live] == expected
    assert [event["message"] for event in live] == lines
    assert [event["id"] for event in live] == [event["id"] for event in past]
    assert {event["origin"]["trust"] for event in (*live, *past)} == {"kernel"}
    assert {event["origin"]["source"] for event in past} == {"journal"}


def test_no_process_can_do_the_same(guest: FullGuest) -> None:
    """Root writes the same words to /dev/kmsg: that is never facility 0, so it is forged."""
    guest.sure("echo '<5>Lifting lockdown' > /dev/kmsg")
    guest.wait_for_line(LIVE, '"lockdown.forged"')
    (forged,) = [
        event
        for event in lockdown_events(guest.sure(f"cat {LIVE}"))
        if event["origin"]["trust"] != "kernel"
    ]
    assert (forged["kind"], forged["origin"]["trust"]) == ("lockdown.forged", "injected")
