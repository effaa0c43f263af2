"""A diagnosis for people, verdict first, or as one JSON object."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any, Final

import click

from watcher.diagnose import Diagnosis, Weighed
from watcher.sinks.plain import plain

_SURE: Final = {
    "certain": "certain",
    "high": "fairly sure",
    "medium": "probable",
    "low": "unsure",
}
_COLOURS: Final = {"lockdown": "red", "not_lockdown": "green", "unsure": "yellow"}
_MARKS: Final = {True: "yes", False: "no", None: "?"}
_WIDEST: Final = 90
_NARROWEST: Final = 40


def diagnosis_object(found: Diagnosis) -> dict[str, Any]:
    """Give the object of `why -o json` (design: Contract)."""
    topic = found.symptom.topic
    return {
        "verdict": found.verdict,
        "confidence": found.confidence,
        "cause": found.cause,
        "headline": found.headline,
        "topic": topic.id if topic else None,
        "errno": found.symptom.errno,
        "reason": found.symptom.reason,
        "causes": [
            {
                "id": each.id,
                "title": each.title,
                "holds": each.holds,
                "evidence": [each.evidence],
                "advice": list(each.advice),
            }
            for each in found.causes
        ],
        "do": list(found.do),
        "do_not": list(found.do_not),
        "notes": list(found.notes),
    }


def render(found: Diagnosis, *, as_json: bool) -> str:
    """Give the text to print, without a newline at its end."""
    if as_json:
        return json.dumps(diagnosis_object(found))
    width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))
    head = click.style(found.headline, fg=_COLOURS[found.verdict], bold=True)
    blocks = [f"{head} ({_SURE[found.confidence]})", "\n".join(_evidence(found, width))]
    blocks += ["\n".join(_list("What to do, safest first:", found.do, width))]
    blocks += ["\n".join(_list("What not to do:", found.do_not, width))]
    blocks += ["\n".join(_wrapped("", note, width)) for note in found.notes]
    return "\n\n".join(block for block in blocks if block)


def _evidence(found: Diagnosis, width: int) -> Iterator[str]:
    """The culprit first, then what holds too, what cannot be told, and what is ruled out."""
    rank = {True: 1, None: 2, False: 3}
    for each in sorted(found.causes, key=lambda c: 0 if c.id == found.cause else rank[c.holds]):
        yield from _cause(each, width)


def _cause(each: Weighed, width: int) -> Iterator[str]:
    head = f"  {_MARKS[each.holds]:<4}"
    yield from _wrapped(head, f"{each.title}: {each.evidence}", width)


def _list(head: str, texts: tuple[str, ...], width: int) -> Iterator[str]:
    if texts:
        yield head
    for number, text in enumerate(texts, 1):
        yield from _wrapped(f"  {number}. ", text, width)


def _wrapped(head: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        plain(text), width, initial_indent=head, subsequent_indent=" " * len(head),
        break_on_hyphens=False,
    )  # fmt: skip
