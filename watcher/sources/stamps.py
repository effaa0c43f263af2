"""Dates and times of day in front of log lines, and what moment they mean.

Reading is pure; only a stamp without a zone needs the machine's time zone. Times are Epoch
microseconds.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

from watcher.patterns import late
from watcher.sources.months import month_of

YEAR_TAKEN: Final = "year taken from the file's date"
NOT_UNDERSTOOD: Final = "the date could not be understood"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US: Final = 86_400_000_000
_SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60_000_000


class Stamp(NamedTuple):
    """A date as written. `month` is None where its name is not understood.

    `year` is None where none is written, `zone` where the time is local. `epoch_us` stands
    alone, for stamps that are a number. `resolution_us` is how far the moment can be off.
    """

    month: int | None = None
    day: int = 0
    hour: int = 0
    minute: int = 0
    second: int = 0
    microsecond: int = 0
    year: int | None = None
    zone: str | None = None
    resolution_us: int = _SECOND_US
    epoch_us: int | None = None


class Moment(NamedTuple):
    """When it was: `time_us` is None where nobody can tell, `error_us` the resolution."""

    time_us: int | None = None
    error_us: int = 0
    warnings: tuple[str, ...] = ()


# --- reading

_ZONES: Final = {
    **dict.fromkeys(("Z", "UTC", "GMT", "WET"), 0),
    **dict.fromkeys(("CET", "WEST", "MEZ"), 60),
    **dict.fromkeys(("CEST", "EET", "SAST", "MESZ"), 120),
    **dict.fromkeys(("EEST", "MSK"), 180),
    "HKT": 480,
    "AWST": 480,
    "JST": 540,
    "KST": 540,
    "AEST": 600,
    "AEDT": 660,
    "NZST": 720,
    "NZDT": 780,
    "EDT": -240,
    "EST": -300,
    "CDT": -300,
    "MDT": -360,
    "MST": -420,
    "PDT": -420,
    "PST": -480,
    "AKDT": -480,
    "AKST": -540,
    "HST": -600,
}
"""Minutes east of Greenwich, where a name has one meaning or one that is far more usual."""
_CLOCK: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?"
_HALF: Final = r"(?: (?P<half>[AP]M)\b)?"
_MONTH: Final = r"(?P<month>(?:(?:Thg|de) )?[^\W\d_][^\s:<>|\[\]]{0,15}|\d{1,2} ?[月월])"
_ISO: Final = late(
    r"(?P<year>\d{4})[-/](?P<month>\d\d)[-/](?P<day>\d\d)[T ]" + _CLOCK + r"(?P<zone> ?Z"
    r"| ?[+-]\d\d:?\d\d| (?:UTC|GMT)\b)?(?=[\s\]]|$)"
)
# journalctl short-full (logs-show.c, format_timestamp_style): weekday, ISO date, zone.
_FULL: Final = late(
    r"[^\s\d\[\]<>:]{1,16} (?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d) " + _CLOCK + r" "
    r"(?P<zone>[A-Z]{2,5}|[+-]\d\d(?:\d\d)?)(?=[\s\]]|$)"
)
# RFC 3164, also with a weekday and a year: dmesg -T, ctime, OpenWrt's logread.
_SYSLOG: Final = late(
    r"(?:(?P<year0>\d{4}) {1,2})?(?:[^\s\d\[\]<>:]{1,16} {1,2})??" + _MONTH + r" {1,2}"
    r"(?P<day>\d{1,2})\.?,? (?:(?P<year>\d{4}) )?"
    + _CLOCK
    + _HALF
    + rf"(?: (?P<zone>{'|'.join(_ZONES)}))?"
    r"(?: (?P<year2>(?:19|20)\d\d))?(?=[\s\]]|:\s|$)"
)
_DAY_FIRST: Final = late(
    r"(?P<day>\d{1,2})\.? (?P<month>[^\W\d_][^\s:<>|\[\]]{1,15}) (?:(?P<year>\d{4}) )?"
    + _CLOCK
    + _HALF
    + r"(?=[\s\]]|$)"
)
# dmesg --reltime (dmesg.c, short_ctime: %b%e %H:%M).
_RELTIME: Final = late(
    r"(?P<month>[^\W\d_][^\s:<>|\[\]\d]{0,15}|\d{1,2}[月월]) {0,2}(?P<day>\d{1,2})"
    r" (?P<hour>\d\d):(?P<minute>\d\d)(?=\])"
)
_UNIX: Final = late(r"(?P<seconds>\d{9,11})\.(?P<fraction>\d{3,9})(?= )")
_TIME_OF_DAY: Final = late(r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?=[\s\]])")


def read_iso(text: str, at: int) -> tuple[Stamp | None, int]:
    """Read an ISO 8601 date with time at `at`; gives where it ends."""
    return _read(_ISO, text, at)


def read_full(text: str, at: int) -> tuple[Stamp | None, int]:
    """Read journalctl's `Tue 2024-06-11 15:36:29 CEST`."""
    return _read(_FULL, text, at)


def read_syslog(text: str, at: int) -> tuple[Stamp | None, int]:
    """Read `Jun 11 15:36:29`, in any language, with or without weekday and year."""
    pattern = _DAY_FIRST if _DAY_FIRST.match(text, at) else _SYSLOG
    return _read(pattern, text, at)


