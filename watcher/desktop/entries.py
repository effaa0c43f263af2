"""Our events as the daemon's journal sink wrote them, believed only if our own unit wrote them."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator, Mapping
from typing import Any, Final

from watcher.errors import SourceError
from watcher.kinds import KINDS, SEVERITIES
from watcher.record import Record
from watcher.rules.prefilter import Prefilter
from watcher.sources.journal import JournalSource, Span
from watcher.sources.journal_files import Where, own_folders

_IDENTIFIER: Final = "SYSLOG_IDENTIFIER=lockdown-watcher"


class NotPermittedError(SourceError):
    """This user may not read the system's journal; it says what to do."""


class Entries:
    """Follows the events of `unit` in a journal, from where an earlier run stopped.

    Raises SourceError, with what to do, where this user may not read the system's journal.
    """

    def __init__(self, unit: str, where: Where, after: str | None) -> None:
        if not where.directory and (unseen := not_permitted(where.namespace)):
            raise NotPermittedError(unseen)
        # Anybody can log our MESSAGE_ID and our fields; journald alone sets the unit.
        matches = ((f"_SYSTEMD_UNIT={unit}", _IDENTIFIER),)
        drained = (after or "").partition(" ")[0]
        since = int(drained) if drained.isdecimal() else None
        span = Span(since_us=since, after=after, only_new=after is None)
        try:
            self._source = JournalSource(Prefilter([None]), where, span, matches)
        except (ValueError, OverflowError):  # no position that was ever ours: begin at the end
            new = Span(only_new=True)
            self._source = JournalSource(Prefilter([None]), where, new, matches)

    @property
    def position(self) -> str:
        """Give how far it was read, for the next run."""
        return self._source.position

    def fileno(self) -> int:
        """Give the descriptor that becomes readable on a change; another one after `read`."""
        return self._source.fileno()

    def read(self) -> Iterator[dict[str, Any]]:
        """Give all events that are there now; never waits. Raises SourceError."""
        for batch in self._source.read():
            for item in batch:
                if isinstance(item, Record) and "LOCKDOWN_EVENT" in item.fields:
                    yield event_of(item.fields)

    def close(self) -> None:
        """Close the journal."""
        self._source.close()


def event_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """Give the event of an entry; of one too long to be read whole, what the fields say."""
    try:
        event: dict[str, Any] = json.loads(fields["LOCKDOWN_EVENT"])
        if event["schema"] == 1:
            return event
    except (ValueError, KeyError, TypeError):
        pass
    kind, severity = fields.get("LOCKDOWN_KIND"), fields.get("LOCKDOWN_SEVERITY")
    return {
        "id": fields.get("LOCKDOWN_EVENT_ID", ""),
        "time": fields.get("LOCKDOWN_TIME"),
        "kind": kind if kind in KINDS else "lockdown.unknown",
        "severity": severity if severity in SEVERITIES else "high",
        "title": fields.get("MESSAGE", "").partition(": ")[0],
        "message": fields.get("MESSAGE", ""),
        "lockdown": {"reason": fields.get("LOCKDOWN_REASON")},
        "process": {"comm": fields.get("LOCKDOWN_COMM")},
        "module": None,
        "advice": fields.get("LOCKDOWN_ADVICE", ""),
        "rules": [],
        "warnings": [],
    }


def not_permitted(namespace: str | None) -> str | None:
    """Say what to do if this user may not read the system's journal; None if he may.

    libsystemd shows whoever may not an empty journal, or the user's own, and says nothing.
    """
    for folder in own_folders(namespace):
        if not folder.is_dir():
            continue
        files = [*folder.glob("system*.journal")]
        if os.access(folder, os.R_OK | os.X_OK) and all(os.access(f, os.R_OK) for f in files):
            continue
        return (
            "this user may not read the system's journal, where the events are: as an"
            f" administrator run  usermod -aG systemd-journal {_user()}  then log in again"
        )
    return None


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
