"""How each peer is asked for the same thing; a peer that is not installed is told and left out."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench.environments import PINS, python_with
from tests.bench.measure import Program, lines, matched, shell
from watcher.sources.journal import KERNEL

_SEC_RULE: Final = """type=Single
ptype=RegExp
pattern=Lockdown:
desc=$0
action=write - %s
"""
_JQ: Final = 'select(.MESSAGE | startswith("Lockdown: "))'
_PYTHON: Final = (
    "import json, sys; [print(line, end='') for line in sys.stdin"
    " if json.loads(line)['MESSAGE'].startswith('Lockdown: ')]"
)
_FAIL2BAN: Final = r"Lockdown: <F-ID>\S+</F-ID>: "
_FAIL2BAN_HOME: Final = Path("/usr/lib/python3/dist-packages/fail2ban")


_HERE: Final = Path(__file__).parent
_ENGINES: Final = {
    "azuma": "with_azuma.py",
    "sigma-rule-matcher": "with_matcher.py",
    "sqlite": "with_sqlite.py",
}


class Peers:
    """Makes the programs to measure; names of those that are missing gather in `missing`."""

    def __init__(self, cache: Path) -> None:
        self.missing: set[str] = set()
        self._cache = cache
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

    def ours(self, *args: str, name: str | None = None, script: Path | None = None) -> Program:
        """Give our own command with `args`, without this user's own rules."""
        script = script or Path(sys.executable).with_name("lockdown-watcher")
        command = (str(script),) if script.exists() else (sys.executable, "-m", "watcher")
        home = {"XDG_CONFIG_HOME": str(self._home), "XDG_CACHE_HOME": str(self._home)}
        return Program(name or "lockdown-watcher", (*command, *args), lines, home)

    def plain_loop(self, directory: Path) -> Program:
        """Give the loop one would write first, with the same interpreter."""
        script = os.path.relpath(_HERE / "plain_loop.py")
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

    def pipes(self, directory: Path) -> list[Program]:
        """Give journalctl with what people put behind it."""
        found = []
        behind = {
            "grep": ("short", ("grep", "Lockdown: ")),
            "jq": ("json", ("jq", "-c", _JQ)),
            "python -c": ("json", (sys.executable, "-c", _PYTHON)),
        }
        for name, (output, argv) in behind.items():
            if self.available("journalctl", argv[0]):
                command = f"{_journalctl(directory, output)} | {shlex.join(argv)}"
                found.append(shell(f"journalctl -o {output}, {name}", command))
        return found

    def engines(self, directory: Path, rules: Sequence[Path], what: str) -> list[Program]:
        """Give the engines for Sigma rules, behind `journalctl -o json`."""
        found = []
        for name, script in _ENGINES.items():
            python = python_with(name, self._cache) if self.available("journalctl") else None
            if python is None:
                self.missing.add(name)
                continue
            run = [python, os.path.relpath(_HERE / "engines" / script), *map(str, rules)]
            command = f"{_journalctl(directory, 'json')} | {shlex.join(run)}"
            found.append(shell(f"{name}, {what}", command))
        return found

    def versions(self) -> str:
        """Give what runs beside us."""
        asked = (("jq", "--version"), ("grep", "--version"), ("sec", "--version"))
        told = [_first_words(*argv) for argv in (*asked, ("fail2ban-regex", "--version"))]
        pins = [pin for name, (pin, *_) in PINS.items() if name not in self.missing]
        return ", ".join([*filter(None, told), *pins])

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
        text = f"{directory}.txt"
        sec = shlex.join(["sec", *self._sec_options(), "--notail", f"--input={text}"])
        command = f"{_journalctl(directory, 'short')} > {shlex.quote(text)} && {sec}"
        return [shell("journalctl -o short, sec", command)]

    def _sec_options(self) -> list[str]:
        return [f"--conf={self._rule}", "--fromstart"]


def _journalctl(directory: Path, output: str) -> str:
    where = ("journalctl", "--directory", str(directory), "-q", "-o", output)
    return shlex.join([*where, "_TRANSPORT=kernel"])


def _first_words(*argv: str) -> str:
    """Give the first line of what a program says of its version; nothing if it is not there."""
    if shutil.which(argv[0]) is None:
        return ""
    told = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    return (told.splitlines() or [""])[0]
