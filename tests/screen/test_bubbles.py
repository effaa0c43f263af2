"""What people see, on dunst and xfce4-notifyd: the real servers, the real bubble, a real click."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.parts import missing
from tests.screen.desk import Desk, begun, critical, denial, soon
from tests.screen.heard import Monitor

SERVERS = {"dunst": "Dunst", "xfce": "Xfce4-notifyd"}


def bubble(here: Desk, server: str) -> str:
    """Give the window of the bubble, once it is there."""
    windows = soon(lambda: here.windows(SERVERS[server]), "the bubble")
    assert len(windows) == 1
    return str(windows[0])


@pytest.mark.parametrize("server", SERVERS)
def test_a_denial_is_a_bubble(here: Desk, monitor: Monitor, server: str) -> None:
    """A sentence, what it means, and things to press; a picture of it is in docs/."""
    getattr(here, server)()
    begun(here)
    here.log(denial("dd"))
    bubble(here, server)
    (shown,) = monitor.calls
    assert shown.title == "Blocked: dd tried to reach physical memory"
    assert shown.body.startswith("Opening /dev/mem, /dev/kmem or /dev/port is refused")
    assert shown.urgency == 1
    assert shown.actions[1::2][-3:] == ["Explain", "Mute this program", "Mute for today"]
    assert here.shot(f"desktop-{server}").stat().st_size > 1000


def test_a_click_explains(here: Desk) -> None:
    """A middle click on dunst's bubble opens a page: advice, the kernel's line, the facts."""
    opened = here.folder / "opened"
    here.browser(f'printf %s "$1" > {opened}.new && mv {opened}.new {opened}')
    here.dunst()
    begun(here)
    here.log(denial("dd<b>"))
    here.click(bubble(here, "dunst"), 100, 20, button=2)
    page = Path(soon(lambda: opened.exists() and opened.read_text(), "the page")).read_text()
    assert "<h1>Blocked: dd&lt;b&gt; tried to reach physical memory</h1>" in page
    assert "Lockdown: dd&lt;b&gt;: /dev/mem,kmem,port is restricted" in page
    assert "CAP_SYS_RAWIO" in page


def test_the_page_is_a_window(here: Desk) -> None:
    """In a real browser, found by the desktop's own means; a picture of it is in docs/."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or missing("chromium")
    look = "--no-first-run --test-type --hide-scrollbars --window-size=900,500"
    profile = here.folder / "profile"
    here.browser(f'exec {chromium} --no-sandbox {look} --user-data-dir={profile} --app="file://$1"')
    here.dunst()
    begun(here)
    here.log(denial("dd"))
    here.click(bubble(here, "dunst"), 100, 20, button=2)
    title = "Blocked: dd tried to reach physical memory"
    command = ["xdotool", "search", "--sync", "--onlyvisible", "--name", title]
    (window, *_) = here.run(command).split()
    soon(lambda: colours(here, window) > 20, "the page to be drawn")
    here.shot("desktop-page")


def colours(here: Desk, window: str) -> int:
    """Give how many colours a window has: text that is drawn has many shades."""
    said = here.run(["import", "-window", window, "-format", "%k", "info:"])
    return int(said)


def test_a_button_mutes_for_today(here: Desk, monitor: Monitor) -> None:
    """Pressed on xfce4-notifyd's bubble: nothing more is shown, but what is critical."""
    here.xfce()
    begun(here)
    here.log(denial("dd"))
    window = bubble(here, "xfce")
    shape = dict(
        line.split("=")
        for line in here.run(["xdotool", "getwindowgeometry", "--shell", window]).split()
    )
    here.click(window, int(shape["WIDTH"]) - 80, int(shape["HEIGHT"]) - 30)
    soon(lambda: "everything" in here.run_watcher("notify", "--mutes"), "the mute")
    here.log(denial("perf", "use of kprobes"), critical())
    soon(lambda: len(monitor.calls) == 2, "the critical one")
    assert monitor.calls[1].title.startswith("Lockdown was lifted")
    assert monitor.calls[1].urgency == 2


def test_a_program_is_muted_and_unmuted(here: Desk, monitor: Monitor) -> None:
    """From dunst's menu; for this program and what it tried, no more; a command undoes it."""
    menu = here.folder / "menu"
    menu.write_text("#!/bin/sh\ngrep 'Mute this program'\n")
    menu.chmod(0o755)
    here.dunst(menu=str(menu))
    begun(here)
    here.log(denial("dd"))
    here.click(bubble(here, "dunst"), 100, 20, button=3)
    soon(lambda: "dd" in here.run_watcher("notify", "--mutes"), "the mute")
    here.log(denial("dd"), denial("dd", "use of kprobes"))
    soon(lambda: len(monitor.calls) == 2, "the other thing it tried")
    assert monitor.calls[1].title == "Blocked: dd tried to set a kprobe in the kernel"
    said = here.run_watcher("notify", "--unmute", "1")
    assert said == "no longer muted: Blocked: dd tried to reach physical memory\n"
    here.log(denial("dd2"), denial("dd"))
    soon(lambda: len(monitor.calls) >= 3, "what was muted")


@pytest.mark.parametrize("server", SERVERS)
def test_a_hostile_name_is_text(here: Desk, monitor: Monitor, server: str) -> None:
    """Markup, line breaks, characters that reorder or hide text: shown, not obeyed."""
    getattr(here, server)()
    begun(here)
    here.log(denial("<b>x</b>&\n\u202e\x1b[31m"))
    bubble(here, server)
    (shown,) = monitor.calls
    name = "<b>x</b>&\\x0a\\u202e\\x1b[31m"
    assert shown.title == f"Blocked: {name} tried to reach physical memory"
    if server == "dunst":
        log = (here.folder / "dunst.log").read_text()
        assert "&lt;b&gt;x&lt;/b&gt;&amp;\\x0a\\u202e\\x1b[31m tried" in log.split("formatted:")[1]
    here.shot(f"desktop-hostile-{server}")
