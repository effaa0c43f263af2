"""This engine beside two independent ones: every difference is known, and argued.

What is compared is the whole matrix: every rule against every event, so that a rule is also held
against events that were made for others.
"""

from __future__ import annotations

import tomllib
import uuid
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.agreement import grown, judges
from tests.agreement.judges import Verdict
from tests.agreement.probes import probes, rule_text
from tests.parts import missing
from watcher.rules.parse import parse

ROOT: Final = Path(__file__).parents[2]
SIGMA: Final = ROOT / "../shared/sigma-linux/rules/linux"
KNOWN: Final[dict[str, list[dict[str, Any]]]] = tomllib.loads(
    Path(__file__).with_name("differences.toml").read_text("utf-8")
)
JUDGES: Final = ("tenzir", "sqlite")
Answers = dict[tuple[str, str], Any]
"""By rule and judge: "refused", or what it answers otherwise."""


def name_of(probe: str) -> str:
    """The id of a probe's rule."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, probe))


def verdicts(
    rules: dict[str, str], events: list[dict[str, str]], folder: Path
) -> dict[str, Verdict]:
    """What each engine says of every rule and event."""
    return {
        "ours": judges.ours(rules, events),
        "tenzir": judges.tenzir(rules, events, folder),
        "sqlite": judges.sqlite(rules, events),
    }


# --- probes


@cache
def probed(folder: Path) -> dict[str, Verdict]:
    """All probes through all engines."""
    rules = {name_of(each.name): rule_text(name_of(each.name), each.detection) for each in probes()}
    return verdicts(rules, [dict(each.event) for each in probes()], folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Tenzir finds its rules and events."""
    return tmp_path_factory.mktemp("tenzir")


def test_there_are_probes_enough() -> None:
    """At least 200 questions; every name once, so that none hides another."""
    asked = list(probes())
    assert len(asked) >= 500
    assert len({(each.name, repr(each.event)) for each in asked}) == len(asked)


@pytest.mark.parametrize("judge", ["ours", *JUDGES])
def test_probes(judge: str, folder: Path) -> None:
    """Each engine answers as the specification has it, but for the differences that are known."""
    verdict = probed(folder)[judge]
    found: dict[str, Any] = defaultdict(list)
    for number, probe in enumerate(probes()):
        identifier = name_of(probe.name)
        if identifier in verdict.refused:
            found[probe.name] = "refused"
        elif ((identifier, number) in verdict.pairs) is not probe.expected:
            found[probe.name].append(dict(probe.event))
    assert found == known("probe", judge)


def known(table: str, judge: str) -> dict[str, Any]:
    """What differences.toml says of a judge, by rule."""
    return {
        each["rule"]: "refused" if each.get("refused") else each["events"]
        for each in KNOWN[table]
        if each["judge"] == judge
    }


# --- SigmaHQ's rules


@cache
def corpus(folder: Path) -> tuple[dict[str, str], list[dict[str, str]], dict[str, Verdict]]:
    """File names by id, the events grown from all rules, and what each engine says."""
    if not SIGMA.is_dir():
        missing(str(SIGMA))
    files, rules = {}, {}
    for file in sorted(SIGMA.rglob("*.yml")):
        rule = yaml.safe_load(file.read_text("utf-8"))
        # About no system this engine knows, so that it stays in its own fields for all judges.
        rule["logsource"] = {"product": "any"}
        files[rule["id"]], rules[rule["id"]] = file.stem, yaml.safe_dump(rule)
    data, faults = parse(rules)
    assert faults == []
    events = []
    for each in data:
        hits = grown.hits(each["condition"], 4, each["id"])
        near = [miss for hit in hits[:2] for miss in grown.misses(each["condition"], hit)][:8]
        assert hits, f"no event for {files[each['id']]}"
        assert near, f"nothing that just misses {files[each['id']]}"
        events += hits + near
    return files, events, verdicts(rules, events, folder)


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Tenzir finds SigmaHQ's rules."""
    return tmp_path_factory.mktemp("sigmahq")


def test_each_of_sigmahqs_rules_is_hit_and_missed(another: Path) -> None:
    """All 210 rules: events that hit and events that just miss each."""
    files, events, found = corpus(another)
    assert len(files) == 210
    assert len(events) > 2000
    hit = {rule for rule, _ in found["ours"].pairs}
    assert hit == set(files)


@pytest.mark.parametrize("judge", JUDGES)
def test_sigmahq(judge: str, another: Path) -> None:
    """The judge says the same of half a million pairs, but for the differences that are known."""
    files, _, found = corpus(another)
    assert found[judge].refused == found["ours"].refused == {}
    differ = found["ours"].pairs ^ found[judge].pairs
    assert Counter(files[rule] for rule, _ in differ) == known("sigmahq", judge)


def test_a_difference_would_be_seen(another: Path) -> None:
    """The comparison can fail: another engine's answers to other rules are not ours."""
    _, events, found = corpus(another)
    (probe, *_) = probes()
    other = judges.sqlite({"a": rule_text(name_of("a"), probe.detection)}, events)
    assert other.pairs != found["ours"].pairs


# --- the page


def test_the_pages_figures() -> None:
    """The row about probes is counted anew."""
    page = (ROOT / "docs/agreement.md").read_text("utf-8")
    asked = list(probes())
    row = f"{len({each.name for each in asked})} | {len(asked)} | {len(asked)}"
    for judge in JUDGES:
        answers = known("probe", judge).values()
        refused = sum(each == "refused" for each in answers)
        differ = sum(len(each) for each in answers if each != "refused")
        row += f" | {differ}, and {refused} rule{'s' * (refused != 1)} refused"
    assert row in page


def test_every_difference_is_argued() -> None:
    """Each reason is a heading of docs/agreement.md, and the page argues nothing that is gone."""
    page = (ROOT / "docs/agreement.md").read_text("utf-8")
    argued = {line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")}
    assert argued == {each["why"] for table in KNOWN.values() for each in table}
