"""`why`: the trouble as people tell it, the verdict first, and what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from watcher.diagnose import CAUSES, ORDER, TOPICS, diagnose, symptom
from watcher.diagnose.symptom import MOST_TEXT
from watcher.posture import inspect

TREE = Path(__file__).parents[1]
HOSTS = TREE / "tests/hosts"


def why(*args: str) -> subprocess.CompletedProcess[str]:
    """Run `why` as a program."""
    environment = os.environ | {"PYTHONPATH": str(TREE), "COLUMNS": "80"}
    command = [sys.executable, "-m", "watcher", "why", *args]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("text", "topic", "errno", "reason"),
    [
        ("unknown func bpf_probe_read_kernel#113", "bpf", "EINVAL", "bpf_read_kernel"),
        ("this type cannot use helper bpf_probe_read#4", "bpf", "EINVAL", "bpf_read_kernel"),
        ("unknown func bpf_probe_read_user#112", "bpf", "EINVAL", None),
        ("cannot use helper bpf_probe_write_user#36", "bpf", "EINVAL", "bpf_write_user"),
        ("insert 'nvidia': Key was rejected by service", "module", "EKEYREJECTED", None),
        ("could not insert module x.ko: Operation not permitted", "module", "EPERM", None),
        ("Required key not available", "module", "ENOKEY", None),
        ("Failed to write MSR 0x150: Operation not permitted", "msr", "EPERM", None),
        ("kexec_load failed: Operation not permitted", "kexec", "EPERM", None),
        ("Sleep verb 'hibernate' not supported", "hibernation", None, None),
        ("/dev/mem: Operation not permitted", "ioport", "EPERM", "dev_mem"),
        ("ioperm: Operation not permitted. You need to be root.", "ioport", "EPERM", None),
        ("create map: operation not permitted, MEMLOCK may be too low", "bpf", "EPERM", None),
        ("Operation not permitted", None, "EPERM", None),
        ("hibernation", "hibernation", None, None),
        ("dev_mem", "ioport", None, "dev_mem"),
    ],
)  # fmt: skip
def test_what_people_paste(
    text: str, topic: str | None, errno: str | None, reason: str | None
) -> None:
    """Topic, errno and lockdown's own word, from what programs really print."""
    found = symptom(text)
    assert found
    assert (found.topic and found.topic.id, found.errno, found.reason) == (topic, errno, reason)


def test_nonsense_is_not_diagnosed() -> None:
    """One line, status 1; and nothing at all is wrong usage."""
    done = why("good morning")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing is known about this text" in done.stderr
    assert why().returncode == 2


def test_a_huge_text_is_no_trouble() -> None:
    """Bounded: what stands beyond the bound is not looked at."""
    assert symptom("x" * MOST_TEXT + " bpf") is None
    assert symptom("bpf " * 1_000_000)


def test_every_topic_has_its_order_and_every_cause_its_place() -> None:
    """No cause that nobody asks for, no topic without lockdown among its causes."""
    assert set(ORDER) == {*TOPICS, None}
    assert {cause for order in ORDER.values() for cause in order} == set(CAUSES)
    assert all("lockdown" in order for order in ORDER.values())


@pytest.mark.parametrize("host", sorted(each.name for each in HOSTS.iterdir() if each.is_dir()))
@pytest.mark.parametrize("topic", TOPICS)
def test_nobody_is_told_to_switch_protection_off(host: str, topic: str) -> None:
    """On no machine does the first advice weaken it; where it comes up, its price is named."""
    trouble = symptom(topic)
    assert trouble
    found = diagnose(trouble, inspect(str(HOSTS / host / "root")))
    for number, text in enumerate(found.do):
        low = text.lower()
        weakens = any(
            w in low
            for w in (
                "secure boot off",
                "disable-validation",
                "setenforce 0",
                "removing secure boot",
                "lifting lockdown",
            )
        )
        assert not weakens or (number >= 0 and "price of all the protection" in low)


def test_json_is_the_contract() -> None:
    """One object: verdict, confidence, causes with id, holds, evidence and advice."""
    done = why("-o", "json", "--root", str(HOSTS / "ubuntu-24.04/root"), "msr")
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["verdict"], found["cause"], found["confidence"]) == (
        "lockdown",
        "lockdown",
        "high",
    )
    assert {"id", "holds", "evidence", "advice"} <= set(found["causes"][0])


def test_people_see_the_verdict_first() -> None:
    """The first line is the answer; hostile text in the question does not reach the terminal."""
    done = why("-o", "human", "--root", str(HOSTS / "ubuntu-24.04/root"), "module \x1b[2J")
    assert done.stdout.splitlines()[0] == "This is lockdown. (fairly sure)"
    assert "\x1b" not in done.stdout
