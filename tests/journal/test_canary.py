"""A real journald, a real daemon, and `health` while the one or the other is taken away."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.journal.real import (
    BOOT,
    MISSED,
    PACK,
    Journald,
    build,
    entry,
    gaps,
    items,
    line,
    lockdown_line,
    mark,
    need_root,
    records,
)
from tests.outage.parts import Daemon, until
from watcher.delivery.store import Reading
from watcher.health.canary import GRACE_S
from watcher.sources.journal import JournalSource, Span
from watcher.sources.journal_entry import CANARY, CANARY_ID
from watcher.sources.journal_files import Where

EVERY_S = 2
WITHIN_S = EVERY_S + GRACE_S
"""What `health` promises."""
SLACK_S = 6
"""For the asking itself, on a machine under load."""


@pytest.fixture
def own_journald() -> Iterator[Journald]:
    """One that a test may stop."""
    with Journald() as running:
        yield running


def watching(journald: Journald, folder: Path, within: Sequence[str] = ()) -> Daemon:
    """A daemon that follows it, not yet started."""
    source = f'[source]\nkind = "journal"\nnamespace = "{journald.namespace}"\n'
    return Daemon(folder, f"{source}[health]\ncanary_s = {EVERY_S}\n", within)


def wrong(daemon: Daemon) -> dict[str, str]:
    """What `health` says is missing; its status must say the same."""
    command = [sys.executable, "-m", "watcher", "health", "--config", str(daemon.config)]
    done = subprocess.run(command, capture_output=True, check=False)
    told: dict[str, Any] = json.loads(done.stdout)
    found = {each["id"]: each["text"] for each in told["checks"] if not each["ok"]}
    assert done.returncode == (1 if found else 0)
    assert found or told["within_s"] == WITHIN_S
    return found


def healthy(daemon: Daemon) -> None:
    """Wait until it is."""
    until(lambda: wrong(daemon) == {}, "health", 20, lambda: wrong(daemon))


def unhealthy(daemon: Daemon, check: str, said: str, since_s: float) -> None:
    """Wait until it is not, which must be within the stated time, and look at what is said."""
    until(lambda: wrong(daemon), "a complaint", WITHIN_S + SLACK_S)
    assert time.monotonic() - since_s < WITHIN_S + SLACK_S
    found = wrong(daemon)
    assert said in found[check], found


def test_a_journald_that_has_ended(own_journald: Journald, tmp_path: Path) -> None:
    """Nothing is logged any more, though all the files are there."""
    with watching(own_journald, tmp_path) as daemon:
        healthy(daemon)
        since_s = time.monotonic()
        own_journald.signal(signal.SIGKILL)
        unhealthy(daemon, "canary", "the journal takes no entry: ", since_s)


Breaks = Callable[[Journald, Daemon], Callable[[], object] | None]
"""Takes something away, and gives what brings it back, if anything does."""


def _hangs(journald: Journald, _daemon: Daemon) -> Callable[[], object]:
    """Its socket takes entries, and they come back once it goes on."""
    journald.signal(signal.SIGSTOP)
    return lambda: journald.signal(signal.SIGCONT)


def _is_not_seen(journald: Journald, daemon: Daemon) -> None:
    """Its folder is another one to the daemon, and what comes goes to a file it cannot open."""
    empty = daemon.folder / "empty"
    empty.mkdir()
    enter = ["nsenter", "-m", "-t", str(daemon.pid), "mount", "--bind"]
    subprocess.run([*enter, str(empty), str(journald.folder)], check=True)
    journald.rotate()


def _is_forbidden(journald: Journald, _daemon: Daemon) -> None:
    """Its folder may not be looked into any more."""
    journald.folder.chmod(0)
    journald.rotate()


def _is_not_recorded(_journald: Journald, daemon: Daemon) -> Callable[[], object]:
    """The store cannot be written: what is read then is as good as not read."""
    command = [sys.executable, "-c", HOLD, str(daemon.state / "events.sqlite3")]
    holds = subprocess.Popen(command, stdin=subprocess.PIPE)
    return lambda: holds.communicate(b"\n")


HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute("BEGIN IMMEDIATE")
sys.stdin.readline()
"""

LOST = "what is written to the journal no longer reaches the daemon"
CASES: dict[str, tuple[Breaks, str]] = {
    "hangs": (_hangs, LOST),
    "unseen": (_is_not_seen, LOST),
    "forbidden": (_is_forbidden, LOST),
    "unrecorded": (_is_not_recorded, "the daemon hangs, or cannot write its store"),
}


