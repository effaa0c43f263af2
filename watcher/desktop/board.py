"""Which notes stand on the desktop, and when each is shown: repeats count in the same one. Pure.

Times are seconds of one clock that the caller reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from watcher.desktop.words import Event, Thing, Words, words
from watcher.fold import Key, key_of

UPDATE_S: Final = 1.0
"""A note that stands is counted up after this, then twice this, and so on up to AGAIN_S."""
AGAIN_S: Final = 300.0
"""A note that was closed comes back for repeats at the earliest after this."""
REFUSED_S: Final = 30.0
"""A note that the server did not take is tried again after this."""
BURST: Final = 3
BURST_S: Final = 10.0
"""More new notes than BURST within BURST_S are one note."""
THINGS: Final = 64
"""What one note can tell apart; more is counted."""
FORGET_S: Final = 600.0
"""A note that is closed and had no repeat for so long is forgotten: the next one is new."""
NOTES: Final = 256
_AT_ONCE: Final = float("-inf")


@dataclass(eq=False)
class Note:
    """One note: what it is about, and how it stands.

    `id` is the server's (0: none yet), `open` while it stands there, `asked` while the server
    is asked to show it, `news` if there is more to say than was shown, at `due_s` the earliest.
    """

    things: dict[Key, Thing] = field(default_factory=dict)
    more: int = 0
    id: int = 0
    open: bool = False
    asked: bool = False
    news: bool = False
    times: int = 0
    shown_s: float = 0.0
    due_s: float = _AT_ONCE
    heard_s: float = 0.0

    def lasts(self, now_s: float) -> bool:
        """Tell whether there is something to be shown, or was a short while ago."""
        return self.news or self.asked or now_s - self.heard_s < FORGET_S

    def add(self, key: Key, event: Event, now_s: float) -> None:
        """Count one more event."""
        if key in self.things:
            thing = self.things[key]
            thing.event, thing.count = event, thing.count + 1
        elif len(self.things) < THINGS:
            self.things[key] = Thing(event)
        else:
            self.more += 1
        self.news, self.heard_s = True, now_s

    @property
    def last(self) -> Event:
        """Give the latest event of the thing that stands last."""
        return next(reversed(self.things.values())).event

    def words(self) -> Words:
        """Say what nobody has seen to yet."""
        return words([each for each in self.things.values() if each.count], self.more)


class Board:
    """All notes. At first it gathers everything in one, until `begun`."""

    def __init__(self) -> None:
        self._notes: dict[Key, Note] = {}
        self._crowd: Note | None = Note()
        self._gathering = True
        self._new: list[float] = []

    def add(self, event: Event, now_s: float) -> None:
        """Take in an event that is to be shown."""
        key = key_of(event)
        note = self._notes.get(key) or self._common(key, now_s) or self._fresh(key, now_s)
        note.add(key, event, now_s)

    def begun(self) -> None:
        """The past is read: from now on what happens has a note of its own."""
        self._gathering = False
        crowd, self._crowd = self._crowd, None
        if crowd and len(crowd.things) == 1 and not crowd.more:
            self._notes[next(iter(crowd.things))] = crowd
        elif crowd and crowd.things:
            self._crowd = crowd

    def _common(self, key: Key, now_s: float) -> Note | None:
        """Give the note about many, while there is a crowd or this very thing is in it."""
        self._new = [at for at in self._new if at > now_s - BURST_S]
        crowd = self._crowd
        if crowd is None or not (self._gathering or crowd.lasts(now_s)):
            return None
        goes_on = self._gathering or now_s - crowd.heard_s < BURST_S
        return crowd if goes_on or key in crowd.things else None

    def _fresh(self, key: Key, now_s: float) -> Note:
        if len(self._new) < BURST:
            self._new.append(now_s)
            self._forget(now_s)
            self._notes[key] = Note()
            return self._notes[key]
        if self._crowd is None or not self._crowd.lasts(now_s):
            self._crowd = Note()
        return self._crowd

    def _forget(self, now_s: float) -> None:
        old = [key for key, note in self._notes.items() if not (note.open or note.lasts(now_s))]
        for key in old or list(self._notes)[: max(0, len(self._notes) - NOTES + 1)]:
            del self._notes[key]

    # --- showing

    def due(self, now_s: float) -> list[Note]:
        """Give the notes that are to be shown now."""
        return [note for note in self._waiting() if note.due_s <= now_s]

    def next_s(self) -> float | None:
        """Tell when the next note is to be shown; None if there is no news."""
        return min((note.due_s for note in self._waiting()), default=None)

    @property
    def settled(self) -> bool:
        """Tell whether all that was taken in has been shown."""
        return not any(note.news or note.asked for note in self._all())

    def _waiting(self) -> Iterator[Note]:
        return (note for note in self._all() if note.news and not note.asked)

    def _all(self) -> Iterator[Note]:
        yield from self._notes.values()
        if self._crowd:
            yield self._crowd

    # --- what the server says

    def by_id(self, number: int) -> Note | None:
        """Give the note a server has given this number."""
        return next((note for note in self._all() if number and note.id == number), None)

    def asked(self, note: Note, now_s: float) -> None:
        """It is being shown, with all its news."""
        note.asked, note.news, note.shown_s = True, False, now_s
        note.due_s = now_s + min(AGAIN_S, UPDATE_S * 2.0 ** min(note.times, 16))
        note.times += 1

    def shown(self, note: Note, number: int) -> None:
        """The server has it, under this number."""
        note.asked, note.open, note.id = False, True, number

    def failed(self, note: Note, now_s: float) -> None:
        """The server did not take it: it has news still."""
        note.asked, note.news, note.open, note.id = False, True, False, 0
        note.times, note.due_s = 0, now_s + REFUSED_S

    def closed(self, note: Note, *, seen: bool) -> None:
        """It is gone from the screen; `seen`: somebody closed it, so what it said is told."""
        note.open, note.due_s = False, note.shown_s + AGAIN_S
        if seen and not note.news:
            note.more = 0
            for thing in note.things.values():
                thing.count = 0

    def quiet(self, note: Note | None = None) -> None:
        """Somebody wants to hear no more of it, or of anything: its news are none."""
        for each in (note,) if note else self._all():
            each.news = False

    def server_gone(self) -> None:
        """No note stands any more; what was under way or refused is to be shown at once."""
        for note in self._all():
            if note.asked or (note.news and not note.id):
                note.asked, note.news, note.times, note.due_s = False, True, 0, _AT_ONCE
            note.open, note.id = False, 0
