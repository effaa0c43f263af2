"""Hold a correlation against its own examples, sequences of lines; needs no log and no clock.

The lines of a sequence are a second apart; an item `wait: 10m` lets so much time pass.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from watcher.detect import Detector
from watcher.examples import example_record
from watcher.record import Host, Record
from watcher.rules.rule import Example, Pack, Rule, RuleData, beneath, compile_rule, counted
from watcher.rules.windows import microseconds

_SECOND_US: Final = 1_000_000
_START_US: Final = 1_700_000_000_000_000
_HOST: Final = Host("example", "0" * 32, "0" * 32)


def misses(rules: Sequence[RuleData]) -> Iterator[tuple[str, str]]:
    """Give file and fault of each correlation that an example of its own contradicts.

    One that counts a rule which somebody has replaced or switched off is theirs to judge.
    """
    times = Counter(rule["id"] for rule in rules)
    running = {r["id"]: r for r in rules if r["status"] != "deprecated" and times[r["id"]] == 1}
    counts = counted(running.values())
    for rule in rules:
        if rule["correlation"] and (rule["match"] or rule["ignore"]):
            inner = {rule["id"], *beneath(rule["id"], counts)}
            if inner <= running.keys():
                for text in _faults(rule, [running[each] for each in sorted(inner)]):
                    yield rule["file"], text


def _faults(rule: RuleData, inner: Sequence[RuleData]) -> Iterator[str]:
    pack = Pack(tuple(_speaking(compile_rule(each), rule["id"]) for each in inner))
    for wanted, examples in ((True, rule["match"]), (False, rule["ignore"])):
        for example in examples:
            try:
                if _hits(pack, rule["id"], example) != wanted:
                    said = "is no hit on its example" if wanted else "is a hit on what it ignores:"
                    yield f"{rule['title']}: the correlation {said} {example!r}"
            except ValueError as error:
                yield f"{rule['title']}: {error}"


def _speaking(rule: Rule, judged: str) -> Rule:
    return dataclasses.replace(rule, silent=False) if rule.id == judged else rule


def _hits(pack: Pack, rule: str, example: Sequence[Example]) -> bool:
    detector = Detector(pack)
    events = (event for record in _records(example) for event in detector.events(record))
    return any(each.id == rule for event in events for each in event.rules)


def _records(example: Sequence[Example]) -> Iterator[Record]:
    time_us = _START_US
    for item in example:
        wait = item.get("wait") if isinstance(item, Mapping) else None
        if wait is not None:
            time_us += _wait_us(wait)
            continue
        time_us += _SECOND_US
        since_boot = time_us - _START_US
        record = example_record(item)
        yield record._replace(host=_HOST, time_us=time_us, monotonic_us=since_boot)


def _wait_us(text: Any) -> int:
    found = microseconds(str(text))
    if found is None:
        raise ValueError(f"an example's wait: {text!r} is no time like 30s, 10m or 25h")
    return found
