"""The pure parts of the desktop agent: words, board, choice, mutes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.replay import PACK, kernel_record
from watcher.desktop.board import AGAIN_S, BURST, BURST_S, FORGET_S, NOTES, REFUSED_S, Board, Note
from watcher.desktop.choice import Choice
from watcher.desktop.entries import Entries, event_of
from watcher.desktop.mutes import MOST, Mutes
from watcher.desktop.words import LONGEST_TITLE, Thing, title, words
from watcher.detect import Detector
from watcher.errors import WatcherError
from watcher.lockdown import REASONS
from watcher.lockdown.tried import TRIED
from watcher.sources.journal_files import Where

MEM = "/dev/mem,kmem,port"


def event(comm: str = "dd", what: str = MEM) -> dict[str, Any]:
    """A denial, as the journal sink's JSON gives it."""
    text = f"Lockdown: {comm}: {what} is restricted; see man kernel_lockdown.7"
    return data(text)


def data(text: str) -> dict[str, Any]:
    """The event of a kernel line."""
    made: dict[str, Any] = json.loads(
        next(Detector(PACK).events(kernel_record(text, 1))).json_line()
    )
    return made


# --- words


def test_every_reason_has_its_sentence() -> None:
    """In the catalogue's order, so that one missing is seen at once."""
    assert list(TRIED) == list(REASONS)
    assert all(each[0].islower() and not each.endswith(".") for each in TRIED.values())


def test_a_name_is_harmless_and_short_whatever_it_is() -> None:
    """An older kernel's line may hold a longer one; nothing of it moves or hides text."""
    said = title(event("\x1b[2J\u202e" + "x" * 500))
    assert said.startswith("Blocked: \\x1b[2J\\u202exxx")
    assert len(said) <= LONGEST_TITLE
    assert title(data("Lockdown: " + MEM + " is restricted; see man kernel_lockdown.7")) == (
        "Blocked: a program tried to reach physical memory"
    )


def test_a_note_about_many_names_the_gravest_first() -> None:
    """Four lines, and how many more."""
    things = [Thing(event(f"p{at}"), at) for at in range(1, 7)]
    things.append(Thing(data("Lifting lockdown")))
    said = words(things, 10)
    assert said.title == "Kernel lockdown: 32 messages"
    lines = said.body.splitlines()
    assert lines[0] == "Lockdown was lifted: the kernel is no longer protected"
    assert lines[1] == "Blocked: p6 tried to reach physical memory (6 times)"
    assert lines[4] == "and 16 more"
    assert said.urgency == 2


# --- the board


def begun() -> Board:
    """A board that has read the past."""
    board = Board()
    board.begun()
    return board


def show(board: Board, now: float, number: int = 1) -> list[Note]:
    """Show all that is due, as a server does at once."""
    due = board.due(now)
    for at, note in enumerate(due):
        board.asked(note, now)
        board.shown(note, note.id or number + at)
    return due


def test_repeats_are_counted_in_the_same_note_ever_more_slowly() -> None:
    """After 1, 2, 4, ... seconds while it stands."""
    board = begun()
    board.add(event(), 0)
    (note,) = show(board, 0)
    for after in (1, 3, 7, 15):
        board.add(event(), after - 0.5)
        assert board.due(after - 0.1) == []
        assert board.next_s() == after
        assert show(board, after) == [note]
    assert note.words().body.startswith("5 times. Opening")
    assert note.id == 1


def test_a_closed_note_comes_back_late_and_with_what_is_new() -> None:
    """Who has closed it has seen what it said."""
    board = begun()
    for at in (0.0, 0.1):
        board.add(event(), at)
    (note,) = show(board, 0.2)
    board.closed(note, seen=True)
    board.add(event(), 5)
    assert board.due(100) == []
    assert board.due(0.2 + AGAIN_S) == [note]
    assert "times" not in note.words().body