def test_what_is_taken_away_is_told_in_time(tmp_path: Path) -> None:
    """Four machines, each blind in its own way at the same moment; two of them see again."""
    with contextlib.ExitStack() as stack:
        daemons: dict[str, tuple[Journald, Daemon]] = {}
        for name in CASES:
            (tmp_path / name).mkdir()
            journald = stack.enter_context(Journald())
            # What is mounted over its journal is so for it alone, and it may read what root owns.
            own = ["unshare", "-m", "setpriv", "--bounding-set=-dac_override,-dac_read_search"]
            daemons[name] = journald, stack.enter_context(watching(journald, tmp_path / name, own))
        for _, daemon in daemons.values():
            healthy(daemon)
        since_s = time.monotonic()
        undo = {name: CASES[name][0](*parts) for name, parts in daemons.items()}
        stack.callback(lambda: [back() for back in undo.values() if back])
        with ThreadPoolExecutor() as pool:
            asked = {
                name: pool.submit(unhealthy, daemon, "canary", CASES[name][1], since_s)
                for name, (_, daemon) in daemons.items()
            }
        for each in asked.values():
            each.result()
        for name in [name for name, back in undo.items() if back]:
            back = undo.pop(name)
            assert back
            back()
            healthy(daemons[name][1])


def test_a_journal_without_kernel_lines(tmp_path: Path) -> None:
    """Entries come and go; the kernel's do not, and that is what counts."""
    with Journald("ReadKMsg=no\n") as journald, watching(journald, tmp_path) as daemon:
        until(lambda: set(wrong(daemon)) == {"kernel_log"}, "the canary", 20, lambda: wrong(daemon))
        assert "shows none of this boot" in wrong(daemon)["kernel_log"]


@pytest.mark.parametrize("other", ["empty", "/dev/null"])
def test_a_kmsg_that_is_none(tmp_path: Path, other: str) -> None:
    """A daemon that would see nothing for ever does not start, and `health` says so."""
    need_root()
    (tmp_path / "empty").touch()
    daemon = Daemon(tmp_path, '[source]\nkind = "kmsg"\n')
    bind = f"mount --bind {tmp_path / other} /dev/kmsg"
    run = f'{bind} && exec "{sys.executable}" -m watcher daemon --config "{daemon.config}"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", run], capture_output=True, check=False)
    assert done.returncode == 3
    assert b"/dev/kmsg is not the kernel's log" in done.stderr
    assert "daemon" in wrong(daemon)


def test_canaries_are_no_events(own_journald: Journald, tmp_path: Path) -> None:
    """Ours, forged ones, those of a killed daemon; what hides behind their name is judged."""
    name = mark()
    with watching(own_journald, tmp_path) as daemon:
        healthy(daemon)
        own_journald.signal(signal.SIGSTOP)
        time.sleep(EVERY_S + 0.5)
        daemon.kill()
        own_journald.signal(signal.SIGCONT)
        daemon.start()
        for fields in (
            {"MESSAGE": f"{CANARY} {'0' * 32}", "MESSAGE_ID": CANARY_ID},
            {"MESSAGE": f"{CANARY} {name}", "MESSAGE_ID": CANARY_ID},
            {"MESSAGE": lockdown_line(name), "MESSAGE_ID": CANARY_ID,
             "SYSLOG_IDENTIFIER": "kernel"},
        ):  # fmt: skip
            own_journald.native(fields)
        until(lambda: daemon.recorded(name), "the forged line")
        healthy(daemon)
        daemon.stop()
    with Reading(daemon.state) as reading:
        found = [json.loads(line) for line in reading.lines() if name in line or CANARY in line]
    assert [each["kind"] for each in found] == ["lockdown.forged"]


def test_canaries_hide_no_beginning_that_is_gone(tmp_path: Path) -> None:
    """The first kernel line left tells that others were removed, whatever stands before it."""
    canary = entry(
        0,
        ("_TRANSPORT", "journal"),
        ("MESSAGE_ID", CANARY_ID),
        ("MESSAGE", f"{CANARY} {'0' * 32}"),
    )
    file = build(tmp_path / "a.journal", [canary, canary, line("a line", 5)])
    heard: list[str] = []
    where, span = Where(files=(str(file),)), Span(boot_id=BOOT)
    prefilter = PACK.prefilter(MISSED, CANARY.encode())
    with contextlib.closing(JournalSource(prefilter, where, span, canary=heard.append)) as source:
        found = items(source)
    assert [gap.cause for gap in gaps(found)] == ["journal_vacuumed"]
    assert records(found) == []
    assert len(heard) == 2
