"""What the daemon says about itself: how grave it is stands in the journal, for -p to find."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.real import Journald, mark, until


@pytest.fixture
def stream(journald: Journald) -> Iterator[tuple[socket.socket, str]]:
    """A stream into the journal as systemd gives it to a service, and who it says it is."""
    name = mark()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.connect(str(journald.run / "stdout"))
        stream.sendall(f"{name}\n\n6\n1\n0\n0\n0\n".encode())
        yield stream, name


def entries(journald: Journald, name: str) -> dict[str, int]:
    """Give what `name` said, with its priority."""
    journald.sync()
    lines = journald.journalctl("-o", "json", f"SYSLOG_IDENTIFIER={name}").splitlines()
    found = [json.loads(line) for line in lines]
    return {entry["MESSAGE"]: int(entry["PRIORITY"]) for entry in found}


def test_the_journal_knows_how_grave_it_is(
    journald: Journald, stream: tuple[socket.socket, str], tmp_path: Path
) -> None:
    """Bad rules at a reload are an error, a changed configuration a warning, the rest is news."""
    into, name = stream
    config = tmp_path / "config.toml"
    config.write_text('[source]\nkind = "kmsg"\n')
    found = os.fstat(into.fileno())
    daemon = subprocess.Popen(
        [sys.executable, "-m", "watcher", "daemon", "--config", str(config)],
        env=os.environ
        | {
            "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}",
            "STATE_DIRECTORY": str(tmp_path / "state"),
            "CACHE_DIRECTORY": str(tmp_path / "cache"),
        },
        stdout=into.fileno(),
        stderr=into.fileno(),
    )

    def heard(priority: int, text: str) -> bool:
        told = entries(journald, name).items()
        return any(text in said and level == priority for said, level in told)

    try:
        until(lambda: heard(6, "0 sinks; the store is"), "the start")
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules" / "bad.yml").write_text("{")
        daemon.send_signal(signal.SIGHUP)
        until(lambda: heard(3, "the old rules and configuration stay"), "the refusal")
        (tmp_path / "rules" / "bad.yml").unlink()
        config.write_text('[source]\nkind = "kmsg"\n[store]\nkeep_days = 3\n')
        daemon.send_signal(signal.SIGHUP)
        until(lambda: heard(4, "config.toml has changed"), "the advice")
        assert heard(6, "rules loaded")
        # What ends it, too.
        config.write_text("nonsense")
        (tmp_path / "state" / "events.sqlite3").unlink()
        daemon.send_signal(signal.SIGHUP)
        assert daemon.wait(20) == 3
        assert heard(3, "was removed or replaced")
    finally:
        daemon.kill()
        daemon.wait()
    assert not [said for said in entries(journald, name) if said.startswith("<")]


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_elsewhere_the_level_is_a_word(level: str) -> None:
    """In a file it is a key; no escape of whatever was said reaches it, and it is one line."""
    code = "import sys; from watcher.log import logger; logger()(sys.argv[1], sys.argv[2])"
    for environ in ({}, {"JOURNAL_STREAM": "8:1"}):
        done = subprocess.run(
            [sys.executable, "-c", code, "it \x1b[2J is\ndown", level],
            env=os.environ | environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == f'level={level} event="it \\\\x1b[2J is\\ndown"\n'


def test_a_closed_stderr_is_no_journal() -> None:
    """A process that has none says nothing, and ends for nothing."""
    code = "import os; os.close(2); from watcher.log import mark; print([mark('error')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"['']\n"
