"""An explanation as text for people or as JSON."""

from __future__ import annotations

import json
import shutil
import textwrap

import click

from watcher.explain import Explanation
from watcher.sinks.plain import plain

_WIDEST = 90
_NARROWEST = 40


def render(found: Explanation, *, as_json: bool) -> str:
    """Give the text to print, without a newline at its end."""
    if as_json:
        facts = [{"name": name, "value": value} for name, value in found.facts]
        text = {"title": found.title, "text": list(found.paragraphs), "facts": facts}
        return json.dumps(text)
    width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))
    blocks = [click.style(plain(found.title), bold=True)]
    blocks += [_wrapped(paragraph, width) for paragraph in found.paragraphs]
    if found.facts:
        blocks.append("\n".join(_fact(name, value, width) for name, value in found.facts))
    return "\n\n".join(blocks)


def _fact(name: str, value: str, width: int) -> str:
    head = f"  {name + ':':<20}"
    return _wrapped(value, width, head)


def _wrapped(text: str, width: int, head: str = "") -> str:
    return textwrap.fill(
        plain(text),
        width,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,  # hybrid-sleep.target is one word
    )