def read_reltime(text: str, at: int) -> tuple[Stamp | None, int]:
    """Read dmesg's `Jun11 15:36`, to the minute, before a bracket."""
    return _read(_RELTIME, text, at)


def read_unix(text: str, at: int) -> tuple[Stamp | None, int]:
    """Read journalctl's short-unix, `1718120189.082983`."""
    match = _UNIX.match(text, at)
    if not match:
        return None, at
    return epoch_stamp(match["seconds"], match["fraction"]), match.end()


def read_time_of_day(text: str, at: int) -> tuple[None, int]:
    """Skip `15:36:29`, which says nothing without a date."""
    match = _TIME_OF_DAY.match(text, at)
    return None, match.end() if match else at


def epoch_stamp(seconds: str, fraction: str) -> Stamp:
    """Give the stamp of seconds since the Epoch with decimals."""
    time_us = int(seconds) * _SECOND_US + _microseconds(fraction)
    return Stamp(epoch_us=time_us, resolution_us=_resolution(fraction))


def _read(pattern: re.Pattern[str], text: str, at: int) -> tuple[Stamp | None, int]:
    match = pattern.match(text, at)
    return (_stamp(match.groupdict()), match.end()) if match else (None, at)


def _stamp(part: dict[str, str | None]) -> Stamp:
    month, fraction = part["month"] or "", part.get("fraction")
    year = part.get("year") or part.get("year2") or part.get("year0")
    seconds = part.get("second")
    zone = part.get("zone")
    return Stamp(
        month=int(month) if month.isascii() and month.isdecimal() else month_of(month),
        day=int(part["day"] or 0),
        hour=_hour(int(part["hour"] or 0), part.get("half")),
        minute=int(part["minute"] or 0),
        second=int(seconds or 0),
        microsecond=_microseconds(fraction),
        year=int(year) if year else None,
        zone=zone.strip() if zone else None,
        resolution_us=_resolution(fraction) if seconds else _MINUTE_US,
    )


def _hour(hour: int, half: str | None) -> int:
    return hour if half is None else hour % 12 + 12 * (half == "PM")


def _microseconds(fraction: str | None) -> int:
    return int((fraction or "0").ljust(6, "0")[:6])


def _resolution(fraction: str | None) -> int:
    digits = len(fraction or "")
    return 0 if digits >= 6 else 10 ** (6 - digits)  # noqa: PLR2004 - digits of a microsecond


# --- what moment it was


def moment_of(stamp: Stamp | None, newest_us: int) -> Moment:
    """Tell when a stamp was; a missing year is the latest that is not after `newest_us` + 1 day."""
    if stamp is None:
        return Moment()
    if stamp.epoch_us is not None:
        return Moment(stamp.epoch_us, stamp.resolution_us)
    if stamp.month is None:
        return Moment(warnings=(NOT_UNDERSTOOD,))
    time_us, warnings = _dated(stamp) if stamp.year else _year_taken(stamp, newest_us)
    if time_us is None:
        return Moment(warnings=(NOT_UNDERSTOOD,))
    return Moment(time_us, stamp.resolution_us, warnings)


def _dated(stamp: Stamp) -> tuple[int | None, tuple[str, ...]]:
    offset, warnings = _offset(stamp.zone)
    return _epoch_us(stamp, stamp.year or 0, offset), warnings


def _year_taken(stamp: Stamp, newest_us: int) -> tuple[int | None, tuple[str, ...]]:
    offset, warnings = _offset(stamp.zone)
    latest_us = newest_us + _DAY_US
    latest = (_EPOCH + timedelta(microseconds=min(max(latest_us, 0), 10**17))).year
    # The 29th of February comes every fourth year, once in eight around a century.
    for year in range(latest + 1, latest - 9, -1):
        time_us = _epoch_us(stamp, year, offset)
        if time_us is not None and time_us <= latest_us:
            return time_us, (YEAR_TAKEN, *warnings)
    return None, ()


def _epoch_us(stamp: Stamp, year: int, offset: timezone | None) -> int | None:
    """Give Epoch microseconds; None for a day that never was. Without `offset`: local time."""
    try:
        moment = datetime(  # noqa: DTZ001 - the zone follows
            year,
            stamp.month or 0,
            stamp.day,
            stamp.hour,
            stamp.minute,
            min(stamp.second, 59),  # a leap second is the 60th
            stamp.microsecond,
        )
        aware = moment.replace(tzinfo=offset) if offset else moment.astimezone()
        return (aware - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError, OSError):
        return None


_NUMERIC: Final = late(r"([+-])(\d\d):?(\d\d)?")


def _offset(zone: str | None) -> tuple[timezone | None, tuple[str, ...]]:
    """Give a zone's offset; None is local time, with a warning where the name is unknown."""
    if zone is None or zone in time.tzname:
        return None, ()
    if match := _NUMERIC.fullmatch(zone):
        minutes = int(match[2]) * 60 + int(match[3] or 0)
        return _east(-minutes if match[1] == "-" else minutes)
    if zone in _ZONES:
        return _east(_ZONES[zone])
    return None, (f"the time zone {zone} is not known here, local time assumed",)


def _east(minutes: int) -> tuple[timezone | None, tuple[str, ...]]:
    try:
        return timezone(timedelta(minutes=minutes)), ()
    except ValueError:
        return None, ("the time zone could not be understood, local time assumed",)
