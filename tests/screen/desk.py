"""A desktop of our own: Xvfb, a session bus, a notification server, a journal, the agent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from tests.journal.real import REMOTE, START_US, Entry, _field, need
from tests.journal.real import entry as journal_entry
from tests.parts import missing
from tests.replay import PACK, kernel_record
from watcher.detect import Detector
from watcher.event import Event
from watcher.host import now_us
from watcher.sinks.journal import fields

UNIT: Final = "lockdown-watcher.service"

_BUS: Final = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>{services}
<policy context="default"><allow user="*"/>
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>
"""

_DUNST: Final = """
[global]
font = DejaVu Sans 10
width = 420
height = 300
offset = 12x12
markup = full
format = "<b>%s</b>\\n%b"
show_indicators = no
idle_threshold = 0
dmenu = {menu}
mouse_left_click = close_current
mouse_middle_click = do_action
mouse_right_click = context
[urgency_low]
timeout = 0
[urgency_normal]
timeout = 0
[urgency_critical]
timeout = 0
"""


def need_program(name: str) -> str:
    """Give where a program is; without it skip, or fail in CI."""
    return shutil.which(name) or missing(name)


class Desk:
    """One desktop under `folder`: everything started here is ended by `close`, by its id."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.journal = folder, folder / "journal"
        self.journal.mkdir()
        for name in ("runtime", "home", "state"):
            (folder / name).mkdir(mode=0o700)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(folder / "runtime"),
            "XDG_STATE_HOME": str(folder / "state"),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/bus",
            "LOCKDOWN_WATCHER_CONFIG": str(folder / "config.toml"),
        }
        (folder / "config.toml").write_text("", "ascii")
        self._started: list[subprocess.Popen[Any]] = []
        self._open: list[IO[bytes]] = []

    def begin(self, services: str = "") -> None:
        """Start X, the bus and the journal; `services` is for the bus's configuration."""
        self._start_x()
        self._start_bus(services)
        self._start_journal()

    def close(self) -> None:
        """End all that was started here."""
        for process in reversed(self._started):
            process.kill()
            process.wait()
        for file in self._open:
            file.close()

    # --- the parts

    def start(self, command: list[str], **more: Any) -> subprocess.Popen[Any]:
        """Start a program on this desktop."""
        guarded = ["setpriv", "--pdeathsig=KILL", *command]
        process = subprocess.Popen(guarded, env=self.environment, **more)
        self._started.append(process)
        return process

    def _log(self, name: str) -> IO[bytes]:
        """Give a file that a program writes what it says to."""
        file = (self.folder / f"{name}.log").open("ab")
        self._open.append(file)
        return file

    def _start_x(self) -> None:
        need_program("Xvfb")
        reading, writing = os.pipe()
        screen = ["-screen", "0", "900x500x24", "-nolisten", "tcp"]
        command = ["Xvfb", "-displayfd", str(writing), *screen]
        log = self._log("xvfb")
        self.start(command, pass_fds=[writing], stderr=log, stdout=log)
        os.close(writing)
        with os.fdopen(reading) as display:
            self.environment["DISPLAY"] = f":{display.readline().strip()}"

    def _start_bus(self, services: str) -> None:
        need_program("dbus-daemon")
        config = self.folder / "bus.conf"
        config.write_text(_BUS.format(socket=self.folder / "bus", services=services), "ascii")
        command = ["dbus-daemon", f"--config-file={config}", "--nofork"]
        self.bus = self.start(command, stderr=self._log("bus"))
        soon((self.folder / "bus").exists, "the bus")

    def _start_journal(self) -> None:
        need(REMOTE)
        target = self.journal / "machine.journal"
        command = [str(REMOTE), "-o", str(target), "-"]
        process = self.start(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdin
        self._feed: IO[bytes] = process.stdin
        self._open.append(self._feed)
        self._at_us = 0
        self.log_entry([("MESSAGE", "the journal begins")])
        soon(target.exists, "the journal")

    def open_to_all(self) -> None:
        """Let every user onto the bus."""
        (self.folder / "bus").chmod(0o666)

    def dunstrc(self, menu: str = "dmenu") -> Path:
        """Write a configuration of dunst, in which no bubble goes by itself."""
        config = self.folder / "dunstrc"
        config.write_text(_DUNST.format(menu=menu), "ascii")
        return config

    def dunst(self, menu: str = "dmenu") -> subprocess.Popen[Any]:
        """Start dunst; it prints what it shows to dunst.log."""
        need_program("dunst")
        config = self.dunstrc(menu)
        log = self._log("dunst")
        process = self.start(["dunst", "-config", str(config), "-print"], stdout=log, stderr=log)
        self.wait_for_server()
        return process

    def xfce(self) -> subprocess.Popen[Any]:
        """Start xfce4-notifyd."""
        found = next(Path("/usr/lib").glob("*/xfce4/notifyd/xfce4-notifyd"), None)
        log = self._log("xfce")
        command = [str(found or missing("xfce4-notifyd"))]
        process = self.start(command, stdout=log, stderr=log)
        self.wait_for_server()
        return process

    def wait_for_server(self) -> None:
        """Return once somebody shows notes."""
        soon(lambda: "true" in self.call("NameHasOwner", "org.freedesktop.Notifications"), "server")

    def call(self, member: str, *arguments: str) -> str:
        """Ask the bus itself something."""
        command = ["gdbus", "call", "--session", "-d", "org.freedesktop.DBus", "-o"]
        command += ["/org/freedesktop/DBus", "-m", f"org.freedesktop.DBus.{member}", *arguments]
        return self.run(command)

    def run(self, command: list[str]) -> str:
        """Run a program on this desktop and give what it printed."""
        need_program(command[0])
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout

    def run_watcher(self, *arguments: str) -> str:
        """Run a command of ours as this user and give what it printed."""
        command = [sys.executable, "-m", "watcher", *arguments, "-o", "human"]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, cwd=ROOT
        )
        return done.stdout

    # --- the journal

    def log_entry(self, own: Entry) -> None:
        """Write one entry of any fields."""
        self._at_us = max(self._at_us + 1, now_us() - START_US)
        lines = b"".join(_field(*each) for each in journal_entry(self._at_us, *own))
        self._feed.write(lines + b"\n")
        self._feed.flush()

    def log(self, *events: Event, unit: str = UNIT) -> None:
        """Write events as the daemon's sink does; journald alone sets the unit."""
        for event in events:
            self.log_entry([("_SYSTEMD_UNIT", unit), *entry_of(event)])

    # --- the agent

    def agent(self, *options: str, arguments: Sequence[str] = ("notify",)) -> subprocess.Popen[Any]:
        """Start the agent, on this journal by default; what it says goes to agent.log."""
        command = [sys.executable, "-m", "watcher", *arguments]
        options = options or ("--journal-dir", str(self.journal))
        log = self._log("agent")
        return self.start([*command, *options], stdout=log, stderr=log, cwd=ROOT)

    def ended(self, process: subprocess.Popen[Any]) -> tuple[int, float]:
        """End a program by SIGTERM; give its exit status and how long it took, in seconds."""
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        return process.wait(10), time.monotonic() - began

    def agent_said(self) -> str:
        """Give all that the agent wrote."""
        return (self.folder / "agent.log").read_text("utf-8")

    def browser(self, script: str) -> None:
        """Make a shell script the program that this desktop opens pages with."""
        home = self.folder / "home"
        program = home / "browser"
        program.write_text(f"#!/bin/sh\n{script}\n", "ascii")
        program.chmod(0o755)
        entry = f"[Desktop Entry]\nType=Application\nName=Browser\nExec={program} %U\n"
        for file, text in (
            (".local/share/applications/tested.desktop", f"{entry}MimeType=text/html;\n"),
            (".config/mimeapps.list", "[Default Applications]\ntext/html=tested.desktop\n"),
        ):
            (home / file).parent.mkdir(parents=True)
            (home / file).write_text(text, "ascii")

    # --- the screen

    def windows(self, name: str) -> list[str]:
        """Give the visible windows of a class."""
        command = ["xdotool", "search", "--onlyvisible", "--class", name]
        need_program("xdotool")
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        return done.stdout.split()

    def click(self, window: str, x: int, y: int, button: int = 1) -> None:
        """Click into a window, as a hand would."""
        where = ["mousemove", "--window", window, str(x), str(y)]
        self.run(["xdotool", *where, "sleep", "0.1", "click", str(button)])

    def shot(self, name: str) -> Path:
        """Take a picture of the screen; KEEP_SHOTS=1 puts it into docs/."""
        folder = ROOT / "docs" if os.environ.get("KEEP_SHOTS") == "1" else self.folder
        file = folder / f"{name}.png"
        crop = ["-window", "root", "-trim", "+repage", "+dither", "-colors", "48"]
        self.run(["import", *crop, f"PNG8:{file}"])
        return file


