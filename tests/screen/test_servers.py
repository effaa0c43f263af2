"""What the agent does when servers come, go, hang or can do little, and when much happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.journal.real import Journald, need_root
from tests.screen.desk import ROOT, Desk, begun, denial, desk, soon
from tests.screen.heard import Monitor, Plain


def address(here: Desk) -> str:
    """Where this desktop's bus is."""
    return here.environment["DBUS_SESSION_BUS_ADDRESS"]


def test_a_thousand_denials_are_one_bubble(here: Desk, monitor: Monitor) -> None:
    """It is counted up in place, to the exact number; a picture of it is in docs/."""
    here.dunst()
    begun(here)
    here.log(*[denial("dd") for _ in range(1000)])
    soon(lambda: monitor.calls and monitor.calls[-1].body.startswith("1,000 times. "), "the count")
    assert len(monitor.calls) < 10
    assert len({call.replaces for call in monitor.calls[1:]} | {0}) <= 2
    assert len(here.windows("Dunst")) == 1
    assert here.run(["dunstctl", "count", "displayed"]).strip() == "1"
    here.shot("desktop-count")


def test_a_burst_of_many_programs_is_one_bubble(here: Desk, monitor: Monitor) -> None:
    """The first three have notes of their own, all the rest share one."""
    here.dunst()
    begun(here)
    here.log(*[denial(f"prog{at}") for at in range(100)])
    soon(lambda: "97 messages" in monitor.calls[-1].title if monitor.calls else 0, "the rest")
    soon(lambda: here.run(["dunstctl", "count", "displayed"]).strip() == "4", "four bubbles")


def test_what_was_missed_is_one_bubble_at_login(here: Desk, monitor: Monitor) -> None:
    """What came while nobody was logged in; and nothing of it comes a second time."""
    here.dunst()
    agent = begun(here)
    assert here.ended(agent)[0] == 0
    here.log(*[denial("dd") for _ in range(7)], denial("perf", "use of kprobes"))
    here.agent()
    soon(lambda: monitor.calls, "the bubble")
    time.sleep(0.3)
    (shown,) = monitor.calls
    assert shown.title == "Kernel lockdown: 8 messages"
    assert "dd tried to reach physical memory (7 times)" in shown.body
    assert "perf tried to set a kprobe in the kernel" in shown.body


def test_the_first_run_tells_nothing_old(here: Desk, monitor: Monitor) -> None:
    """Whoever begins to use it is not told of last month."""
    here.log(denial("old"))
    here.dunst()
    begun(here)
    here.log(denial("new"))
    soon(lambda: monitor.calls, "the bubble")
    assert "new" in monitor.calls[0].title


def test_only_our_unit_is_believed(here: Desk, monitor: Monitor) -> None:
    """Anybody can write our fields and our MESSAGE_ID; the unit is set by journald."""
    here.dunst()
    begun(here)
    here.log(denial("forger"), unit="user@1000.service")
    here.log(denial("true"))
    soon(lambda: monitor.calls, "the bubble")
    assert "true" in monitor.calls[0].title


def test_a_server_that_restarts_shows_what_comes_next(here: Desk, monitor: Monitor) -> None:
    """The new one does not know the old bubbles, and is not asked to replace them."""
    first = here.dunst()
    begun(here)
    here.log(denial("dd"))
    soon(lambda: len(monitor.calls) == 1, "the bubble")
    first.kill()
    first.wait()
    here.log(denial("perf", "use of kprobes"))
    time.sleep(0.2)
    here.dunst()
    soon(lambda: len(here.windows("Dunst")) == 1, "the new server's bubble")
    assert monitor.calls[-1].title == "Blocked: perf tried to set a kprobe in the kernel"
    assert monitor.calls[-1].replaces == 0


def test_without_a_server_notes_are_kept(here: Desk, monitor: Monitor) -> None:
    """It is said once; a run that ends before leaves them to the next one."""
    agent = begun(here)
    here.log(denial("dd"))
    soon(lambda: "there is no notification server" in here.agent_said(), "a word about it")
    status, took_s = here.ended(agent)
    assert status == 0
    assert took_s < 1
    here.agent()
    time.sleep(1)
    assert not monitor.calls
    here.dunst()
    soon(lambda: monitor.calls, "the bubble")
    assert monitor.calls[0].title.startswith("Blocked: dd tried")


def test_the_bus_may_start_a_server(tmp_path: Path) -> None:
    """One that is not running, if there is something to show and none came by itself."""
    with desk(tmp_path, f"<servicedir>{tmp_path}/services</servicedir>") as here:
        command = f"dunst -config {here.dunstrc()}"
        program = tmp_path / "start"
        program.write_text(f"#!/bin/sh\nDISPLAY={here.environment['DISPLAY']} exec {command}\n")
        program.chmod(0o755)
        (tmp_path / "services").mkdir()
        (tmp_path / "services/n.service").write_text(
            f"[D-BUS Service]\nName=org.freedesktop.Notifications\nExec={program}\n"
        )
        here.call("ReloadConfig")
        begun(here)
        here.log(denial("dd"))
        soon(lambda: here.windows("Dunst"), "the bubble")


def test_a_server_that_can_do_little(here: Desk) -> None:
    """No actions where there are none, no escapes where markup is not known."""
    monitor = Monitor(address(here))
    server = Plain(address(here))
    begun(here)
    here.log(denial("dd"), unknown("a<b & c"))
    soon(lambda: len(monitor.calls) == 2, "the notes")
    assert monitor.calls[0].actions == monitor.calls[1].actions == []
    assert "a<b & c" in monitor.calls[1].body
    server.close()


