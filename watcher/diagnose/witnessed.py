"""Which of the refusals logged while a command ran were its own. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from watcher.diagnose import Diagnosis, diagnose
from watcher.diagnose.judges import Judged
from watcher.diagnose.symptom import TOPICS, Symptom, Topic, of_reason, topic_of_program
from watcher.posture import Denial, Posture

BURST, BURST_US = 10, 5_000_000
"""The kernel logs ten denials in 5 s, of all programs together (6.1 and later)."""

_COMM = 15
"""Bytes of a process name (TASK_COMM_LEN less the NUL)."""


class Window(NamedTuple):
    """What was seen while a command ran.

    `unseen` says why the log could not be followed, or None; `lost` lines were overwritten;
    `signatures` are kind and text of what was said of modules and kernel images.
    """

    command: tuple[str, ...]
    succeeded: bool
    names: frozenset[str]
    denials: tuple[Denial, ...]
    signatures: tuple[tuple[str, str], ...] = ()
    suppressed: int = 0
    lost: int = 0
    unseen: str | None = None


class Witnessed(NamedTuple):
    """Refusals sorted by whose they were, and the diagnosis that follows, if one is called for.

    `earlier` are lines of this boot that cover later refusals, on kernels that print each once.
    """

    own: tuple[Denial, ...]
    maybe: tuple[Denial, ...]
    hidden: tuple[str, ...]
    earlier: tuple[Denial, ...]
    diagnosis: Diagnosis | None


def witnessed(window: Window, posture: Posture) -> Witnessed:
    """Sort the refusals of `window`, and say why the command failed if it did."""
    names = {*window.names, *named(window.command)}
    own = tuple(each for each in window.denials if each.comm in names)
    maybe = tuple(each for each in window.denials if each.comm not in names)
    hidden = tuple(_hidden(window, posture))
    earlier = _earlier(window, posture) if posture.kernel.is_older else ()
    sorted_ = Witnessed(own, maybe, hidden, earlier, None)
    return (
        sorted_
        if window.succeeded
        else sorted_._replace(diagnosis=_diagnosis(window, posture, sorted_))
    )


def named(command: Sequence[str]) -> set[str]:
    """Give process names that a command line itself mentions, also within `sh -c '...'`."""
    words = re.findall(r"[^\s;|&()<>\"'`]+", " ".join(command)[:20_000])
    return {word.rpartition("/")[2].encode()[:_COMM].decode(errors="ignore") for word in words}


def _hidden(window: Window, posture: Posture) -> list[str]:
    found = []
    if window.suppressed:
        found.append(f"the rate limit hid {window.suppressed} refusals, of whom it does not say")
    elif _limited(posture) and len(window.denials) >= BURST:
        found.append("the rate limit (10 in 5 s) was reached, so there may have been more")
    if window.lost:
        found.append(f"{window.lost} kernel lines were overwritten before they could be read")
    if window.unseen:
        found.append(f"the kernel log could not be followed ({window.unseen})")
    return found


def _limited(posture: Posture) -> bool:
    return not posture.kernel.version or posture.kernel.version >= (6, 1)


def _earlier(window: Window, posture: Posture) -> tuple[Denial, ...]:
    """Give the first line of each reason, of what the command is about if that is known."""
    topic = _topic(window)
    firsts = {each.reason: each for each in reversed(posture.log.denials)}
    wanted = topic.reasons if topic else tuple(firsts)
    return tuple(each for each in reversed(firsts.values()) if each.reason in wanted)


def _topic(window: Window) -> Topic | None:
    return next(filter(None, (topic_of_program(name) for name in _programs(window))), None)


def _programs(window: Window) -> list[str]:
    return [word.rpartition("/")[2] for word in window.command] + sorted(window.names)


_MEANWHILE: Final = "the kernel logged it while the command ran"


def _signature(window: Window) -> str | None:
    """Give the cause that a line about a signature tells of, unless the command is of other things.

    Such a line names no process, and under Secure Boot comes from IMA, in place of lockdown's.
    """
    if not window.signatures:
        return None
    id_ = window.signatures[0][0].partition(".")[0]
    topic = _topic(window)
    if topic and topic.id != id_:
        return None
    return "module_key" if id_ == "module" else "image_signature"


def _diagnosis(window: Window, posture: Posture, found: Witnessed) -> Diagnosis | None:
    if found.own:
        own = found.own[0]
        known = {"lockdown": Judged(True, f"{_MEANWHILE}: {own.text}")}
        return diagnose(of_reason(own.reason or ""), posture, known=known, proven="lockdown")
    if found.maybe:
        return diagnose(of_reason(found.maybe[0].reason or ""), posture)
    trouble = Symptom(" ".join(window.command)[:200], _topic(window))
    if cause := _signature(window):
        topic = TOPICS["module" if cause == "module_key" else "kexec"]
        known = {cause: Judged(True, f"{_MEANWHILE}: {window.signatures[0][1]}")}
        return diagnose(trouble._replace(topic=topic), posture, known=known, proven=cause)
    if found.earlier or found.hidden or not posture.kernel.has_levels:
        return diagnose(trouble, posture)
    # Since 5.4 every refusal is logged, or counted by the rate limit's own line.
    known = {"lockdown": Judged(False, "the kernel refused nothing while the command ran")}
    answer = diagnose(trouble, posture, known=known)
    return answer if answer.cause or trouble.topic else None
