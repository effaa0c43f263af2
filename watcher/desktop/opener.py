"""Shows a page in a window people have: by xdg-open, which knows the desktop, or by gio."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from watcher.desktop.mutes import write
from watcher.log import Say

KEPT: Final = 20
"""Pages kept; they lie where the session's files do and go with it."""
_OPENERS: Final = (("xdg-open",), ("gio", "open"))


class Opener:
    """Writes pages and has them opened. `say` is told once if nothing can open one."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._number = 0
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        base = runtime if runtime.startswith("/") and Path(runtime).is_dir() else None
        self._folder = Path(base, "lockdown-watcher") if base else None

    def show(self, page: str) -> None:
        """Show a page. Raises WatcherError where it cannot be written."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="lockdown-watcher-"))
        self._number = self._number % KEPT + 1
        file = self._folder / f"explained-{self._number}.html"
        write(file, page)
        # It lasts as long as the browser, where that is not running yet.
        threading.Thread(target=self._open, args=(file,), daemon=True).start()

    def _open(self, file: Path) -> None:
        for command in _commands():
            done = subprocess.run(  # noqa: S603 - two programs, and a file of our own name
                [*command, str(file)],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            if done.returncode == 0:
                return
        self._say(f"nothing here opens a page (xdg-open, gio); it is {file}", "warning")


def _commands() -> Iterator[tuple[str, ...]]:
    """Give what may open a page, the desktop's own way first."""
    run = shutil.which("systemd-run")
    # In a unit's control group the browser would end with the agent, and start as its service.
    outside = (run, "--user", "--quiet", "--collect", "--wait") if run and _in_unit() else ()
    for command in _OPENERS:
        if program := shutil.which(command[0]):
            yield (*outside, program, *command[1:])


def _in_unit() -> bool:
    return "INVOCATION_ID" in os.environ and "XDG_RUNTIME_DIR" in os.environ
