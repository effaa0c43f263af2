"""A diagnosis for people, verdict first, or as one JSON object."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import click

from watcher.diagnose import Diagnosis, Weighed
from watcher.diagnose.probed import Step
from watcher.diagnose.witnessed import Witnessed
from watcher.event import rfc3339
from watcher.posture import Denial
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


class Ran(Protocol):
    """What is told of a command that ran: signal None where it ended by itself."""

    command: list[str]
    status: int
    signal: int | None
    seconds: float


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


# --- a command that ran under watch


def witnessed_object(found: Witnessed, seen: Ran) -> dict[str, Any]:
    """Give the object of `why -o json -- CMD`; without a failure there is no verdict in it."""
    return {
        **(diagnosis_object(found.diagnosis) if found.diagnosis else {"verdict": None}),
        "command": {
            "argv": seen.command,
            "status": seen.status,
            "signal": seen.signal,
            "seconds": round(seen.seconds, 3),
        },
        "own": [_denial(each) for each in found.own],
        "maybe": [_denial(each) for each in found.maybe],
        "earlier": [_denial(each) for each in found.earlier],
        "hidden": list(found.hidden),
    }


def _denial(each: Denial) -> dict[str, Any]:
    return {
        "reason": each.reason,
        "comm": each.comm,
        "line": each.text,
        "time": rfc3339(each.time_us),
    }


def render_witnessed(found: Witnessed, seen: Ran, *, as_json: bool) -> str:
    """Give the text to print, without a newline at its end."""
    if as_json:
        return json.dumps(witnessed_object(found, seen))
    width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))
    lines = [f"lockdown-watcher: {_how_it_ended(found, seen)}"]
    lines += _denials("refused to it", found.own, width)
    lines += _denials("refused meanwhile, maybe to it", found.maybe, width)
    lines += [line for text in found.hidden for line in _wrapped("  note: ", text, width)]
    lines += _denials("this kernel says each only once per boot; said before", found.earlier, width)
    answer = render(found.diagnosis, as_json=False) if found.diagnosis else ""
    return "\n".join(lines) + (f"\n\n{answer}" if answer else "")


_MOST_SHOWN: Final = 5


def _denials(head: str, denials: tuple[Denial, ...], width: int) -> Iterator[str]:
    counted = Counter(each.text for each in denials)
    for text, count in counted.most_common(_MOST_SHOWN):
        times = f" ({count}x)" if count > 1 else ""
        yield from _wrapped(f"  {head}: ", f"{text}{times}", width)
    if len(counted) > _MOST_SHOWN:
        yield f"  ... and {len(counted) - _MOST_SHOWN} more lines"


def _how_it_ended(found: Witnessed, seen: Ran) -> str:
    name = plain(seen.command[0])
    nothing = "" if found.own or found.maybe or found.hidden else "the kernel refused nothing"
    if seen.signal is None and not seen.status:
        how = "succeeded all the same" if found.own else "succeeded"
        return f"{name} {how}" + (f", and {nothing} meanwhile" if nothing else "")
    by = f"signal {seen.signal}" if seen.signal is not None else f"status {seen.status}"
    verdict = "" if found.diagnosis or not nothing else f"; {nothing} meanwhile: it is not lockdown"
    return f"{name} ended with {by}{verdict}"


# --- the kernel's own answers


def render_probed(found: Diagnosis, steps: Sequence[Step], *, as_json: bool) -> str:
    """Give the text to print for `why --probe`, without a newline at its end."""
    if as_json:
        asked = [{"step": s.name, "failed": s.failed, "verifier": s.said} for s in steps]
        return json.dumps({**diagnosis_object(found), "probe": asked})
    lines = [f"  {step.failed or 'ok':<8}{step.name}{_said(step)}" for step in steps]
    return "Asked the kernel:\n" + "\n".join(lines) + "\n\n" + render(found, as_json=False)


def _said(step: Step) -> str:
    """Give the verifier's last words but one: the last tells how much it has processed."""
    lines = [line for line in step.said.splitlines() if not line.startswith("processed ")]
    return f" ({plain(lines[-1])})" if step.failed and lines else ""
