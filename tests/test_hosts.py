"""What `status` makes of many kinds of machine: each a small tree and what it must give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from watcher.diagnose import diagnose, symptom
from watcher.pages import diagnosis_page
from watcher.pages.status_page import render, status_object
from watcher.posture import inspect
from watcher.this_boot import boot_of_tree

HOSTS = sorted(each for each in (Path(__file__).parent / "hosts").iterdir() if each.is_dir())


def expected(host: Path) -> dict[str, Any]:
    """What stands beside the tree."""
    found: dict[str, Any] = json.loads((host / "expected.json").read_text())
    return found


def test_there_are_enough() -> None:
    """At least twenty kinds of machine."""
    assert len(HOSTS) >= 20


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_status(host: Path) -> None:
    """Level, cause, firmware, lineage and contradictions, as data beside each tree."""
    root = str(host / "root")
    posture = inspect(root).with_log(boot_of_tree(root))
    status = status_object(posture)
    status["contradictions"] = [each["id"] for each in status["contradictions"]]
    wanted = expected(host)["status"]
    assert {name: status[name] for name in wanted} == wanted
    assert json.loads(render(posture, as_json=True))["level"] == status["level"]


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_a_screen_for_people(host: Path) -> None:
    """One screen: at most 30 lines of at most 90 columns, and no secret of the command line."""
    root = str(host / "root")
    text = render(inspect(root).with_log(boot_of_tree(root)), as_json=False)
    lines = click.unstyle(text).splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 90
    assert "hunter2" not in text + json.dumps(status_object(inspect(root)))


VERDICTS = [(host, text) for host in HOSTS for text in expected(host)["why"]]


@pytest.mark.parametrize(("host", "text"), VERDICTS, ids=lambda part: getattr(part, "name", part))
def test_why(host: Path, text: str) -> None:
    """The verdict, and the cause where the data beside the tree names one."""
    root = str(host / "root")
    trouble = symptom(text)
    assert trouble
    found = diagnose(trouble, inspect(root).with_log(boot_of_tree(root)))
    wanted, _, cause = expected(host)["why"][text].partition(" ")
    assert found.verdict == wanted, diagnosis_page.render(found, as_json=False)
    assert found.cause == (cause or ("lockdown" if wanted == "lockdown" else found.cause))
