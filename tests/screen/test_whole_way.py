"""The whole way: a kernel line, the daemon, journald, the agent, a bubble; and a forged entry."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.journal.real import Journald, lockdown_line, need_root
from tests.parts import missing
from tests.screen.desk import ROOT, UNIT, Desk, begun, denial, soon
from tests.screen.heard import Monitor

_GROUPS: Final = Path("/sys/fs/cgroup")
_SEND: Final = """
import json, sys
from watcher.sinks.journal import Options, open_sink
from watcher.sinks.sink import Parcel
open_sink(Options(kind="journal")).deliver([Parcel(1, "x", sys.argv[1])])
"""


@pytest.fixture
def unit() -> Iterator[Path]:
    """The control group of our unit, by which journald knows it, as systemd would make it."""
    need_root()
    top = _GROUPS if (_GROUPS / "cgroup.procs").exists() else _GROUPS / "unified"
    group = top / "system.slice" / UNIT
    if group.exists():
        missing("a machine on which the service itself does not run")
    made = [each for each in (group.parent, group) if not each.exists()]
    try:
        group.mkdir(parents=True)
    except OSError:
        missing("a control group of our own")
    yield group
    for each in reversed(made):
        each.rmdir()


@pytest.fixture
def journald() -> Iterator[Journald]:
    """A journald of our own."""
    with Journald() as running:
        yield running


def speaking(journald: Journald, command: list[str], group: Path | None = None) -> list[str]:
    """Give the command that runs another where libsystemd's one socket is this journald's."""
    steps = [f"mkdir -p /run/systemd/journal && mount --bind {journald.run} /run/systemd/journal"]
    steps += [f"echo $$ > {group}/cgroup.procs"] if group else []
    return ["unshare", "-m", "sh", "-c", " && ".join([*steps, f"exec {shlex.join(command)}"])]


def kernel_line(here: Desk, comm: str) -> None:
    """Have the kernel refuse something, as its line stands in a journal."""
    here.log_entry(
        [
            ("_TRANSPORT", "kernel"),
            ("SYSLOG_FACILITY", "0"),
            ("SYSLOG_IDENTIFIER", "kernel"),
            ("PRIORITY", "5"),
            ("MESSAGE", lockdown_line(comm).replace("hibernation", "use of kprobes")),
        ]
    )


def test_from_the_kernel_to_the_bubble(
    unit: Path, here: Desk, monitor: Monitor, journald: Journald
) -> None:
    """What the real daemon makes of a line is shown; what others log in its name is not."""
    config = here.folder / "daemon.toml"
    config.write_text(
        f'[source]\njournal_dir = "{here.journal}"\n[store]\ndir = "{here.folder}/store"\n'
        '[[sink]]\nkind = "journal"\n',
        "ascii",
    )
    here.dunst()
    begun(here, f"--namespace={journald.namespace}")
    command = [sys.executable, "-m", "watcher", "daemon", "--config", str(config)]
    log = (here.folder / "daemon.log").open("ab")
    daemon = here.start(speaking(journald, command, unit), cwd=ROOT, stdout=log, stderr=log)
    log.close()
    soon(lambda: "the store is" in (here.folder / "daemon.log").read_text(), "the daemon")
    forged = denial("forger").json_line()
    subprocess.run(speaking(journald, [sys.executable, "-c", _SEND, forged]), check=True, cwd=ROOT)
    soon(lambda: "forger" in journald.journalctl("-t", "lockdown-watcher"), "the forged entry")
    kernel_line(here, "bpftrace")
    soon(lambda: here.windows("Dunst"), "the bubble")
    assert [call.title for call in monitor.calls] == [
        "Blocked: bpftrace tried to set a kprobe in the kernel"
    ]
    entry = json.loads(journald.journalctl("-o", "json", f"_SYSTEMD_UNIT={UNIT}", "-n1"))
    assert entry["LOCKDOWN_COMM"] == "bpftrace"
    assert here.ended(daemon)[0] == 0


def test_the_unit_runs_the_agent(here: Desk, monitor: Monitor) -> None:
    """The command of the user unit, and the statuses after which it is left alone."""
    text = (ROOT / "units/lockdown-watcher-notify.service").read_text("ascii")
    options = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    program, *arguments = options["ExecStart"].split()
    assert os.path.basename(program) == "lockdown-watcher"  # noqa: PTH119 - no file of this machine
    assert options["RestartPreventExitStatus"].split() == ["2", "3"]
    assert options["PartOf"] == "graphical-session.target"
    here.dunst()
    agent = begun(here, arguments=arguments)
    here.log(denial("dd"))
    soon(lambda: monitor.calls, "the bubble")
    assert here.ended(agent)[0] == 0
