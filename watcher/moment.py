"""Points in time as people write them on a command line."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from watcher.errors import UsageError

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(
    r"-?\s*(\d{1,9})\s*(?:(s|m|h|d|w)|(s)ec(?:ond)?s?|(m)in(?:ute)?s?|(h)(?:ou)?rs?|(d)ays?|(w)eeks?)"
    r"(?:\s+ago)?"
)


def epoch_us(text: str, now: datetime) -> int:
    """Read `text` as Epoch microseconds; local time where it names no zone.

    Takes ISO 8601 (2026-11-23, 2026-11-23 18:00[:05], with Z or +01:00), 18:00 (today), @SECONDS,
    now, today, yesterday, and -2h, 30min, "3 days ago". Raises UsageError for anything else.
    """
    try:
        return round(_moment(text.strip().lower(), now).timestamp() * 1_000_000)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"{text!r} is no time: write 2026-11-23, '2026-11-23 18:00', 18:00, yesterday or -2h"
        ) from error


def _moment(text: str, now: datetime) -> datetime:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if text in named:
        return named[text]
    if text.startswith("@"):
        return datetime.fromtimestamp(float(text[1:]), now.tzinfo)
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[ago.lastindex or 0]]: int(ago[1])})
    if re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?", text):
        text = f"{now:%Y-%m-%d} {text:0>5}"
    # Without a zone this is local time by the rules of that day, daylight saving included.
    return datetime.fromisoformat(text.upper())
