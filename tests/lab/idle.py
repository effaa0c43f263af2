"""What the service costs at rest, beside fail2ban and rsyslog in the same guest: docs/idle.md.

`make idle` boots the full guest, lets all three settle, and counts for ten minutes in which
nothing is logged. Nothing asserts a figure.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.bench.table import table
from tests.lab.cache import scratch
from tests.lab.full_guest import FILES, FullGuest
from tests.lab.kernels import Kernel, kernel

PAGE: Final = Path(__file__).parents[2] / "docs" / "idle.md"
MINUTES: Final = 10
SETTLE_S: Final = 90
UNITS: Final = ("lockdown-watcher.service", "fail2ban.service", "rsyslog.service")

COUNT: Final = """
import json, pathlib, sys, time
def number(file, name):
    found = [line for line in file.read_text().splitlines() if line.startswith(name)]
    return int(found[0].split()[1])
def look(unit):
    group = pathlib.Path("/sys/fs/cgroup/system.slice", unit)
    pids = [pathlib.Path("/proc", pid) for pid in (group / "cgroup.procs").read_text().split()]
    tasks = [task for pid in pids for task in (pid / "task").iterdir()]
    return {
        "wakeups": sum(number(task / "status", "voluntary_ctxt_switches") for task in tasks),
        "cpu_s": number(group / "cpu.stat", "usage_usec") / 1e6,
        "rss_mb": sum(number(pid / "status", "VmRSS:") for pid in pids) / 1024,
        "pss_mb": sum(number(pid / "smaps_rollup", "Pss:") for pid in pids) / 1024,
        "threads": len(tasks),
    }
seconds, units = float(sys.argv[1]), sys.argv[2:]
before = {unit: look(unit) for unit in units}
time.sleep(seconds)
after = {unit: look(unit) for unit in units}
print(json.dumps({unit: [before[unit], after[unit]] for unit in units}))
"""

CONFIG: Final = '[[sink]]\nkind = "journal"\n[health]\ncanary_s = 0\n'
JAIL: Final = "[DEFAULT]\nbackend = systemd\n"
"""Debian's default, the sshd jail, in a guest that has no auth.log."""

_PAGE: Final = """\
# At rest

What the service costs while nothing happens, beside two others that read logs, in one guest at the
same time: Debian 12 with systemd as PID 1 under QEMU (emulated, one CPU), kernel {kernel}, Secure
Boot on. All three had {settle} s to settle; then {minutes} minutes in which nothing was logged.

Written by `make idle` on {date}, from commit `{commit}`.

{table}
A wake-up is a voluntary context switch of any of its threads; CPU time is the control group's; Pss
counts a page that processes share by each one's part. lockdown-watcher delivers to the journal, as
shipped, with the canary of `[health]` off; fail2ban {fail2ban} has Debian's one jail (sshd, from
the journal), rsyslog {rsyslog} what Debian configures. rsyslog, which is C and sleeps, costs less
than we do in everything.

What wakes lockdown-watcher: twice in `WatchdogSec=2min` it tells systemd that it is alive, and
once in ten minutes it looks whether the machine's protection has changed.
"""


def main() -> None:
    """Measure and write the page."""
    debian = kernel("bookworm-6.1")
    with scratch() as work:
        for name, text in (("count.py", COUNT), ("jail.local", JAIL), ("config.toml", CONFIG)):
            (work / name).write_text(text)
        files = {name: work / name for name in ("count.py", "jail.local", "config.toml")}
        life_s = MINUTES * 60 + 900
        with FullGuest(debian, work, secure_boot=True, files=files, life_s=life_s) as guest:
            PAGE.write_text(_page(debian, guest), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


def _page(debian: Kernel, guest: FullGuest) -> str:
    _start(guest)
    counted = json.loads(
        guest.sure(
            f"sleep {SETTLE_S}; python3 {FILES}/count.py {MINUTES * 60} {' '.join(UNITS)}",
            SETTLE_S + MINUTES * 60 + 60,
        )
    )
    head = ("", "wake-ups", "CPU", "RSS", "Pss", "threads")
    return _PAGE.format(
        kernel=debian.version,
        settle=SETTLE_S,
        minutes=MINUTES,
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        commit=_commit(),
        table=table(head, [_row(unit, *counted[unit]) for unit in UNITS]),
        fail2ban=_version(guest, "fail2ban"),
        rsyslog=_version(guest, "rsyslog"),
    )


def _start(guest: FullGuest) -> None:
    guest.sure(f"lockdown-watcher units install && cp {FILES}/config.toml /etc/lockdown-watcher/")
    masks = ("rsyslog.service", "syslog.socket", "fail2ban.service")
    guest.sure(f"cd /etc/systemd/system && rm {' '.join(masks)}")
    guest.sure(f"cp {FILES}/jail.local /etc/fail2ban/ && systemctl daemon-reload")
    for unit in UNITS:
        guest.sure(f"systemctl start {unit}", 120)
    guest.wait_until("fail2ban-client status sshd", 60)


def _row(unit: str, before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    return (
        unit.removesuffix(".service"),
        f"{after['wakeups'] - before['wakeups']:,}",
        f"{after['cpu_s'] - before['cpu_s']:.2f} s",
        f"{after['rss_mb']:.0f} MB",
        f"{after['pss_mb']:.0f} MB",
        str(after["threads"]),
    )


def _version(guest: FullGuest, package: str) -> str:
    return guest.sure(f"dpkg-query -W -f '${{Version}}' {package}").strip()


def _commit() -> str:
    git = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
