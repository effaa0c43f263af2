"""How the machine stands, on one screen for people or as one JSON object."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

import click

from watcher.event import rfc3339
from watcher.lockdown.causes import CauseId
from watcher.posture import Area, Posture
from watcher.sinks.plain import plain

_MARKS: Final = {
    "works": ("works", "green"),
    "partly": ("partly", "yellow"),
    "blocked": ("blocked", "red"),
    "unknown": ("?", "white"),
    "absent": ("absent", "white"),
}
_HEADS: Final = {
    "none": ("NOT LOCKED DOWN", "yellow"),
    "locked": ("LOCKED DOWN", "green"),
    "integrity": ("LOCKED DOWN: integrity", "green"),
    "confidentiality": ("LOCKED DOWN: confidentiality", "green"),
    None: ("CANNOT BE SEEN", "red"),
}
_FROM: Final = {
    "kconfig": "as the kernel's configuration tells",
    "command_line": "as the command line asks",
    "log": "as the kernel log tells",
    "inferred": "as Secure Boot implies",
}
_WIDEST: Final = 90
_NARROWEST: Final = 40


def status_object(posture: Posture) -> dict[str, Any]:
    """Give the object of `status -o json` (design: Contract)."""
    standing, kernel, firmware = posture.standing, posture.kernel, posture.firmware
    return {
        "level": standing.level,
        "level_from": standing.level_from,
        "cause": standing.cause,
        "cause_from": standing.cause_from,
        "since": rfc3339(standing.since_us),
        "uefi": firmware.uefi,
        "secure_boot": firmware.secure_boot,
        "setup_mode": firmware.setup_mode,
        "shim_validation": firmware.shim_validation,
        "kernel": kernel.release,
        "lineage": kernel.lineage,
        "distribution": kernel.distribution,
        "lsm": list(kernel.lsm) if kernel.lsm is not None else None,
        "command_line": kernel.command_line,
        "blocked": list(posture.blocked),
        "areas": {area.id: {"state": area.state, "text": area.words} for area in posture.areas},
        "settings": _fields(posture.settings),
        "process": _fields(posture.process),
        "log": {
            "source": posture.log.source,
            "complete": posture.log.complete,
            "denials": dict(posture.log.reasons),
            "suppressed": posture.log.suppressed,
        },
        "contradictions": [{"id": each.id, "text": each.text} for each in posture.contradictions],
        "unseen": [{"what": u.what, "where": u.where, "why": u.why} for u in posture.all_unseen],
    }


def _fields(part: Any) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in part._asdict().items()}


def render(posture: Posture, *, as_json: bool) -> str:
    """Give the text to print, without a newline at its end."""
    if as_json:
        return json.dumps(status_object(posture))
    width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))
    blocks = [_head(posture), "\n".join(_told(posture, width)), "\n".join(_areas(posture, width))]
    blocks += ["\n".join(_notes("!", _texts(posture), width, "red"))]
    blocks += ["\n".join(_notes("unseen:", map(str, posture.all_unseen), width, "white"))]
    return "\n\n".join(block for block in blocks if block)


def _head(posture: Posture) -> str:
    words, colour = _HEADS[posture.level]
    how = _FROM.get(posture.standing.level_from or "")
    return click.style(words, fg=colour, bold=True) + (f" ({how})" if how else "")


_BY: Final[dict[CauseId, str]] = {
    "efi_secure_boot": "UEFI Secure Boot",
    "command_line": "the command line",
    "kconfig": "the kernel's build",
    "securityfs": "a write to securityfs at run time",
    "ipl": "Secure IPL",
    "power": "Power secure boot",
    "other": "what its announcement says",
}


def _local(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us / 1e6).astimezone():%Y-%m-%d %H:%M}"


def _told(posture: Posture, width: int) -> Iterator[str]:
    for name, value in _facts(posture):
        yield from _wrapped(f"{name + ':':<22}", value, width)


def _facts(posture: Posture) -> Iterator[tuple[str, str]]:
    kernel, process, standing = posture.kernel, posture.process, posture.standing
    if standing.cause:
        sure = (
            "" if standing.cause_from == "log" else " (inferred, for the log does not reach back)"
        )
        yield "by", _BY[standing.cause] + sure
    if posture.level not in (None, "none") and standing.since_us is not None:
        yield "since", _local(standing.since_us)
    yield "kernel", f"{kernel.release or 'unknown'} ({kernel.distribution or 'unknown'})"
    yield "Secure Boot", _secure_boot(posture)
    around = [process.container and f"in a container ({process.container})"]
    around.append("in a user name space" if process.user_namespace else None)
    if any(around):
        yield "seen from", ", ".join(filter(None, around)) + "; the kernel is the host's"
    if posture.log.source:
        yield "denials logged", _denials(posture)


def _secure_boot(posture: Posture) -> str:
    firmware = posture.firmware
    if firmware.uefi is False:
        return "no UEFI here"
    words = {True: "on", False: "off", None: "cannot be seen"}[firmware.secure_boot]
    if firmware.setup_mode:
        words += ", setup mode"
    if firmware.shim_validation is False:
        words += ", shim does not validate"
    return words


def _denials(posture: Posture) -> str:
    log = posture.log
    if not log.reasons:
        return "none" if log.complete else "none in what is left of the log"
    top = ", ".join(f"{reason} {count}x" for reason, count in log.reasons.most_common(4))
    hidden = f", {log.suppressed} more not logged" if log.suppressed else ""
    return f"{sum(log.reasons.values())} ({top}{hidden})"


def _areas(posture: Posture, width: int) -> Iterator[str]:
    shown = [area for area in posture.areas if area.state != "absent"]
    if posture.level is None:
        return
    yield from (_area(area, width) for area in shown)
    if absent := [area.name for area in posture.areas if area.state == "absent"]:
        yield from _wrapped(f"{'not built in':<22}", ", ".join(absent), width)


def _area(area: Area, width: int) -> str:
    word, colour = _MARKS[area.state]
    mark = click.style(f"{word:<8}", fg=colour)
    room = max(10, width - 30)
    lines = textwrap.wrap(plain(area.words), room) or [""]
    rows = [f"{area.name:<22}{mark}{lines[0]}", *(" " * 30 + line for line in lines[1:])]
    return "\n".join(row.rstrip() for row in rows)


def _texts(posture: Posture) -> Iterator[str]:
    yield from (each.text for each in posture.contradictions)


def _notes(mark: str, texts: Iterable[str], width: int, colour: str) -> Iterator[str]:
    for text in texts:
        head, *rest = _wrapped(f"{mark} ", text, width)
        yield "\n".join([click.style(mark, fg=colour) + head[len(mark) :], *rest])


def _wrapped(head: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        plain(text), width, initial_indent=head, subsequent_indent=" " * len(head),
        break_on_hyphens=False,
    )  # fmt: skip
