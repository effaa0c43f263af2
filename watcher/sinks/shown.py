"""Events for a person at a terminal, or as JSON Lines for a pipe.

Apart from the sink, whose options need pydantic: `scan` and `watch` start without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import IO, Final

import click

from watcher.event import Event
from watcher.kinds import Severity
from watcher.sinks.plain import plain

_COLOURS: Final[dict[Severity, dict[str, object]]] = {
    "informational": {"fg": "cyan"},
    "low": {"fg": "blue"},
    "medium": {"fg": "yellow"},
    "high": {"fg": "red"},
    "critical": {"fg": "white", "bg": "red", "bold": True},
}
_SHOWN_WHOLE: Final = ("lockdown.forged", "lockdown.unknown", "rule.match", "watch.gap")
"""Kinds whose title cannot say what the line said."""

_WIDEST: Final = 100
_NARROWEST: Final = 40
_INDENT: Final = "    "


class JsonLines:
    """Writes one JSON object a line. Raises OSError as the stream does."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, event: Event) -> None:
        """Write one event."""
        self._stream.write(event.json_line() + "\n")


class Console:
    """Writes events for people. Raises OSError as the stream does."""

    def __init__(self, stream: IO[str], *, colour: bool, verbose: bool = False) -> None:
        self._stream = stream
        self._colour = colour
        self._verbose = verbose
        import shutil

        columns = shutil.get_terminal_size((_WIDEST, 24)).columns
        self._width = max(_NARROWEST, min(_WIDEST, columns))

    def write(self, event: Event) -> None:
        """Write one event: a headline, a line of advice, and with `verbose` all that is known."""
        self._stream.write(self._headline(event) + "\n")
        paragraphs = [event.advice] if self._verbose else [_short(event.advice)]
        if event.kind in _SHOWN_WHOLE and not self._verbose:
            paragraphs.insert(0, f"line: {event.message}")
        if self._verbose:
            paragraphs += [f"{name}: {value}" for name, value in _facts(event)]
        for paragraph in paragraphs:
            self._stream.write(self._wrapped(paragraph) + "\n")
        if self._verbose:
            self._stream.write("\n")

    def _headline(self, event: Event) -> str:
        severity = f" {event.severity} "
        if self._colour:
            severity = click.style(severity, **_COLOURS[event.severity])  # type: ignore[arg-type]
        comm = event.process.comm
        who = "" if comm is None else f"  (process: {plain(comm) or 'empty name'})"
        return f"{when(event)} {severity} {plain(event.title)}{who}"

    def _wrapped(self, text: str) -> str:
        import textwrap

        return textwrap.fill(
            plain(text),
            self._width,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_on_hyphens=False,
        )


def _short(advice: str) -> str:
    """Give the first sentence: the catalogue puts what matters most there."""
    head, stop, _ = advice.partition(". ")
    return head + "." if stop else advice


def when(event: Event) -> str:
    """Say when, in local time; or how long after boot, where the line has no date."""
    if event.time is not None:
        return f"{datetime.fromisoformat(event.time).astimezone():%Y-%m-%d %H:%M:%S}"
    if event.origin.monotonic_us is None:
        return "(no date)"
    return since_boot(event.origin.monotonic_us)


def since_boot(monotonic_us: int) -> str:
    """Say a time since boot (microseconds) as people do."""
    seconds = monotonic_us / 1_000_000
    if seconds < 0.001:  # noqa: PLR2004 - the kernel's clock has not started yet
        return "at boot"
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s after boot"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min after boot" if hours else f"{minutes} min {seconds} s after boot"
    )


def _facts(event: Event) -> Iterator[tuple[str, str]]:
    said, origin = event.lockdown, event.origin
    yield "line", event.message
    yield "kind", event.kind
    for name in ("reason", "cause", "level", "lineage", "suppressed"):
        if (value := getattr(said, name)) is not None:
            yield name, str(value)
    if event.process.pid is not None:
        yield "pid", str(event.process.pid)
    yield "believed", _TRUST[origin.trust]
    yield "read from", _place(event)
    if event.time_error_us:
        yield "time may be off by", f"{event.time_error_us / 1_000_000:g} s"
    yield from (("rule", f"{rule.title} [{rule.level}] {rule.id}") for rule in event.rules)
    yield from (("note", warning) for warning in event.warnings)
    yield "id", event.id


_TRUST: Final = {
    "kernel": "yes, the kernel wrote it",
    "injected": "no, a process wrote it",
    "unverified": "as far as a text file can be",
}


def _place(event: Event) -> str:
    origin = event.origin
    where = origin.file or origin.source
    if origin.line is not None:
        where = f"{where}, line {origin.line}"
    if origin.seq is not None:
        where = f"{where}, record {origin.seq}"
    return where if origin.cursor is None else f"{where}, cursor {origin.cursor}"
