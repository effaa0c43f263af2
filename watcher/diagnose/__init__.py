"""Why something was refused: each possible cause held against this machine, the verdict first.

Pure: the trouble and the posture in, a diagnosis out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from watcher.diagnose.causes import CAUSES, ORDER
from watcher.diagnose.judges import Case, Judged
from watcher.diagnose.symptom import TOPICS, Symptom, of_reason, symptom, topic_of_program
from watcher.lockdown import REASONS
from watcher.posture import Posture

__all__ = [
    "CAUSES", "ORDER", "TOPICS", "Diagnosis", "Symptom", "Weighed", "diagnose", "of_reason",
    "symptom", "topic_of_program",
]  # fmt: skip

Verdict = Literal["lockdown", "not_lockdown", "unsure"]
Confidence = Literal["certain", "high", "medium", "low"]


class Weighed(NamedTuple):
    """One cause, whether it holds here (None: cannot be told), and by what evidence."""

    id: str
    title: str
    holds: bool | None
    evidence: str
    advice: tuple[str, ...]


class Diagnosis(NamedTuple):
    """The answer: `cause` is the id of what most likely refused, if one stands out."""

    verdict: Verdict
    confidence: Confidence
    cause: str | None
    headline: str
    symptom: Symptom
    causes: tuple[Weighed, ...]
    do: tuple[str, ...]
    do_not: tuple[str, ...]
    notes: tuple[str, ...] = ()


def diagnose(
    trouble: Symptom,
    posture: Posture,
    *,
    known: Mapping[str, Judged] | None = None,
    proven: str | None = None,
) -> Diagnosis:
    """Weigh every cause of `trouble`.

    `known` is what was learned otherwise of some causes; `proven` one caught in the act.
    """
    case = Case(trouble, posture)
    order = ORDER[trouble.topic.id if trouble.topic else None]
    weighed = tuple(_weighed(each, case, known or {}) for each in order)
    cause = proven or _culprit(weighed)
    verdict = _verdict(cause, weighed)
    unsure = verdict == "unsure"
    return Diagnosis(
        verdict,
        "certain" if proven else _confidence(verdict, cause, weighed, case),
        cause,
        _headline(verdict, cause),
        trouble,
        weighed,
        _TELL_MORE if unsure else _advice(cause, case),
        CAUSES[cause].never if cause and not unsure else (),
        _notes(cause, weighed, posture),
    )


def _weighed(name: str, case: Case, known: Mapping[str, Judged]) -> Weighed:
    row = CAUSES[name]
    judged = known.get(name) or row.judge(case)
    return Weighed(name, row.title, judged.holds, judged.evidence, _advice(name, case))


def _culprit(weighed: tuple[Weighed, ...]) -> str | None:
    """Give the first in the kernel's order that holds, or the only one left after elimination."""
    if found := next((each.id for each in weighed if each.holds), None):
        return found
    left = [each.id for each in weighed if each.holds is None and each.id not in _FAINT]
    return left[0] if len(left) == 1 else None


_FAINT: Final = frozenset({"selinux", "bios_lock", "not_built", "verifier", "memlock"})
"""Causes that can rarely be ruled out, so that ruling out the others does not convict them."""


def _verdict(cause: str | None, weighed: tuple[Weighed, ...]) -> Verdict:
    lockdown = next(each for each in weighed if each.id == "lockdown")
    if cause == "lockdown" and lockdown.holds:
        return "lockdown"
    if cause not in (None, "lockdown") or lockdown.holds is False:
        return "not_lockdown"
    return "unsure"


def _confidence(
    verdict: Verdict, cause: str | None, weighed: tuple[Weighed, ...], case: Case
) -> Confidence:
    if verdict == "unsure":
        return "low"
    lockdown = next(each for each in weighed if each.id == "lockdown")
    if cause is None:
        return "high" if case.posture.level == "none" else "medium"
    before = weighed[: [each.id for each in weighed].index(cause)]
    unsure = any(each.holds is None and each.id not in _FAINT for each in before)
    guessed = not next(each for each in weighed if each.id == cause).holds
    if cause == "lockdown" and any(case.posture.log.reasons[r] for r in case.symptom.reasons):
        return "high"
    both = cause != "lockdown" and lockdown.holds
    return "medium" if unsure or guessed or both else "high"


def _headline(verdict: Verdict, cause: str | None) -> str:
    if verdict == "lockdown":
        return "This is lockdown."
    if verdict == "unsure":
        return "It cannot be said from here whether this is lockdown."
    if cause is None:
        return "This is not lockdown; what it is cannot be seen from here."
    return f"This is not lockdown, it is {CAUSES[cause].title}."


def _advice(cause: str | None, case: Case) -> tuple[str, ...]:
    if cause != "lockdown":
        return CAUSES[cause].advice if cause else ()
    met = case.symptom.reasons if case.symptom.topic else ()
    rows = [REASONS[each] for each in met if each in case.posture.blocked]
    # Before 5.4 there is no integrity mode to go to.
    older = case.posture.level == "locked"
    fit = [row for row in rows if not (older and row.level == "confidentiality")]
    return tuple(dict.fromkeys(row.instead for row in fit))


_TELL_MORE: Final = (
    (
        "Say what was tried: lockdown-watcher why bpf (or module, kexec, msr, ...), or paste the"
        " whole message."
    ),
    "Let the program run under watch: lockdown-watcher why -- COMMAND ...",
)


def _notes(cause: str | None, weighed: tuple[Weighed, ...], posture: Posture) -> tuple[str, ...]:
    lockdown = next(each for each in weighed if each.id == "lockdown")
    notes = []
    if lockdown.holds and cause != "lockdown":
        notes.append("Lockdown comes next: with that out of the way it would refuse this too.")
    if posture.process.uid and cause in _OF_WHO_ASKS:
        notes.append(
            "This judges the user and shell you ask from. If the program ran by sudo or as a"
            " service, ask from there: sudo lockdown-watcher why ..."
        )
    return tuple(notes)


_OF_WHO_ASKS: Final = frozenset({"capability", "unprivileged_bpf_disabled", "perf_event_paranoid"})
