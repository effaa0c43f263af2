"""Manual pages in man(7): text in, lines out, so that both groff and mandoc are silent."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Final

_WIDTH: Final = 76
# What groff and mandoc would print as something else than was written: groff_char(7).
_ESCAPES: Final = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}
)


def escaped(text: str) -> str:
    """Give text as it stands: nothing in it is roff's."""
    return text.translate(_ESCAPES)


def bold(text: str) -> str:
    """Give text in bold."""
    return rf"\fB{escaped(text)}\fP"


def filled(text: str) -> list[str]:
    """Give one paragraph's text in short lines, none of which is a request."""
    whole = " ".join(escaped(text).split())
    lines = textwrap.wrap(whole, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [rf"\&{line}" if line.startswith(".") else line for line in lines]


def head(name: str, section: int, day: str, version: str, manual: str) -> list[str]:
    """Give the first line of a page; `day` is YYYY-MM-DD, as it stands (mandoc reads it)."""
    words = [escaped(each) for each in (name.upper(), str(section))]
    words += [day, escaped(f"lockdown-watcher {version}"), escaped(manual)]
    return [".TH " + " ".join(f'"{word}"' for word in words)]


def section(title: str) -> list[str]:
    """Give a section's title."""
    return [f".SH {escaped(title)}"]


def subsection(title: str, text: str) -> list[str]:
    """Give a subsection's title and first paragraph."""
    return [f'.SS "{escaped(title)}"', *filled(text)]


def paragraph(text: str) -> list[str]:
    """Give a paragraph of prose."""
    return [".PP", *filled(text)]


def literal(lines: Iterable[str]) -> list[str]:
    """Give lines as they stand, indented."""
    kept = [rf"\&{escaped(line)}" if line else "" for line in lines]
    return [".PP", ".RS 4", ".nf", *kept, ".fi", ".RE"]


def item(term: str, *texts: str) -> list[str]:
    """Give a term and what there is to say of it, a paragraph each."""
    first, *more = texts or ("",)
    lines = [".TP", bold(term), *filled(first)]
    for text in more:
        lines += [".IP", *filled(text)]
    return lines
