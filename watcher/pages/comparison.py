"""What differs between two reports, for people or as JSON."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import click

from watcher.sinks.plain import plain

_WIDEST: Final = 100
_NARROWEST: Final = 40


class Differing(Protocol):
    """One thing that differs, what it is on either side, and what that means."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def a(self) -> str: ...  # noqa: D102
    @property
    def b(self) -> str: ...  # noqa: D102
    @property
    def means(self) -> str: ...  # noqa: D102


def render(found: Sequence[Differing], *, as_json: bool) -> str:
    """Give the text to print, without a newline at its end."""
    if as_json:
        rows = [
            {"id": each.id, "title": each.title, "a": each.a, "b": each.b, "means": each.means}
            for each in found
        ]
        return json.dumps({"differences": rows, "likely": found[0].id if found else None})
    if not found:
        return "Nothing differs that matters to lockdown or looks like it."
    width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))
    first, *rest = found
    lines = [click.style(f"The likely reason: {first.title}", bold=True), *_row(first, width)]
    if rest:
        lines += ["", "Also different:"]
    for each in rest:
        lines += [f"  {each.title}", *_row(each, width)]
    return "\n".join(lines)


def _row(each: Differing, width: int) -> Iterator[str]:
    for name, value in (("A", each.a), ("B", each.b)):
        yield from _wrapped(f"    {name}: ", value, width)
    if each.means:
        yield from _wrapped("       ", each.means, width)


def _wrapped(head: str, words: str, width: int) -> list[str]:
    return textwrap.wrap(
        plain(words), width, initial_indent=head, subsequent_indent=" " * len(head),
        break_on_hyphens=False,
    )  # fmt: skip
