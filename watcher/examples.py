"""Hold a rule against its own examples: a rule that fails them is refused at load."""

from __future__ import annotations

from collections.abc import Mapping

from watcher.detect import judge
from watcher.provenance import trust_of, whole_text
from watcher.record import Host, Place, Record
from watcher.rules.rule import Example, Pack, Rule


def faults(rule: Rule) -> list[str]:
    """Say which examples of `rule` do not come out as it claims; needs no log and no clock."""
    match, ignore = rule.examples
    missed = [e for e in match if not _fires(rule, e)]
    hit = [e for e in ignore if _fires(rule, e)]
    return [f"does not match its example {e!r}" for e in missed] + [
        f"matches {e!r}, which its examples tell it to ignore" for e in hit
    ]


def _fires(rule: Rule, example: Example) -> bool:
    record = example_record(example)
    found = judge(record)
    return bool(Pack((rule,)).matching(record, found.kind if found else None))


def example_record(example: Example) -> Record:
    """Make the record an example stands for: a text is a trusted kernel line."""
    fields = dict(example) if isinstance(example, Mapping) else _kernel(example)
    return Record(
        text=whole_text(fields),
        place=Place("text"),
        trust=trust_of(fields),
        fields=fields,
        host=Host(),
        observed_us=0,
    )


def _kernel(text: str) -> dict[str, str]:
    return {
        "MESSAGE": text,
        "_TRANSPORT": "kernel",
        "SYSLOG_FACILITY": "0",
        "SYSLOG_IDENTIFIER": "kernel",
    }
