"""What the figures were taken on."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from pathlib import Path


def facts() -> list[tuple[str, str]]:
    """Give date, machine, kernel, Python, systemd and commit."""
    return [
        ("date", f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC"),
        ("machine", f"{os.cpu_count()} cores, {_cpu()}, {_memory_gb()} GB"),
        ("load at the start", f"{os.getloadavg()[0]:.2f} (other work on the machine is noise)"),
        ("kernel", platform.release()),
        ("Python", platform.python_version()),
        ("systemd", _first_line("systemctl", "--version")),
        ("commit", _commit()),
    ]


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()


def _memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)


def _commit() -> str:
    changed = _output("git", "status", "--porcelain", "--", "watcher", "rules")
    return _first_line("git", "rev-parse", "--short", "HEAD") + (
        " and changes not yet committed" if changed else ""
    )


def _first_line(*argv: str) -> str:
    return (_output(*argv).splitlines() or ["unknown"])[0]


def _output(*argv: str) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
