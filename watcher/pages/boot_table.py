"""The boots of a journal as a table for people or as JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import click

from watcher.boots import Boot
from watcher.event import rfc3339
from watcher.sinks.plain import plain

_BY: Final = {
    "efi_secure_boot": "Secure Boot",
    "command_line": "command line",
    "kconfig": "the build",
    "securityfs": "securityfs",
    "ipl": "Secure IPL",
    "power": "Power",
    "other": "other",
}


_HEAD: Final = ("", "BOOTED", "KERNEL", "LEVEL", "BY", "SECURE BOOT", "DENIALS", "LOST")


def boot_object(boot: Boot) -> dict[str, Any]:
    """Give the object of `boots -o json`."""
    log = boot.log
    return {
        "boot_id": boot.id,
        "first": rfc3339(boot.first_us),
        "last": rfc3339(boot.last_us),
        "kernel": boot.kernel,
        "level": boot.level,
        "cause": boot.cause,
        "secure_boot": boot.secure_boot,
        "complete": log.complete,
        "denials": dict(log.reasons),
        "programs": [
            {"reason": reason, "comm": comm, "count": count}
            for (reason, comm), count in log.programs.most_common(50)
        ],
        "lifted": rfc3339(log.lifted.time_us) if log.lifted else None,
        "suppressed": log.suppressed,
        "gaps": log.gaps,
        "lost": log.lost,
        "forged": log.kinds["lockdown.forged"],
        "changes": list(boot.changes),
    }


def render(boots: Sequence[Boot], *, as_json: bool) -> str:
    """Give the text to print, without a newline at its end."""
    if as_json:
        return "\n".join(json.dumps(boot_object(boot)) for boot in boots)
    rows: list[tuple[str, ...]] = [_HEAD]
    rows += [_row(boot, index - len(boots) + 1) for index, boot in enumerate(boots)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(rows[0], widths)]
    for boot, row in zip(boots, rows[1:], strict=True):
        lines += [_line(row, widths), *_notes(boot)]
    return "\n".join(lines)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()


def _row(boot: Boot, number: int) -> tuple[str, ...]:
    log = boot.log
    when = "?" if boot.first_us is None else f"{_local(boot.first_us):%Y-%m-%d %H:%M}"
    lost = f"{log.lost or '?'} lines" if log.gaps else ""
    return (
        str(number), when, plain(boot.kernel or "?"), _level(boot), _BY.get(boot.cause or "", ""),
        {"enabled": "on", "disabled": "off", "undetermined": "unclear"}.get(
            boot.secure_boot or "", "?" if not log.complete else "not told"),
        _denials(boot), lost,
    )  # fmt: skip


def _local(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us / 1e6).astimezone()


def _level(boot: Boot) -> str:
    if boot.level is None:
        return "?"
    return f"{boot.level}+" if boot.level == "integrity" else boot.level


def _denials(boot: Boot) -> str:
    log = boot.log
    top = ", ".join(f"{reason} {count}x" for reason, count in log.reasons.most_common(3))
    more = ", ..." if len(log.reasons) > 3 else ""  # noqa: PLR2004
    hidden = f" (+{log.suppressed} not logged)" if log.suppressed else ""
    return f"{top}{more}{hidden}"


def _notes(boot: Boot) -> Iterator[str]:
    for change in boot.changes:
        yield click.style(f"    ^ {plain(change)}", fg="yellow", bold=True)
    if not boot.log.complete:
        yield "    ^ its beginning is not in the journal, so level and Secure Boot may be unknown"
