"""The agent's loop: entries in, notes out, and what people press. It wakes for nothing else."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from watcher.desktop.board import Board, Note
from watcher.desktop.bus import Bus, Closed, Pressed, Server
from watcher.desktop.choice import Choice
from watcher.desktop.entries import Entries
from watcher.desktop.mutes import Mutes, write
from watcher.desktop.words import Event, for_server, program
from watcher.errors import WatcherError
from watcher.follow import Stop
from watcher.log import Say

GRACE_S: Final = 5.0
"""At login the desktop's own server gets so long to come before the bus may start one."""
RETRY_S: Final = 60.0
"""A server that did not come is looked for again so long after the next event."""
_NEVER: Final = float("inf")
_DEFAULT_IS_A_BUTTON: Final = ("Xfce Notify Daemon",)
"""Servers that show it as one (xfce4-notifyd 0.7.3), where others want a click on the note."""

Explain = Callable[[list[Event]], None]


class Agent:
    """Carries entries to the notification server until `stop` is requested.

    `position` is the file in which the place in the journal is kept.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - everything meets here
        self, entries: Entries, bus: Bus, choice: Choice, mutes: Mutes, position: Path,
        explain: Explain, say: Say,
    ) -> None:  # fmt: skip
        self._entries, self._bus, self._choice, self._mutes = entries, bus, choice, mutes
        self._position, self._explain, self._say = position, explain, say
        self._board = Board()
        self._saved: str | None = None
        self._server: str | None = None
        self._name = ""
        self._can: set[str] | None = None
        self._look_at_s = time.monotonic() + GRACE_S
        self._said: set[str] = set()

    def run(self, stop: Stop) -> None:
        """Run. Raises WatcherError where the bus or the journal is gone."""
        with selectors.DefaultSelector() as selector:
            selector.register(stop.socket, selectors.EVENT_READ)
            selector.register(self._bus, selectors.EVENT_READ)
            self._read(stop)
            self._board.begun()
            while not stop.requested:
                self._listen()
                self._show()
                self._save()
                self._wait(selector)
                stop.heard()
                self._read(stop)

    def _wait(self, selector: selectors.BaseSelector) -> None:
        # The journal's descriptor is another one after it was reopened.
        journal = self._entries.fileno()
        selector.register(journal, selectors.EVENT_READ)
        try:
            selector.select(self._due_s())
        finally:
            selector.unregister(journal)

    def _due_s(self) -> float | None:
        due = self._board.next_s()
        if due is None or (self._server and self._can is None):
            return None
        if self._can is None:
            due = self._look_at_s
        return max(0.0, due - time.monotonic()) if due < _NEVER else None

    def _read(self, stop: Stop) -> None:
        for event in self._entries.read():
            if stop.requested:
                break
            if self._choice.wants(event) and not self._mutes.muted(event, time.time()):
                self._board.add(event, time.monotonic())
                if self._look_at_s == _NEVER:
                    self._look_at_s = time.monotonic() + RETRY_S

    def _save(self) -> None:
        """Remember the place once all before it was shown: what was not is shown next time."""
        at = self._entries.position
        cursor = at.partition(" ")[2]
        if cursor == self._saved or not self._board.settled:
            return
        self._saved = cursor
        try:
            write(self._position, at)
        except WatcherError as error:
            self._say_once(f"{error}; what was shown is shown again at the next start")

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text, "warning")

    # --- to the server

    def _show(self) -> None:
        now = time.monotonic()
        if self._can is not None:
            for note in self._board.due(now):
                self._board.asked(note, now)
                self._send(note, self._can)
        elif not self._server and self._board.next_s() is not None and now >= self._look_at_s:
            # It may be one that the bus starts when it is wanted.
            self._look_at_s = _NEVER
            self._bus.capabilities(self._looked, start=True)

    def _looked(self, can: tuple[Any, ...] | None) -> None:
        if can is None:
            self._say_once("there is no notification server; notes are kept until one comes")

    def _send(self, note: Note, can: set[str]) -> None:
        def answered(number: tuple[Any, ...] | None) -> None:
            if number is None:
                self._board.failed(note, time.monotonic())
            else:
                self._board.shown(note, int(number[0]))

        said = note.words()
        body = for_server(said.body, markup="body-markup" in can)
        actions = _actions(note, self._name) if "actions" in can else []
        self._bus.show(note.id, (said.title, body), actions, said.urgency, answered)

    # --- from the server

    def _listen(self) -> None:
        for happened in self._bus.heard():
            if isinstance(happened, Server):
                self._met(happened.owner)
            elif note := self._board.by_id(happened.id):
                self._happened(note, happened)

    def _met(self, owner: str | None) -> None:
        """There is another server, or none: it knows nothing of the notes so far."""
        self._server, self._can = owner, None
        self._board.server_gone()

        def able(can: tuple[Any, ...] | None) -> None:
            # One that cannot say what it can do can show plain text, which all can.
            if self._server == owner:
                self._can = set(can[0] if can else ())

        def named(about: tuple[Any, ...] | None) -> None:
            self._name = str(about[0]) if about else ""

        if owner:
            self._bus.about(named)
            self._bus.capabilities(able, start=False)

    def _happened(self, note: Note, what: Closed | Pressed) -> None:
        if isinstance(what, Closed):
            self._board.closed(note, seen=what.seen)
            return
        if what.action == "mute":
            self._mute(lambda: self._mutes.add_program(note.last, time.time()))
            self._board.quiet(note)
        elif what.action == "today":
            self._mute(lambda: self._mutes.add_today(datetime.now().astimezone()))
            self._board.quiet()
        else:
            self._explain([thing.event for thing in note.things.values()])
        # dunst lets it stand, others do not.
        self._board.closed(note, seen=True)
        self._bus.take_away(what.id)

    def _mute(self, mute: Callable[[], None]) -> None:
        try:
            mute()
        except WatcherError as error:
            self._say_once(str(error))


def _actions(note: Note, server: str) -> list[str]:
    """Give keys and labels in turn; `default` is a click on the note itself."""
    actions = ["default", "Explain"]
    if server not in _DEFAULT_IS_A_BUTTON:
        actions += ["explain", "Explain"]
    if len(note.things) == 1 and program(note.last):
        actions += ["mute", "Mute this program"]
    return [*actions, "today", "Mute for today"]
