"""Merge adjacent gaps: one burst can leave thousands, and people want one with the whole count.

journald writes a "Missed N kernel messages" for each time it falls behind (3,900 in one burst
of 56,477 lines, measured on systemd 252).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from watcher.record import Gap

ADJACENT_US: Final = 5_000_000
"""Gaps of one cause no further apart than this are one."""

_FLOODED: Final = (
    "Denials may have happened in this stretch without an event. If it happens again,"
    " find what floods the kernel log, or make the ring buffer larger (log_buf_len=)."
)
ADVICE: Final[Mapping[str, str]] = {
    "journal_vacuumed": "Denials may have happened in this stretch without an event. If it happens"
    " again, let journald keep more (SystemMaxUse=, MaxRetentionSec= in journald.conf), or let this"
    " program run all the time.",
    "journal_damaged": "What such a file held cannot be read, and may have been a denial."
    " journalctl --verify tells more; a machine that lost power, a full disk or failing storage"
    " leave such files.",
    "journal_not_permitted": "What such a file holds is not seen. Run this as root, or as a member"
    " of the group systemd-journal.",
    "store_damaged": "The journal is read again as far back as it goes within a week, and sinks may"
    " get again, with the same id, what they had. A machine that lost power, a full disk or failing"
    " storage leave such a file; it was kept beside the new one.",
    "backlog_dropped": "A sink did not take its events for so long that the store was full. See"
    " `lockdown-watcher deliveries`; mend that sink, or raise max_mb. What is in the store still"
    " comes.",
}
"""What to do about a gap, by its cause; every other cause is a flood of lines."""

CAUSES: Final = (
    "kmsg_overrun",
    "kmsg_overwritten",
    "kmsg_overwritten_before_start",
    "journald_missed",
    *ADVICE,
)
"""All there are."""


def told(cause: str, count: int | None) -> tuple[str, str]:
    """Give what is missing, as a title, and what to do about it."""
    what = "events" if cause in {"store_damaged", "backlog_dropped"} else "kernel lines"
    advice = ADVICE.get(cause, _FLOODED)
    if count is None:
        return f"{what.capitalize()} may be missing", advice
    return f"{count} {what} are missing", advice


class GapMerger:
    """Holds back the latest gap until it is clear that no other follows on it."""

    def __init__(self) -> None:
        self._open: Gap | None = None

    @property
    def waiting(self) -> bool:
        """Tell whether a gap is held back."""
        return self._open is not None

    def add(self, gap: Gap) -> Gap | None:
        """Take a gap; give the one before it if that is finished."""
        if self._open and _adjacent(self._open, gap):
            self._open = _merged(self._open, gap)
            return None
        finished, self._open = self._open, gap
        return finished

    def passed(self, time_us: int | None) -> Gap | None:
        """Tell that a line of `time_us` was read; give the gap that this one has left behind."""
        end = self._open.to_us if self._open else None
        if end is None or time_us is None or time_us - end <= ADJACENT_US:
            return None
        return self.flush()

    def flush(self) -> Gap | None:
        """Give the gap held back, if any: the log is at its end or quiet."""
        finished, self._open = self._open, None
        return finished


def _adjacent(first: Gap, then: Gap) -> bool:
    if (first.cause, first.host, first.place.source) != (then.cause, then.host, then.place.source):
        return False
    if first.to_us is None or then.from_us is None:
        return False
    return abs(then.from_us - first.to_us) <= ADJACENT_US


def _merged(first: Gap, then: Gap) -> Gap:
    count = None if first.count is None or then.count is None else first.count + then.count
    return then._replace(from_us=first.from_us, count=count)