def unknown(words: str) -> Any:
    """Give the event of a line whose reason the catalogue lacks."""
    return denial("dd", words)


def test_markup_is_escaped_where_it_is_known(here: Desk) -> None:
    """The same text, to a server that would obey it."""
    monitor = Monitor(address(here))
    server = Plain(address(here), ("body", "body-markup"))
    begun(here)
    here.log(unknown("a<b & c"))
    soon(lambda: monitor.calls, "the note")
    assert "a&lt;b &amp; c" in monitor.calls[0].body
    server.close()


def test_a_server_that_refuses_is_not_pressed(here: Desk) -> None:
    """What it did not take is tried again later, not at once and for ever."""
    monitor = Monitor(address(here))
    server = Plain(address(here))
    server.refuses = True
    begun(here)
    here.log(denial("dd"))
    soon(lambda: monitor.calls, "the note")
    time.sleep(1)
    assert len(monitor.calls) == 1
    server.close()


def test_a_server_that_answers_nonsense_ends_nobody(here: Desk) -> None:
    """What is no number is a refusal; it is asked again no more than one that refuses."""
    monitor = Monitor(address(here))
    server = Plain(address(here))
    server.babbles = True
    agent = begun(here)
    here.log(denial("dd"))
    soon(lambda: monitor.calls, "the note")
    time.sleep(1)
    assert len(monitor.calls) == 1
    assert here.ended(agent)[0] == 0
    server.close()


def test_a_hung_server_holds_nobody(here: Desk) -> None:
    """SIGTERM ends the agent while a call is unanswered."""
    server = here.dunst()
    agent = begun(here)
    server.send_signal(signal.SIGSTOP)
    here.log(denial("dd"))
    time.sleep(0.5)
    status, took_s = here.ended(agent)
    assert status == 0
    assert took_s < 1


def test_a_bus_that_goes_away_ends_it(here: Desk) -> None:
    """With one line, and a status that a service is started again for."""
    here.dunst()
    agent = begun(here)
    here.bus.kill()
    assert agent.wait(10) == 1
    said = [line for line in here.agent_said().splitlines() if line]
    assert len(said) == 1
    assert said[0].startswith("lockdown-watcher: the session bus went away: ")


def test_without_a_bus_it_says_so(here: Desk) -> None:
    """One line, no traceback."""
    here.environment["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/none"
    agent = here.agent()
    assert agent.wait(10) == 1
    assert here.agent_said().startswith("lockdown-watcher: the session bus cannot be reached")
    assert len(here.agent_said().splitlines()) == 1


def test_it_sleeps_while_nothing_happens(here: Desk) -> None:
    """No wake-up of its own: not one in a second and a half, with a bubble on the screen."""
    here.dunst()
    agent = begun(here)
    here.log(denial("dd"))
    soon(lambda: here.windows("Dunst"), "the bubble")
    time.sleep(0.5)
    before = switches(agent)
    time.sleep(1.5)
    assert switches(agent) == before


def switches(process: subprocess.Popen[Any]) -> int:
    """Give how often a process was put to sleep by itself, in all its threads."""
    texts = Path(f"/proc/{process.pid}/task").glob("*/status")
    lines = [line for text in texts for line in text.read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


# Imported before: the folder this lies in may be nobody's to read.
AS_NOBODY = """
import encodings.ascii, html, os, sys
import watcher.cli.main, watcher.config, watcher.log, watcher.sources.journal, jeepney.io.blocking
import watcher.desktop.agent
os.setgroups([]); os.setgid(65534); os.setuid(65534)
watcher.cli.main.main(sys.argv[1:])
"""


def test_who_may_not_read_is_told_what_to_do(here: Desk, tmp_path_factory: Any) -> None:
    """A user outside the group: which group, which command; status 3, and one note for ever."""
    need_root()
    state = tmp_path_factory.mktemp("nobody")
    for folder in (state, *list(here.folder.parents)[:3], here.folder):
        os.chmod(folder, 0o755)  # noqa: PTH101
    os.chown(state, 65534, 65534)
    here.open_to_all()
    monitor = Monitor(address(here))
    here.dunst()
    nobody = {"LOCKDOWN_WATCHER_CONFIG": "", "HOME": "/", "XDG_STATE_HOME": str(state)}
    with Journald() as journald:
        command = [sys.executable, "-c", AS_NOBODY, "notify"]
        for _ in range(2):
            done = subprocess.run(
                [*command, f"--namespace={journald.namespace}"],
                env=here.environment | nobody,
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 3, done.stderr
            (line,) = done.stderr.splitlines()
            assert "usermod -aG systemd-journal nobody" in line
            assert "log in again" in line
    (shown,) = monitor.calls
    assert shown.title == "lockdown-watcher cannot show anything"
    assert "usermod -aG systemd-journal nobody" in shown.body


def test_a_bubble_comes_soon(here: Desk, monitor: Monitor) -> None:
    """From the entry's bytes to the call of Notify: milliseconds (docs/desktop.md has figures)."""
    here.dunst()
    begun(here)
    took: list[float] = []
    for reason in ("/dev/mem,kmem,port", "use of kprobes", "raw MSR access"):
        began = time.monotonic()
        here.log(denial("dd", reason))
        soon(lambda: len(monitor.calls) > len(took), "the bubble")
        took.append(monitor.calls[-1].at_s - began)
        time.sleep(0.3)
    print(f"entry to bubble, ms: {[round(each * 1000, 1) for each in took]}")
    assert max(took) < 5
