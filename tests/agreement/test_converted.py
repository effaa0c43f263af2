"""The shipped pack in the languages of other systems is what docs/converted shows.

REFRESH=1 writes those files anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest

from tests.parts import asked, missing
from tests.replay import PACK
from tests.test_rules_page import ELSEWHERE, run
from watcher.convert import PACKAGES, TARGETS

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = ROOT / "docs/converted"
COUNTING: Final = [rule.title for rule in PACK.rules if rule.correlation]


def converted(target: str) -> str:
    """What `rules convert` says, under a line that says how it was made."""
    command = ["rules", "convert", "--target", target, "rules"]
    done = subprocess.run(
        [sys.executable, "-m", "watcher", *command, "-o", "human"],
        capture_output=True, text=True, cwd=ROOT, check=False,
        env=os.environ | {"XDG_CONFIG_HOME": "/nonexistent"},
    )  # fmt: skip
    if done.returncode == 2 and "no converter" in done.stderr:
        missing(done.stderr.strip())
    assert done.returncode == 1  # not every system can correlate
    left = [line.removeprefix("lockdown-watcher: ") for line in done.stderr.splitlines()]
    assert all(any(title in line for title in COUNTING) for line in left), left
    tried = TARGETS[target]
    by = f"{tried.package} {tried.version}"
    return f"# lockdown-watcher {' '.join(command)}\n# by {by}; make agreement REFRESH=1\n\n" + (
        done.stdout.rstrip("\n") + "\n\n" + "".join(f"# not converted: {line}\n" for line in left)
    )


@pytest.mark.parametrize("target", TARGETS)
def test_the_kept_conversion_is_todays(target: str) -> None:
    """Every rule has its query in every language, and it is the one that is kept; every
    correlation has one or is said to have none."""
    found = converted(target)
    queries = found.count("\n\n# ") - ("# not converted: " in found)
    assert queries + found.count("# not converted: ") == len(PACK.rules)
    file = KEPT / f"{target}.txt"
    if asked("REFRESH"):
        KEPT.mkdir(exist_ok=True)
        file.write_text(found, "utf-8")
    assert file.read_text("utf-8") == found


def test_what_cannot_be_converted_is_told(tmp_path: Path) -> None:
    """Status 2 for a faulty rule, 1 for one that has no equal there; the others are converted."""
    head = "title: {0}\nid: {1}\nlevel: low\nlogsource: {{product: linux}}\n"
    detection = "detection: {{s: {0}, condition: s}}\n"
    ids = (f"5a1f6b0e-6c55-4d0e-8f6e-2f1f1c3b9a0{n}" for n in range(3))
    for name, selection in (("good", "{X: a}"), ("word", "[a]"), ("bad", "{X|nosuch: a}")):
        text = head.format(name, next(ids)) + detection.format(selection)
        (tmp_path / f"{name}.yml").write_text(text)
    command = [sys.executable, "-m", "watcher", "rules", "convert", "--target", "esql"]
    done = subprocess.run(
        [*command, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    assert [json.loads(each)["title"] for each in done.stdout.splitlines()] == ["good"]
    assert "bad.yml" in done.stderr
    (tmp_path / "bad.yml").unlink()
    done = subprocess.run(
        [*command, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "lockdown-watcher: word: cannot be said in esql:"
        " String value expressions are not supported by the backend\n"
    )


@pytest.mark.parametrize(("command", "shown"), ELSEWHERE)
def test_the_manual_shows_what_is_printed(tmp_path: Path, command: str, shown: str) -> None:
    """docs/rules.md, to the letter."""
    (tmp_path / "config.toml").touch()
    assert run(tmp_path, command).stdout == shown


def test_nothing_else_is_kept() -> None:
    """A language that is no longer offered has no file."""
    assert {file.stem for file in KEPT.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("package", PACKAGES)
def test_what_was_tried_is_what_is_installed(package: str) -> None:
    """The versions that `rules convert` tells people to install are those tried here."""
    name, _, version = package.partition("==")
    try:
        assert metadata.version(name) == version
    except metadata.PackageNotFoundError:
        missing(package)
