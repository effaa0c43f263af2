"""What this user does not want to be told of, in a file of the user's; every mute can be undone.

A name lies, so a mute of a program holds for what it was refused and no more; and what is critical
passes every mute.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from watcher.desktop.words import title
from watcher.errors import WatcherError
from watcher.fold import Key, key_of

MOST: Final = 200
"""Mutes kept; the oldest goes."""
_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Mute:
    """One mute: of what repeats as `key` does, or of all (None); until Epoch seconds, or for good.

    `text` is how a person knows it.
    """

    text: str
    key: Key | None = None
    until_s: float | None = None

    def lasts(self, now_s: float) -> bool:
        """Tell whether it still holds."""
        return self.until_s is None or now_s < self.until_s


class Mutes:
    """The mutes in a file. It is read again when it has changed: a command may undo one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "mutes.json"
        self._stamp: tuple[int, int] | None = None
        self._mutes: list[Mute] = []

    def mutes(self, now_s: float) -> list[Mute]:
        """Give those that hold, the oldest first."""
        self._look()
        return [each for each in self._mutes if each.lasts(now_s)]

    def muted(self, event: Mapping[str, Any], now_s: float) -> bool:
        """Tell whether an event is not to be shown."""
        if event["severity"] == "critical":
            return False
        key = key_of(event)
        return any(each.key in (None, key) for each in self.mutes(now_s))

    def add_program(self, event: Mapping[str, Any], now_s: float) -> None:
        """Mute this program for what it was refused."""
        self._add(Mute(title(event), key_of(event)), now_s)

    def add_today(self, now: datetime) -> None:
        """Mute all until the next midnight; `now` has the user's time zone."""
        tomorrow = (now + timedelta(days=1)).date()
        midnight = datetime.combine(tomorrow, datetime.min.time()).astimezone()
        self._add(Mute("everything", None, midnight.timestamp()), now.timestamp())

    def undo(self, which: str, now_s: float) -> list[Mute]:
        """Undo `all`, or the one of that number, from 1; give those undone. Raises WatcherError."""
        known = self.mutes(now_s)
        if which == "all":
            gone = known
        elif which.isdecimal() and 1 <= int(which[:9]) <= len(known):
            gone = [known[int(which) - 1]]
        else:
            raise WatcherError(f"no mute {which}; there are {len(known)}: notify --mutes")
        self._write([each for each in known if each not in gone])
        return gone

    def _add(self, mute: Mute, now_s: float) -> None:
        others = [each for each in self.mutes(now_s) if each.key != mute.key]
        self._write([*others, mute][-MOST:])

    def _look(self) -> None:
        try:
            found = self._path.stat()
            stamp = found.st_mtime_ns, found.st_ino
            if stamp == self._stamp:
                return
            self._stamp = stamp
            data = json.loads(self._path.read_bytes()[:_BYTES])
            self._mutes = [_mute(each) for each in data[:MOST]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._mutes = []  # none yet, or damaged: rather told too much than too little

    def _write(self, mutes: list[Mute]) -> None:
        data = [{"text": each.text, "key": each.key, "until_s": each.until_s} for each in mutes]
        write(self._path, json.dumps(data))


def _mute(data: Any) -> Mute:
    key, until = data["key"], data["until_s"]
    if key is None:
        return Mute(str(data["text"]), None, until and float(until))
    kind, what, comm = key
    return Mute(str(data["text"]), (kind, what, comm), until and float(until))


def write(path: Path, text: str) -> None:
    """Write a small file whole or not at all, for this user alone. Raises WatcherError."""
    fresh = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
            file.write(text.encode(errors="backslashreplace"))
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise WatcherError(f"{path} cannot be written: {error.strerror}") from error
