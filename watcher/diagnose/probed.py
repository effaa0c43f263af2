"""What the kernel's own answers to a probe mean. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from watcher.diagnose import Diagnosis, diagnose
from watcher.diagnose.judges import Judged
from watcher.diagnose.symptom import TOPICS, Symptom, symptom
from watcher.posture import Posture


class Step(NamedTuple):
    """One call, the errno it failed with (None: it went well), and what the verifier said."""

    name: str
    failed: str | None
    said: str


def probed(steps: Sequence[Step], posture: Posture) -> Diagnosis:
    """Diagnose from the first step that failed."""
    failed = next((step for step in steps if step.failed), None)
    if failed is None:
        return _nothing_refuses(posture)
    trouble = _trouble(failed)
    if failed.failed == "SIGSYS":
        caught = {"seccomp": Judged(True, "a filter killed the process that called bpf()")}
        return diagnose(trouble, posture, known=caught, proven="seccomp")
    if trouble.reason in posture.blocked:
        known = {"lockdown": Judged(True, f"the kernel itself answered: {failed.said}")}
        return diagnose(trouble, posture, known=known, proven="lockdown")
    return diagnose(trouble, posture)


def _trouble(step: Step) -> Symptom:
    told = symptom(f"bpf {step.said} {step.failed}")
    found = told or Symptom(step.name, TOPICS["bpf"])
    return found._replace(topic=TOPICS["bpf"], errno=step.failed)


def _nothing_refuses(posture: Posture) -> Diagnosis:
    words = "a map, a program and a helper that reads kernel memory were all accepted"
    answer = diagnose(
        Symptom("bpf", TOPICS["bpf"]), posture,
        known={each: Judged(False, words) for each in ("lockdown", "seccomp", "memlock")},
    )  # fmt: skip
    return answer._replace(
        verdict="not_lockdown",
        confidence="certain",
        cause=None,
        headline="BPF works here: nothing refuses it to this user.",
        do=(),
        do_not=(),
        notes=(),
    )