def test_a_note_that_went_by_itself_keeps_its_count() -> None:
    """Nobody may have seen it."""
    board = begun()
    board.add(event(), 0)
    (note,) = show(board, 0)
    board.closed(note, seen=False)
    board.add(event(), 1)
    assert board.due(AGAIN_S) == [note]
    assert note.words().body.startswith("2 times. ")


def test_what_is_long_past_is_a_new_note() -> None:
    """And the old one is not kept for ever, however many there are."""
    board = begun()
    for at in range(NOTES * 2):
        board.add(event(f"p{at}"), at * BURST_S)
        for note in show(board, at * BURST_S, at + 1):
            board.closed(note, seen=True)
    assert len(board._notes) <= FORGET_S / BURST_S + 1


def test_notes_that_stand_for_ever_are_bounded() -> None:
    """A server that never closes one does not make it grow without end."""
    board = begun()
    for at in range(NOTES * 2):
        board.add(event(f"p{at}"), at * BURST_S)
        show(board, at * BURST_S, at + 1)
    assert len(board._notes) <= NOTES


def test_a_burst_is_one_note_and_ends() -> None:
    """After it, what happens has a note of its own again."""
    board = begun()
    for at in range(100):
        board.add(event(f"p{at}"), at / 100)
    due = show(board, 1)
    assert len(due) == BURST + 1
    assert due[-1].words().title == "Kernel lockdown: 97 messages"
    board.add(event("late"), 2 + BURST_S)
    (note,) = board.due(2 + BURST_S)
    assert note.words().title.startswith("Blocked: late tried")


def test_a_server_that_is_gone_is_told_all_again_that_was_under_way() -> None:
    """What stood there is not: it was seen, or will be counted on."""
    board = begun()
    board.add(event("a"), 0)
    show(board, 0)
    board.add(event("b"), 0)
    (note,) = board.due(0)
    board.asked(note, 0)
    assert not board.settled
    board.server_gone()
    assert board.due(0) == [note]
    assert note.id == 0


def test_a_refused_note_waits() -> None:
    """And is not settled meanwhile, so that the next run tells it."""
    board = begun()
    board.add(event(), 0)
    (note,) = board.due(0)
    board.asked(note, 0)
    board.failed(note, 1)
    assert board.next_s() == 1 + REFUSED_S
    assert not board.settled


def test_the_past_of_one_thing_is_its_own_note() -> None:
    """At login there may be but one program; its repeats are counted on in it."""
    board = Board()
    for _ in range(3):
        board.add(event(), 0)
    board.begun()
    (note,) = show(board, 0)
    assert note.words().body.startswith("3 times. ")
    board.add(event(), 5)
    assert board.due(5) == [note]


# --- choice


def test_the_rules_decide_and_without_one_the_severity() -> None:
    """A rule's watcher.notify; a forged line has none, a gap is not for people."""
    denied, forged = event(), event()
    rule = denied["rules"][0]["id"]
    forged |= {"rules": [], "kind": "lockdown.forged", "severity": "high"}
    gap = forged | {"kind": "watch.gap"}
    assert Choice("low", {rule: True}).wants(denied)
    assert not Choice("low", {rule: False}).wants(denied)
    assert Choice("low", {}).wants(denied)
    assert Choice("low", {}).wants(forged)
    assert not Choice("low", {}).wants(gap)
    assert not Choice("critical", {rule: True}).wants(denied)


def test_an_event_too_long_for_one_field_is_told_all_the_same() -> None:
    """Or whoever makes a line long enough would not be heard of."""
    found = event_of(
        {
            "LOCKDOWN_EVENT": '{"schema": 1, "id": "cut',
            "LOCKDOWN_KIND": "lockdown.forged",
            "LOCKDOWN_SEVERITY": "high",
            "MESSAGE": "A forged kernel line: and more",
        }
    )
    assert Choice("low", {}).wants(found)
    assert title(found) == "A forged kernel line"