ROOT: Final = Path(__file__).parent.parent.parent


def entry_of(event: Event) -> Entry:
    """Give the fields of an event as the journal sink writes them."""
    import json

    line = event.json_line()
    own = [each.partition("=")[::2] for each in fields(json.loads(line))]
    return [*own, ("LOCKDOWN_EVENT", line)]


_detector: Final = Detector(PACK)
_ticks: Final = iter(range(1, 1 << 30))


def denial(comm: str, reason: str = "/dev/mem,kmem,port") -> Event:
    """Give the event of a denial as the kernel of today words it."""
    text = f"Lockdown: {comm}: {reason} is restricted; see man kernel_lockdown.7"
    return next(_detector.events(kernel_record(text, next(_ticks) * 1000)))


def critical() -> Event:
    """Give the event of a kernel that was unlocked while it ran."""
    return next(_detector.events(kernel_record("Lifting lockdown", next(_ticks) * 1000)))


def soon(look: Callable[[], Any], what: str, within_s: float = 15.0) -> Any:
    """Give the first true answer of `look`."""
    end = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)
    return found


def begun(here: Desk, *options: str, **more: Any) -> subprocess.Popen[Any]:
    """Start the agent and return once it follows the journal."""
    agent = here.agent(*options, **more)
    soon((here.folder / "state/lockdown-watcher/notified").exists, "the agent")
    return agent


@contextmanager
def desk(folder: Path, services: str = "") -> Iterator[Desk]:
    """A desktop, gone at the end."""
    made = Desk(folder)
    try:
        made.begin(services)
        yield made
    finally:
        made.close()
