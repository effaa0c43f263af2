"""The journal sink, into a real journald of our own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journal.real import Journald, build, entry, until
from tests.replay import events, kernel_record, parcels
from watcher.desktop.entries import Entries
from watcher.detect import Detector
from watcher.kinds import KINDS
from watcher.pack import load_pack
from watcher.sinks import journal as sinking
from watcher.sinks.journal import Options, message_id, open_sink
from watcher.sinks.sink import Retry
from watcher.sources.journal import KERNEL
from watcher.sources.journal_files import Where

# libsystemd knows one socket only, so its folder is laid over in a mount namespace of its own.
_SEND = """
import json, sys
from watcher.sinks.journal import Options, open_sink
from watcher.sinks.sink import Parcel
lines = json.load(sys.stdin)
sink = open_sink(Options(kind="journal"))
print(sink.deliver([Parcel(at, "x", line) for at, line in enumerate(lines)]))
"""


def send(journald: Journald, lines: list[str]) -> str:
    """Deliver events to `journald`; give the verdicts as text."""
    bind = f"mkdir -p /run/systemd/journal && mount --bind {journald.run} /run/systemd/journal"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{bind} && exec "$0" -c "$1"', sys.executable, _SEND],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_events_are_entries_with_fields(journald: Journald) -> None:
    """Each with its kind's MESSAGE_ID, priority and fields; a hostile name stays data."""
    detector = Detector(load_pack())
    name = "a\nPRIORITY=0\x1b["
    text = f"Lockdown: {name}: hibernation is restricted; see man kernel_lockdown.7"
    found = [*events(1), *detector.events(kernel_record(text, 7))]
    assert send(journald, [event.json_line() for event in found]) == "[Delivered(), Delivered()]\n"
    entries = until(lambda: _entries(journald, found[1].id), "the entry")
    assert len(entries) == 1
    entry = entries[0]
    assert entry["MESSAGE_ID"] == message_id("lockdown.denied")
    assert entry["PRIORITY"] == "5"
    assert entry["SYSLOG_IDENTIFIER"] == "lockdown-watcher"
    assert entry["LOCKDOWN_REASON"] == "hibernation"
    assert _text(entry["LOCKDOWN_COMM"]) == name
    assert json.loads(_text(entry["LOCKDOWN_EVENT"]))["id"] == found[1].id


def _entries(journald: Journald, event: str) -> list[dict[str, object]]:
    out = journald.journalctl("-o", "json", "--all", f"LOCKDOWN_EVENT_ID={event}")
    return [json.loads(line) for line in out.splitlines()]


def _text(value: object) -> str:
    # journalctl gives a field with control characters as an array of bytes.
    return bytes(value).decode() if isinstance(value, list) else str(value)


def test_no_entry_of_ours_is_read_again() -> None:
    """What the watcher writes is none of the journal's entries that it reads: no loop."""
    fields = set(sinking.fields(parcels(events(1))[0].event))
    assert not any(set(alternative) <= fields for alternative in KERNEL)
    assert "SYSLOG_IDENTIFIER=lockdown-watcher" in fields


def test_no_journald_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """libsystemd says nothing where there is no socket; the sink does."""
    monkeypatch.setattr(sinking, "SOCKET", tmp_path / "none")
    verdicts = open_sink(Options(kind="journal")).deliver(parcels(events(2)))
    assert len(verdicts) == 2
    assert all(isinstance(each, Retry) for each in verdicts)


def test_every_kind_has_its_own_message_id() -> None:
    """They are for ever: catalogues and alerts name them."""
    assert len({message_id(kind) for kind in KINDS}) == len(KINDS)
    assert message_id("lockdown.denied") == "31fe239ae7a85f858e3c18527a09dc04"


def test_the_desktop_reads_what_it_writes(tmp_path: Path) -> None:
    """The daemon never judges its own events again; the agent reads them, our unit's alone."""
    event = events(1)[0]
    own = [tuple(each.split("=", 1)) for each in sinking.fields(json.loads(event.json_line()))]
    whole = [*own, ("LOCKDOWN_EVENT", event.json_line())]
    units = ("user@1000.service", "lockdown-watcher.service")
    entries = [
        entry(at, ("_SYSTEMD_UNIT", unit), *whole)  # type: ignore[arg-type]
        for at, unit in enumerate(units)
    ]
    build(tmp_path / "machine.journal", entries)
    agent = Entries(units[1], Where(directory=str(tmp_path)), "1 ")
    assert [each["id"] for each in agent.read()] == [event.id]
    agent.close()
