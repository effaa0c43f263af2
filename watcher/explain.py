"""What a line, a reason or an error text means, from the catalogue alone."""

from __future__ import annotations

from typing import NamedTuple

from watcher.lockdown import REASONS, WORDINGS, Finding, Reason
from watcher.lockdown.complaints import Complaint, complaint


class Explanation(NamedTuple):
    """A title, what it means, what to do, and facts by name."""

    title: str
    paragraphs: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


def explain(text: str) -> Explanation | None:
    """Explain a kernel line in any frame, a reason by id or words, or what a program printed."""
    if reason := _reason(text):
        return _of_reason(reason)
    # What reads lines takes a third of the time, and no reason's name is a line as well.
    from watcher.detect import judge
    from watcher.sources.text import record_of_line

    record = record_of_line(text)
    if record and (found := judge(record)):
        return _line(found)
    row = complaint(text)
    return _complaint(row) if row else None


def nearest(text: str) -> list[str]:
    """Give the reasons whose names come closest to `text`."""
    import difflib

    names = {**{w.text.lower(): w.reason for w in WORDINGS}, **{r: r for r in REASONS}}
    found = difflib.get_close_matches(text.strip().lower(), names, n=3, cutoff=0.5)
    return list(dict.fromkeys(names[name] for name in found))


def beginning_with(text: str) -> list[str]:
    """Give the ids of the reasons that begin with `text`, for the shell to complete."""
    return [reason for reason in REASONS if reason.startswith(text)]


def _reason(text: str) -> Reason | None:
    wanted = text.strip().lower().removesuffix(" is restricted")
    by_name = {w.text.lower(): w.reason for w in reversed(WORDINGS)}
    for name in (wanted, wanted.replace(" ", "_").replace("-", "_")):
        found = REASONS.get(name) or REASONS.get(by_name.get(name, ""))
        if found:
            return found
    return None


def _line(found: Finding) -> Explanation:
    facts = [
        ("kind", found.kind),
        ("reason", found.reason),
        ("process", found.comm),
        ("cause", found.cause),
        ("level", found.level and f"{found.level} (the lowest that explains it)"),
        ("wording of", found.lineage),
        ("denials not logged", None if found.suppressed is None else str(found.suppressed)),
        ("read in", found.read),
    ]
    more = _reason_facts(REASONS[found.reason]) if found.reason else []
    notes = [("note", warning) for warning in found.warnings]
    known = [(name, value) for name, value in facts if value is not None]
    return Explanation(found.title, (found.meaning, found.instead), (*known, *more, *notes))


def _of_reason(reason: Reason) -> Explanation:
    words = [
        f'"{w.text}" ({w.since} {f"to {w.until}" if w.until else "on"})'
        for w in WORDINGS
        if w.reason == reason.id
    ]
    facts = [("reason", reason.id), ("kernels say", "; ".join(words)), *_reason_facts(reason)]
    level = f"Refused from lockdown level {reason.level} on." if reason.level else ""
    title = f"{reason.what}: refused under lockdown"
    return Explanation(
        title, tuple(filter(None, (reason.meaning, level, reason.instead))), tuple(facts)
    )


def _reason_facts(reason: Reason) -> list[tuple[str, str]]:
    until = f" to {reason.until}" if reason.until else " on"
    return [
        ("operation", reason.operation),
        ("error", reason.errno),
        ("kernels", f"{reason.since}{until}"),
        ("usual programs", ", ".join(reason.programs.split()) or "none known"),
    ]


def _complaint(row: Complaint) -> Explanation:
    paragraphs = [row.meaning]
    if row.reasons:
        paragraphs.append("See also: lockdown-watcher explain " + " | ".join(row.reasons))
    return Explanation(row.title, tuple(paragraphs), ())
