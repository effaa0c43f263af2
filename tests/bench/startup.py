"""What a short command costs, and where its time goes."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.bench.measure import Program, lines, nothing, side_by_side
from tests.bench.setting import Setting
from tests.bench.table import commands, comparison, table

TITLE = "Start-up"
_WORDS = """\
Short commands, whole programs. `python -c pass` is the floor under all of them.
"""
_IMPORTS = """\
The ten heaviest imports of `scan` on that file (`python -X importtime`, time of the module itself
and of all that it pulls in; the tracing itself makes them slower than they are):
"""
_LINES = """\
Lockdown: systemd-logind: hibernation is restricted; see man kernel_lockdown.7
usb 1-1: new high-speed USB device number 4 using xhci_hcd
Kernel is locked down from EFI Secure Boot; see man kernel_lockdown.7
"""


def measure(setting: Setting) -> str:
    """Give the section of the page."""
    file = setting.cache / "three-lines.txt"
    file.write_text(_LINES, encoding="ascii")
    ours = setting.peers.ours
    programs = [
        ours("scan", str(file), "-o", "json", name="scan of three lines"),
        ours("explain", "hibernation", name="explain hibernation"),
        ours("--help", name="--help"),
        ours("status", "-o", "json", name="status"),
        ours("why", "-o", "json", "bpf", name="why bpf"),
        ours("why", "--", "true", name="why -- true"),
        Program("python -c pass", (sys.executable, "-c", "pass"), nothing),
        Program("grep of the same lines", ("grep", "-c", "Lockdown:", str(file)), lines),
    ]
    series = side_by_side(programs, setting.runs, setting.cache)
    shown = comparison(series).replace("wall against ours", "wall against the first")
    imports = table(("module", "itself", "with all below"), _heaviest(programs[0]))
    return "\n".join([_WORDS, shown, commands(series), _IMPORTS, imports])


def _heaviest(program: Program) -> list[tuple[str, str, str]]:
    args = program.argv[program.argv.index("scan") :]
    command = [sys.executable, "-X", "importtime", "-m", "watcher", *args]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    rows = re.findall(r"import time: +(\d+) \| +(\d+) \| *(\S+)", told)
    rows.sort(key=lambda row: -int(row[0]))
    return [(name, _ms(own), _ms(total)) for own, total, name in rows[:10]]


def _ms(microseconds: str) -> str:
    return f"{int(microseconds) / 1e3:.1f} ms"
