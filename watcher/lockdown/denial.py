"""Denials: "Lockdown: [comm: ]reason is restricted[;,] see ..." in every wording."""

from __future__ import annotations

from typing import Final

from watcher.lockdown.finding import CUT, Finding, comm_warnings
from watcher.lockdown.reasons import REASONS
from watcher.lockdown.tails import names_a_page, tail_state
from watcher.lockdown.templates import is_template
from watcher.lockdown.wordings import WORDINGS, Wording

_RESTRICTED: Final = " is restricted"
_ONCE_PER_BOOT: Final = (
    "Kernels before 5.4 print such a line at most once per boot and place, so later refusals are"
    " silent."
)
_BY_TEXT: Final = {w.text: w for w in reversed(WORDINGS)}
_BY_FOLDED: Final = {w.text.casefold(): w for w in reversed(WORDINGS)}
_LONGEST: Final = max(len(w.text) for w in WORDINGS)


def denial(text: str) -> Finding | None:
    """Read a text that begins with "Lockdown: "; None if it has not the form of a denial."""
    # The name may hold ": " and " is restricted" itself (15 bytes of anything but NUL, facts
    # of Linux 6.12: "Lockdown: evil: hib\n<0>x: hibernation is restricted"), so everything is
    # read from the right: the last " is restricted", then the longest known reason before it.
    head, frame, tail = text[len("Lockdown: ") :].rpartition(_RESTRICTED)
    if not frame:
        return None
    end = tail_state(tail)
    comm, wording = _split(head)
    if wording is None:
        # Words nobody knows count only in a frame that is whole; a format string is no line.
        return unknown(head) if end == "whole" and not _is_template(head) else None
    found = _denied(comm, wording, head, tail)
    if end == "cut":
        return found._replace(warnings=(*found.warnings, CUT))
    return found if end or names_a_page(tail) else None


def _is_template(head: str) -> bool:
    """Tell the kernel's own format and the man page's "X: Y" from a line."""
    name, colon, words = head.rpartition(": ")
    return is_template(words, name if colon else None)


def _split(head: str) -> tuple[str | None, Wording | None]:
    """Part `head` into process name and known wording; the longest wording wins."""
    if known := known_wording(head):
        return None, known
    start = max(0, len(head) - _LONGEST - len(": "))
    while (at := head.find(": ", start)) >= 0:
        if known := known_wording(head[at + 2 :]):
            return head[:at], known
        start = at + 1
    return None, None


def known_wording(text: str) -> Wording | None:
    """Find a wording, by its exact case if there is one."""
    return _BY_TEXT.get(text) or _BY_FOLDED.get(text.casefold())


def _denied(comm: str | None, wording: Wording, head: str, tail: str) -> Finding:
    reason = REASONS[wording.reason]
    mainline = wording.mainline and comm is not None
    meaning = reason.meaning
    if not mainline and reason.level is not None:
        meaning = f"{meaning} {_ONCE_PER_BOOT}"
    return Finding(
        kind="lockdown.denied",
        row=reason.id,
        title=f"{reason.what} was refused: the kernel is locked down",
        meaning=meaning,
        instead=reason.instead,
        reason=reason.id,
        text=head if comm is None else head[len(comm) + 2 :],
        level=reason.level if mainline else None,
        lineage=_denial_lineage(comm, mainline=mainline, wiki="wiki.debian.org" in tail),
        comm=comm,
        since=wording.since,
        until=wording.until,
        read=wording.read,
        warnings=comm_warnings(comm),
    )


def _denial_lineage(comm: str | None, *, mainline: bool, wiki: bool) -> str:
    if mainline:
        return "debian-5.4" if wiki else "mainline"
    if wiki:
        return "debian-4.19"
    return "fedora-4.14" if comm is None else "fedora-4.16"


def unknown(text: str) -> Finding:
    """Give the finding for words in a known frame that the catalogue lacks (promise 5)."""
    return Finding(
        kind="lockdown.unknown",
        row="unknown",
        title="The kernel's lockdown says something this catalogue does not know",
        meaning="The line has the form of a lockdown message, but its words are new or changed.",
        instead="Please report it, so that the next release explains it; the whole line is kept.",
        text=text,
    )
