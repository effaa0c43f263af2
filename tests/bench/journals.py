"""Build journal files of any size and mixture through the real systemd-journal-remote."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

REMOTE: Final = "/lib/systemd/systemd-journal-remote"
BOOT: Final = "0123456789abcdef0123456789abcdef"
MACHINE: Final = "fedcba9876543210fedcba9876543210"
START_US: Final = 1_760_000_000_000_000

KERNEL_LINES: Final = (
    "usb 1-{n}: new high-speed USB device number {n} using xhci_hcd",
    "wlp2s0: associated",
    "audit: rate limit exceeded",
    "EXT4-fs (nvme0n1p{n}): mounted filesystem with ordered data mode. Quota mode: none.",
    "br-{n:012x}: port 2(veth{n:07x}) entered blocking state",
    "IPv6: ADDRCONF(NETDEV_CHANGE): veth{n:07x}: link becomes ready",
    "perf: interrupt took too long ({n} > 2500), lowering the sample rate to 79000",
    "CPU{n}: Package temperature/speed normal",
    "pcieport 0000:00:1c.{n}: AER: Corrected error message received from 0000:01:00.0",
    "ata{n}.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x6 frozen",
)
HITS: Final = (
    "Lockdown: systemd-logind: hibernation is restricted; see man kernel_lockdown.7",
    "Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7",
    "Lockdown: bpftrace: use of kprobes is restricted; see man kernel_lockdown.7",
)
SERVICE_LINES: Final = (
    ("sshd", "Accepted publickey for user from 192.0.2.{m} port {n} ssh2"),
    ("systemd", "Started session-{n}.scope - Session {n} of User user."),
    ("cron", "(root) CMD (run-parts --report /etc/cron.hourly)"),
    ("nginx", '192.0.2.{m} - - "GET /index.html HTTP/1.1" 200 {n}'),
)


def export(
    entries: int, kernel: int, hits: int, seed: int = 1, *, unlike: bool = False
) -> Iterator[str]:
    """Give the export text of `entries` records, `kernel` of them the kernel's, with `hits`.

    `unlike`: no two lines have the same text, but for the hits.
    """
    dice = random.Random(seed)
    kinds = ["hit"] * hits + ["kernel"] * (kernel - hits) + ["service"] * (entries - kernel)
    dice.shuffle(kinds)
    for number, kind in enumerate(kinds):
        yield _entry(number, kind, dice, f" #{number}" if unlike else "")


def _entry(number: int, kind: str, dice: random.Random, serial: str) -> str:
    monotonic = 1_000_000 + number * 997
    common = (
        f"__REALTIME_TIMESTAMP={START_US + number * 997}\n__MONOTONIC_TIMESTAMP={monotonic}\n"
        f"_BOOT_ID={BOOT}\n_MACHINE_ID={MACHINE}\n_HOSTNAME=bench\n"
    )
    n = dice.randrange(10_000)
    if kind == "service":
        name, text = dice.choice(SERVICE_LINES)
        return common + (
            f"_TRANSPORT=syslog\nPRIORITY=6\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER={name}\n"
            f"_PID={n + 2}\n_UID=0\n_GID=0\n_COMM={name}\n_EXE=/usr/sbin/{name}\n"
            f"_SYSTEMD_UNIT={name}.service\n_SYSTEMD_CGROUP=/system.slice/{name}.service\n"
            f"_CAP_EFFECTIVE=1ffffffffff\n_SYSTEMD_SLICE=system.slice\n"
            f"MESSAGE={text.format(n=n, m=n % 254 + 1)}{serial}\n\n"
        )
    text = dice.choice(HITS if kind == "hit" else KERNEL_LINES).format(n=n % 97)
    text += serial if kind != "hit" else ""
    return common + (
        f"_TRANSPORT=kernel\nPRIORITY=5\nSYSLOG_FACILITY=0\nSYSLOG_IDENTIFIER=kernel\n"
        f"_SOURCE_MONOTONIC_TIMESTAMP={monotonic - 300}\nMESSAGE={text}\n\n"
    )


def build(path: Path, entries: int, kernel: int, hits: int, *, unlike: bool = False) -> Path:
    """Write a journal file; raises CalledProcessError if systemd-journal-remote does."""
    with subprocess.Popen(
        [REMOTE, "-o", str(path), "-"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as remote:
        assert remote.stdin is not None
        remote.stdin.writelines(export(entries, kernel, hits, unlike=unlike))
    if remote.returncode:
        raise subprocess.CalledProcessError(remote.returncode, REMOTE)
    return path


def cached(cache: Path, entries: int, kernel: int, hits: int, *, unlike: bool = False) -> Path:
    """Give a directory with such a journal, built at the first use and kept."""
    folder = cache / f"journal-{entries}-{kernel}-{hits}{'-unlike' if unlike else ''}"
    if not folder.is_dir():
        print(f"  building a journal of {entries:,} entries", file=sys.stderr)
        half = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        build(half / "bench.journal", entries, kernel, hits, unlike=unlike)
        half.rename(folder)
    return folder


def kernel_lines(count: int, hits: int, seed: int = 1) -> Iterator[str]:
    """Give the messages alone of `count` kernel lines, `hits` of them about lockdown."""
    dice = random.Random(seed)
    chosen = set(dice.sample(range(count), hits))
    for at in range(count):
        yield dice.choice(HITS if at in chosen else KERNEL_LINES).format(n=dice.randrange(97))


def dmesg(count: int, hits: int) -> Iterator[str]:
    """Give the text of dmesg."""
    for at, text in enumerate(kernel_lines(count, hits)):
        yield f"[{1 + at * 0.000997:12.6f}] {text}\n"


def syslog(count: int, hits: int) -> Iterator[str]:
    """Give a syslog file (RFC 3164), three lines of ten the kernel's."""
    dice = random.Random(2)
    kernel = kernel_lines(count * 3 // 10, hits)
    ours = ["k"] * (count * 3 // 10) + ["s"] * (count - count * 3 // 10)
    dice.shuffle(ours)
    for at, kind in enumerate(ours):
        day, second = divmod(at // 20, 86_400)
        clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        stamp = f"Oct {day % 28 + 1:2} {clock} bench"
        if kind == "k":
            yield f"{stamp} kernel: [{1 + at * 0.000997:12.6f}] {next(kernel)}\n"
        else:
            name, text = dice.choice(SERVICE_LINES)
            n = dice.randrange(10_000)
            yield f"{stamp} {name}[{n + 2}]: {text.format(n=n, m=n % 254 + 1)}\n"


if __name__ == "__main__":
    build(Path(sys.argv[1]), *(int(arg) for arg in sys.argv[2:5]))
