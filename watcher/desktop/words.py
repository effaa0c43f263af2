"""What a note says: a title and a body for people, out of one event or many. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from watcher.kinds import SEVERITIES, Severity
from watcher.lockdown.tried import sentence
from watcher.sinks.plain import plain

Event = Mapping[str, Any]

LONGEST_TITLE: Final = 120
LONGEST_BODY: Final = 400
LISTED: Final = 4
"""Things that a note about many names; the rest is counted."""
_SAYS_LITTLE: Final = ("lockdown.forged", "lockdown.unknown", "rule.match")
"""Kinds whose title cannot say what the line said."""
_URGENCY: Final[Mapping[str, int]] = {"critical": 2, "high": 1, "medium": 1}


@dataclass
class Thing:
    """Something that happened, once or more: its last event, and how often."""

    event: Event
    count: int = 1


@dataclass(frozen=True)
class Words:
    """What a server is to show: plain text, nothing in it is markup."""

    title: str
    body: str
    urgency: int


def title(event: Event) -> str:
    """Say in one harmless line what happened."""
    said = sentence(event["kind"], event["lockdown"]["reason"], program(event))
    if said:
        return said
    comm = program(event)
    return _short(event["title"], LONGEST_TITLE) + (f" ({comm})" if comm else "")


def program(event: Event) -> str:
    """Give the process's name as harmless text; nothing if the kernel named none."""
    return _short(event["process"]["comm"] or "", 60)


def words(things: Sequence[Thing], more: int) -> Words:
    """Word a note about `things`, at least one, and `more` events that are only counted."""
    urgency = _URGENCY.get(gravest(things), 0)
    if len(things) == 1 and not more:
        return Words(title(things[0].event), _counted(things[0]), urgency)
    count = sum(each.count for each in things) + more
    chief = sorted(things, key=_weight, reverse=True)[:LISTED]
    lines = [_times(each) for each in chief]
    if left := count - sum(each.count for each in chief):
        lines.append(f"and {left:,} more")
    return Words(f"Kernel lockdown: {count:,} messages", "\n".join(lines), urgency)


def gravest(things: Sequence[Thing]) -> Severity:
    """Give the severity of the gravest."""
    found: Severity = max((each.event["severity"] for each in things), key=SEVERITIES.index)
    return found


def _weight(thing: Thing) -> tuple[int, int]:
    return SEVERITIES.index(thing.event["severity"]), thing.count


def _times(thing: Thing) -> str:
    head = title(thing.event)
    return f"{head} ({thing.count:,} times)" if thing.count > 1 else head


def _counted(thing: Thing) -> str:
    # Not in the title: servers cut that off.
    said = _body(thing.event)
    return f"{thing.count:,} times. {said}" if thing.count > 1 else said


def _body(event: Event) -> str:
    first, stop, _ = event["advice"].partition(". ")
    says = _short(first + ("." if stop else ""), LONGEST_BODY)
    if event["kind"] in _SAYS_LITTLE:
        return f"{_short(event['message'], 200)}\n{says}"
    return says


def _short(text: str, most: int) -> str:
    # Bounded first: what is shortened is at most a few times longer once it is harmless.
    safe = plain(" ".join(text[: 2 * most].split(" ")))
    return safe if len(safe) <= most else f"{safe[: most - 3]}..."


def for_server(text: str, *, markup: bool) -> str:
    """Give a body as a server reads it: escaped where it knows markup, plain where not."""
    return escape(text, quote=False) if markup else text