@pytest.mark.parametrize("kept", ["5 s=x", "9" * 30 + " ", "9" * 30 + " s=x", "\0" * 40, "x"])
def test_a_damaged_place_in_the_journal_is_forgotten(kept: str, tmp_path: Path) -> None:
    """A power cut may leave anything in the file; what comes from now on is shown."""
    entries = Entries("lockdown-watcher.service", Where(directory=str(tmp_path)), kept)
    assert list(entries.read()) == []
    entries.close()


# --- mutes


def test_a_mute_holds_for_one_program_and_what_it_was_refused(tmp_path: Path) -> None:
    """Names lie: another refusal of the same name is told, and all that is critical."""
    mutes = Mutes(tmp_path)
    mutes.add_program(event(), 0)
    assert mutes.muted(event(), 1)
    assert not mutes.muted(event("dd2"), 1)
    assert not mutes.muted(event("dd", "use of kprobes"), 1)
    assert not mutes.muted(event() | {"severity": "critical"}, 1)


def test_today_ends_at_midnight(tmp_path: Path) -> None:
    """The user's midnight."""
    mutes = Mutes(tmp_path)
    now = datetime.now(UTC).astimezone().replace(hour=23, minute=0, second=0, microsecond=0)
    mutes.add_today(now)
    assert mutes.muted(event(), now.timestamp() + 3599)
    assert not mutes.muted(event(), now.timestamp() + 3601)


def test_mutes_are_bounded_kept_and_undone(tmp_path: Path) -> None:
    """By number or all; a running agent sees it; a damaged file mutes nothing."""
    mutes, other = Mutes(tmp_path), Mutes(tmp_path)
    for at in range(MOST + 5):
        mutes.add_program(event(f"p{at}"), 0)
    assert len(other.mutes(0)) == MOST
    assert other.muted(event(f"p{MOST}"), 0)
    assert other.undo("1", 0)[0].text.startswith("Blocked: p5 ")
    assert not mutes.muted(event("p5"), 0)
    for which in ("0", "x", "999", "-1"):
        with pytest.raises(WatcherError, match="no mute"):
            other.undo(which, 0)
    other.undo("all", 0)
    assert mutes.mutes(0) == []
    (tmp_path / "mutes.json").write_text('[{"text": 1}]')
    assert Mutes(tmp_path).mutes(0) == []


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `notify` as a user would."""
    command = [sys.executable, "-m", "watcher", "notify", *arguments]
    given = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment}
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


def test_mutes_are_listed_and_undone_by_a_command(tmp_path: Path) -> None:
    """Numbered for people, JSON Lines in a pipe; a wrong number is one line and status 1."""
    home = {"XDG_STATE_HOME": str(tmp_path)}
    Mutes(tmp_path / "lockdown-watcher").add_program(event("\x1b[31m"), 0)
    shown = run("--mutes", "-o", "human", **home).stdout
    assert shown == "  1  Blocked: \\x1b[31m tried to reach physical memory\n"
    assert json.loads(run("--mutes", **home).stdout)["until"] is None
    wrong = run("--unmute", "7", **home)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert run("--unmute", "all", **home).returncode == 0
    assert run("--mutes", "-o", "human", **home).stdout == "nothing is muted\n"


def test_outside_a_session_it_says_one_line(tmp_path: Path) -> None:
    """No bus, a faulty configuration, options that exclude each other: no traceback."""
    home = {"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    (tmp_path / "config.toml").write_text("[desktop]\nunits = 1\n", "ascii")
    journal = ("--journal-dir", str(tmp_path))
    for arguments, status in (
        (journal, 1),
        ((*journal, "--config", str(tmp_path / "config.toml")), 2),
    ):
        done = run(*arguments, **home)
        assert (done.returncode, done.stderr.count("\n")) == (status, 1), done.stderr
    assert run(*journal, "--namespace", "x", **home).returncode == 2
