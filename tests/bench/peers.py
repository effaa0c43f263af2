"""How each peer is asked for the same thing; a peer that is not installed is told and left out."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from tests.bench.measure import Program, lines, matched
from watcher.sources.journal import KERNEL

_SEC_RULE: Final = """type=Single
ptype=RegExp
pattern=Lockdown:
desc=$0
action=write - %s
"""
_FAIL2BAN: Final = r"Lockdown: <F-ID>\S+</F-ID>: "
_FAIL2BAN_HOME: Final = Path("/usr/lib/python3/dist-packages/fail2ban")


class Peers:
    """Makes the programs to measure; names of those that are missing gather in `missing`."""

    def __init__(self, cache: Path) -> None:
        self.missing: set[str] = set()
        self._rule = cache / "sec.conf"
        self._rule.write_text(_SEC_RULE, encoding="ascii")
        self._home = cache / "home"
        self._home.mkdir(exist_ok=True)
        modules = cache / "fail2ban"
        modules.mkdir(exist_ok=True)
        if _FAIL2BAN_HOME.is_dir() and not (modules / "fail2ban").exists():
            # Its own package alone, so that the rest comes from the interpreter we run too.
            (modules / "fail2ban").symlink_to(_FAIL2BAN_HOME)
        self._modules = modules

    def available(self, *tools: str) -> bool:
        """Tell whether all of `tools` are installed; those that are not are kept in `missing`."""
        gone = {tool for tool in tools if shutil.which(tool) is None}
        self.missing |= gone
        return not gone

    def ours(self, *args: str, name: str | None = None) -> Program:
        """Give our own command with `args`, without this user's own rules."""
        script = Path(sys.executable).with_name("lockdown-watcher")
        command = (str(script),) if script.exists() else (sys.executable, "-m", "watcher")
        home = {"XDG_CONFIG_HOME": str(self._home), "XDG_CACHE_HOME": str(self._home)}
        return Program(name or "lockdown-watcher", (*command, *args), lines, home)

    def plain_loop(self, directory: Path) -> Program:
        """Give the loop one would write first, with the same interpreter."""
        script = os.path.relpath(Path(__file__).with_name("plain_loop.py"))
        return Program("for entry in Reader", (sys.executable, script, str(directory)))

    def journalctl(self, directory: Path) -> list[Program]:
        """Give journalctl's own search, for the kernel's entries alone and for all that we read."""
        if not self.available("journalctl"):
            return []
        where = ("journalctl", "--directory", str(directory), "-q")
        grep, same = ("-g", "Lockdown:"), " + ".join(map(" ".join, KERNEL)).split()
        return [
            Program("journalctl -g", (*where, "_TRANSPORT=kernel", *grep)),
            Program("journalctl -g, our matches", (*where, *same, *grep)),
        ]

    def fail2ban(self, log: str, *options: str) -> list[Program]:
        """Give fail2ban-regex, run by the interpreter that runs us."""
        if not self.available("fail2ban-regex"):
            return []
        tool = shutil.which("fail2ban-regex") or ""
        argv = (sys.executable, tool, *options, log, _FAIL2BAN)
        env = {"PYTHONPATH": str(self._modules)}
        return [Program("fail2ban-regex", argv, matched, env)]

    def fail2ban_journal(self, directory: Path) -> list[Program]:
        """Give fail2ban-regex on a journal."""
        return self.fail2ban(f"systemd-journal[journalpath={directory}]", "-m", "_TRANSPORT=kernel")

    def sec(self, file: Path) -> list[Program]:
        """Give SEC with one rule, on a text file."""
        if not self.available("sec"):
            return []
        return [Program("sec", ("sec", *self._sec_options(), "--notail", f"--input={file}"))]

    def sec_journal(self, directory: Path) -> list[Program]:
        """Give SEC behind `journalctl -o short`, as it cannot read the journal.

        By a file, for SEC looks at a pipe ten times a second and would mostly wait.
        """
        if not self.available("sec", "journalctl"):
            return []
        reader = shlex.join(
            ["journalctl", "--directory", str(directory), "-q", "-o", "short", "_TRANSPORT=kernel"]
        )
        text = f"{directory}.txt"
        sec = shlex.join(["sec", *self._sec_options(), "--notail", f"--input={text}"])
        command = f"{reader} > {shlex.quote(text)} && {sec}"
        return [Program("journalctl -o short, sec", ("sh", "-c", command))]

    def _sec_options(self) -> list[str]:
        return [f"--conf={self._rule}", "--fromstart"]
