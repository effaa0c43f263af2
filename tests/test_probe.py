"""Probe or attack: the shipped correlations, from lines to events."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from sigma.collection import SigmaCollection

from tests.replay import HOST, PACK, START_US, kernel_record
from watcher.detect import Detector
from watcher.event import Event, rfc3339
from watcher.pack import read_texts, shipped
from watcher.record import Record
from watcher.rule_check import check
from watcher.rules import Rule

FILES: Final = sorted(shipped().glob("correlations/*.yml"))
CORRELATIONS: Final = [rule for rule in PACK.rules if rule.correlation and not rule.silent]
S: Final = 1_000_000
DAY: Final = 86_400 * S
REFUSED: Final = "sysrq: This sysrq operation is disabled from userspace."
DENIED: Final = "Lockdown: {}: use of kprobes is restricted; see man kernel_lockdown.7"


def documents(file: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(file.read_text())


def events(*lines: tuple[str, int], detector: Detector | None = None) -> list[Event]:
    """Give the events of kernel lines, each with its microsecond."""
    detector = detector or Detector(PACK)
    records = [kernel_record(text, us) for text, us in lines]
    return [event for record in records for event in detector.events(record)]


def titles(found: list[Event]) -> list[str]:
    """Give the titles of correlations' hits."""
    return [event.title for event in found if event.origin.source == "watcher"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_sigma(file: Path) -> None:
    """The outermost says what a rule must, with examples; the inner ones only count."""
    *inner, outer = documents(file)
    assert all(uuid.UUID(doc["id"]).version == 4 for doc in (*inner, outer))
    assert {"title", "status", "description", "references", "author", "date", "tags"} <= set(outer)
    assert {"falsepositives", "level", "correlation"} <= set(outer)
    assert outer["watcher"]["examples"]["match"]
    assert outer["watcher"]["examples"]["ignore"]
    assert all("watcher" not in doc for doc in inner)


def test_the_pack_is_sigma_as_a_whole() -> None:
    """pySigma reads it without a fault and finds every rule that is referred to."""
    texts, _ = read_texts([shipped()])
    found = SigmaCollection.from_yaml("\n---\n".join(texts.values()), collect_errors=True)
    assert not any(rule.errors for rule in found.rules)
    assert len(found.rules) == len(PACK.rules)


def test_what_is_shipped() -> None:
    """Six correlations speak; what they count besides the pack's own rules is silent."""
    assert len(FILES) == len(CORRELATIONS) == 6
    silent = sorted(rule.title for rule in PACK.rules if rule.silent)
    assert silent == ["Magic keys were pressed", "The kernel spoke of lockdown"]
    assert len({rule.id for rule in PACK.rules}) == len(PACK.rules)


@pytest.mark.parametrize("rule", CORRELATIONS, ids=lambda rule: Path(rule.file).stem)
def test_examples_decide(rule: Rule) -> None:
    """A correlation that its examples contradict is refused: each example, turned round, is."""
    texts, _ = read_texts([shipped()])
    examples = yaml.safe_load_all(texts[rule.file])
    kinds = [doc["watcher"]["examples"] for doc in examples if "watcher" in doc]
    count = len(kinds[0]["match"]) + len(kinds[0]["ignore"])
    turned = texts[rule.file].replace("match:", "M:").replace("ignore:", "match:")
    _, faults = check({**texts, rule.file: turned.replace("M:", "ignore:")})
    assert len(faults) == count
    assert {fault.file for fault in faults} == {rule.file}
    assert all("example" in fault.text or "ignores" in fault.text for fault in faults)


def test_a_rule_that_was_switched_off_takes_no_pack_with_it() -> None:
    """Who switches a shipped rule off, or replaces it, need not know who counts it."""
    texts, _ = read_texts([shipped()])
    lifted = next(text for name, text in texts.items() if name.endswith("/lifted.yml"))
    for own in (
        lifted.replace("status: stable", "status: deprecated"),
        lifted.replace("level: critical", "level: low"),
    ):
        rules, faults = check({**texts, "own.yml": own})
        assert faults == []
        assert len(rules) == len(PACK.rules) - ("deprecated" in own)


def test_a_hit_is_an_event() -> None:
    """Of kind rule.match, from the watcher, with its rule, group, count and what it is made of."""
    refused, lifted, hit = events((REFUSED, 5 * S), ("Lifting lockdown", 65 * S))
    assert [refused.kind, lifted.kind, hit.kind] == [
        "lockdown.lift_refused",
        "lockdown.lifted",
        "rule.match",
    ]
    assert hit.title == "Lockdown was lifted after an attempt that was refused"
    assert (hit.severity, hit.time) == ("critical", rfc3339(START_US + 65 * S))
    assert hit.message == f"2 records in 60 s of host.boot_id {HOST.boot_id!r}"
    assert hit.advice.startswith("A program tried to lift lockdown and was refused")
    assert hit.fields == {
        "host.boot_id": HOST.boot_id,
        "count": "2",
        "events": f"{refused.id} {lifted.id}",
        "first": rfc3339(START_US + 5 * S),
    }
    assert (hit.origin.source, hit.origin.trust, hit.host.name) == ("watcher", "kernel", "h")
    assert [rule.title for rule in hit.rules] == [hit.title]
    assert [rule.title for rule in lifted.rules] == ["Lockdown was lifted while the kernel ran"]


def test_what_only_feeds_says_nothing() -> None:
    """A magic key is no event, nor changes the one of a line that other rules match."""
    assert events(("sysrq: Emergency Sync", S)) == []
    found = events(("sysrq: Emergency Sync", S), ("Lifting lockdown", 2 * S))
    assert titles(found) == ["Lockdown was lifted after other magic keys"]
    assert len(found) == 2


def test_another_boot_is_another_matter() -> None:
    """A refusal before a reboot has nothing to do with a lift after it."""
    detector = Detector(PACK)
    assert titles(events((REFUSED, S), detector=detector)) == []
    lift = kernel_record("Lifting lockdown", 2 * S)
    other = lift._replace(host=HOST._replace(boot_id="c" * 32))
    assert titles(list(detector.events(other))) == []
    assert len(titles(list(detector.events(lift)))) == 1


def test_a_new_pair_is_told_once_the_first_day_is_over() -> None:
    """Everything is new at first; later only what was not seen for three months."""
    detector = Detector(PACK)
    perf, cat = DENIED.format("perf"), DENIED.format("cat")
    assert titles(events((perf, 0), (cat, S), (perf, DAY - S), detector=detector)) == []
    (pair, hit) = events((DENIED.format("new"), DAY), detector=detector)
    assert hit.title == "A program met this refusal for the first time here"
    assert hit.fields["process.comm"] == "new"
    assert hit.fields["lockdown.reason"] == pair.lockdown.reason
    assert hit.message.startswith("1 record of host.machine_id ")
    assert titles(events((perf, DAY + S), (cat, 2 * DAY), detector=detector)) == []
    assert titles(events((cat, 92 * DAY), detector=detector)) == []
    assert len(titles(events((perf, 93 * DAY), detector=detector))) == 1


def test_the_machine_learns_from_any_line() -> None:
    """On a machine that never denied anything, the first denial after a day is told."""
    detector = Detector(PACK)
    said = "Kernel is locked down from EFI Secure Boot; see man kernel_lockdown.7"
    found = events((said, 0), (DENIED.format("perf"), 2 * DAY), detector=detector)
    assert titles(found) == ["A program met this refusal for the first time here"]


def test_hostile_names_stay_text() -> None:
    """A group's value is the attacker's; it is shown, cut to a bound, and told apart by all."""
    detector = Detector(PACK)
    events((DENIED.format("perf"), 0), detector=detector)
    evil = "evil: hib\n<0>x\u202e"
    (_, hit) = events((DENIED.format(evil), 2 * DAY), detector=detector)
    assert hit.fields["process.comm"] == evil
    assert "\u202e" not in hit.json_line()
    assert "\n" not in hit.json_line()


def records(*lines: tuple[str, int]) -> list[Record]:
    return [kernel_record(text, us) for text, us in lines]


def test_a_forged_line_makes_a_hit_less_believed() -> None:
    """The trust of a hit is the least of what it is made of."""
    forged = kernel_record("Lifting lockdown", S)._replace(
        trust="injected",
        fields={"MESSAGE": "Lifting lockdown", "_TRANSPORT": "kernel", "SYSLOG_FACILITY": "1"},
    )
    detector = Detector(PACK)
    found = [*detector.events(forged), *events((DENIED.format("x"), 2 * S), detector=detector)]
    assert titles(found) == ["A forged kernel line, and then a real one"]
    assert found[-1].origin.trust == "injected"
