"""JSON objects that hold one log line: dmesg's and docker's."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from watcher.patterns import late
from watcher.sources.frames import Framed, unframe
from watcher.sources.stamps import read_iso

_OF_DMESG: Final = frozenset(
    ("pri", "fac", "time", "caller", "msg", "priority", "facility", "subsystem", "device")
)
_OF_DOCKER: Final = frozenset(("log", "stream", "time", "attrs"))
"""Any other key is that of an application that writes `msg` or `log` too (zap, pino, bunyan)."""
_SECONDS: Final = late(r" *\d{1,8}(?:\.\d{1,9})?")
_LONGEST_UPTIME_S: Final = 10**8


def of_dmesg(found: dict[str, object]) -> Framed | None:
    """Read an element of dmesg --json (dmesg.c, print_record)."""
    message, level = found.get("msg"), found.get("pri")
    if not isinstance(message, str) or found.keys() - _OF_DMESG:
        return None
    frame = _time_frame(found.get("time"))
    if isinstance(level, str):
        frame = f"{found.get('fac', 'kern')}:{level}: {frame or ''}"
    elif isinstance(level, int) and not isinstance(level, bool):
        frame = f"<{level & 7}>{frame or ''}"
    elif frame is None:
        return None
    # util-linux 2.38 runs on into the next records when it reads a file.
    return unframe(frame + message.partition("\n<")[0], pasted=False)


def _time_frame(time: object) -> str | None:
    """Give a frame for dmesg's time: seconds, or an ISO date with a comma; None for another."""
    if isinstance(time, str) and _SECONDS.fullmatch(time):
        time = float(time)
    if isinstance(time, int | float) and not isinstance(time, bool):
        return f"[{time:.6f}] " if 0 <= time < _LONGEST_UPTIME_S else None
    if isinstance(time, str) and "," in time and read_iso(time, 0)[1] == len(time) > 0:
        return f"{time} "
    return None


def of_docker(found: dict[str, object]) -> Framed | None:
    """Read a line of docker's json-file driver."""
    text, time = found.get("log"), found.get("time")
    if not isinstance(text, str) or found.keys() - _OF_DOCKER or len(found) == 1:
        return None
    framed = unframe(text)
    if framed.stamp is None and isinstance(time, str):
        with suppress(ValueError):
            framed = framed._replace(stamp=read_iso(time, 0)[0])
    return framed
