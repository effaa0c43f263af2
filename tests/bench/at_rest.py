"""What `watch` and the daemon cost while nothing happens: memory, and how often they wake up."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench.environments import as_installed
from tests.bench.journals import cached
from tests.bench.measure import Program, nothing
from tests.bench.setting import Setting
from tests.bench.table import table

TITLE = "Live: at rest"
_WORDS = """\
Each program alone, ours as pip installs it, its output discarded; memory from
/proc/PID/smaps_rollup after {settle} s (USS: what is its own; PSS: with its share of what others
use too; anonymous: what is no file's, and so cannot be dropped: who reads a journal maps it, and
its pages count in the first three), then wake-ups (voluntary context switches of all threads) and
CPU time over {idle} s. The journal held {entries:,} entries, which ours read first and
`journalctl -f` does not. Lines that arrive meanwhile wake the readers of /dev/kmsg. Ten minutes
of the service under systemd: [idle.md](idle.md).
"""


def measure(setting: Setting) -> str:
    """Give the section of the page."""
    settle, idle = (1, 2) if setting.quick else (3, 8)
    entries = 500_000 // setting.smaller
    directory = cached(setting.cache, entries, entries * 3 // 10, 500 // setting.smaller)
    programs = _programs(setting, directory)
    rows = [_row(program, settle, idle) for program in programs]
    for row in rows:
        if row[0].startswith("daemon"):
            setting.below(f"{row[0]}, at rest: RSS, MB", float(row[1].split()[0]), 45)
    head = ("program", "RSS", "PSS", "USS", "anonymous", "threads", "wake-ups", "cpu meanwhile")
    words = _WORDS.format(settle=settle, idle=idle, entries=entries)
    typed = "\n".join(program.command for program in programs)
    return "\n".join([words, table(head, rows), f"```sh\n{typed}\n```\n"])


def _programs(setting: Setting, directory: Path) -> list[Program]:
    peers, folder = setting.peers, str(directory)
    ours = partial(peers.ours, script=as_installed(setting.cache))
    found = [_daemon(setting, ours, "journal", f'journal_dir = "{folder}"')]
    if os.access("/dev/kmsg", os.R_OK):
        found.append(_daemon(setting, ours, "kmsg", ""))
        found.append(ours("watch", "--source", "kmsg", "-o", "json", name="watch, kmsg"))
    found.append(ours("watch", "--journal-dir", folder, "-o", "json", name="watch, journal"))
    if peers.available("journalctl"):
        follow = ("journalctl", "--directory", folder, "-f", "-q", "-g", "Lockdown:")
        found.append(Program("journalctl -f -g", follow, nothing))
    if peers.available("dmesg") and os.access("/dev/kmsg", os.R_OK):
        found.append(Program("dmesg -w", ("dmesg", "-w"), nothing))
    if peers.available("sec"):
        empty = directory.parent / "empty.log"
        empty.touch()
        rule = f"--conf={directory.parent / 'sec.conf'}"
        found.append(Program("sec on an empty file", ("sec", rule, f"--input={empty}"), nothing))
    return found


def _daemon(setting: Setting, ours: Callable[..., Program], source: str, more: str) -> Program:
    """Give the daemon with a new store and a file to write to."""
    folder = setting.cache / f"daemon-{source}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config = folder / "config.toml"
    config.write_text(
        f'[store]\ndir = "{folder}"\n[source]\nkind = "{source}"\n{more}\n'
        f'[[sink]]\nkind = "file"\npath = "{folder}/events.jsonl"\n'
    )
    config.chmod(0o600)
    return ours("daemon", "--config", str(config), name=f"daemon, {source}")


def _row(program: Program, settle: int, idle: int) -> tuple[str, ...]:
    with subprocess.Popen(
        program.argv,
        env={**os.environ, **program.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            time.sleep(settle)
            if process.poll() is not None:
                return (program.name, f"ended with {process.returncode}", *("",) * 6)
            return _observed(program.name, process.pid, idle)
        finally:
            process.terminate()


def _observed(name: str, pid: int, idle: int) -> tuple[str, ...]:
    memory, switches, cpu = _memory_mb(pid), _switches(pid), _cpu_s(pid)
    time.sleep(idle)
    woken, threads = _switches(pid) - switches, len(_tasks(pid))
    sizes = (f"{memory[key]:.1f} MB" for key in ("Rss", "Pss", "Private", "Anonymous"))
    return name, *sizes, str(threads), str(woken), f"{(_cpu_s(pid) - cpu) * 1000:.0f} ms"


def _memory_mb(pid: int) -> dict[str, float]:
    sizes: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, kibibytes = line.split()[:2]
        key = "Private" if name.startswith("Private_") else name.removesuffix(":")
        sizes[key] = sizes.get(key, 0.0) + int(kibibytes) / 1024
    return sizes


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _switches(pid: int) -> int:
    texts = [(task / "status").read_text(encoding="ascii") for task in _tasks(pid)]
    found = (line for text in texts for line in text.splitlines())
    return sum(int(line.split()[1]) for line in found if line.startswith("voluntary_ctxt"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
