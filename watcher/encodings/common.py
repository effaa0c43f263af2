"""What all encodings share: which time, which severity, and text that any receiver can take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from watcher.kinds import SEVERITIES

Event = Mapping[str, Any]
"""An event as data: the object of its JSON line."""

PRODUCT: Final = "lockdown-watcher"

ALERTS: Final = frozenset({
    "lockdown.denied", "lockdown.lifted", "lockdown.lift_refused", "lockdown.unknown",
    "lockdown.forged", "module.signature", "kexec.signature", "bpf.warning", "selinux.lockdown",
    "posture.contradiction", "rule.match",
})  # fmt: skip
"""Kinds that somebody may have to act on; the others tell of the machine or of the watcher."""

REFUSALS: Final = frozenset({"lockdown.denied", "lockdown.lift_refused", "selinux.lockdown"})
"""Kinds in which the kernel said no to somebody."""

_OWN_WORDS: Final = (
    "schema", "kind", "severity", "title", "advice", "time_error_us", "lockdown", "process",
    "secure_boot", "module", "gap", "posture", "fields", "origin", "rules", "warnings",
)  # fmt: skip
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def moment(event: Event) -> tuple[str, str]:
    """Give the time formats insist on, RFC 3339, and whose it is: the line's, or `observed`."""
    if event["time"] is not None:
        return event["time"], "line"
    return event["observed"], "observed"


def epoch_us(stamp: str) -> int:
    """Give an RFC 3339 stamp as microseconds since the Epoch, exactly."""
    return (datetime.fromisoformat(stamp) - _EPOCH) // _MICROSECOND


def epoch_ms(stamp: str) -> int:
    """Give an RFC 3339 stamp as milliseconds since the Epoch."""
    return epoch_us(stamp) // 1000


def grade(event: Event) -> int:
    """Give the severity as a number, 1 (informational) to 5 (critical), as OCSF counts."""
    return SEVERITIES.index(event["severity"]) + 1


def gravest_rule(event: Event) -> Event:
    """Give the rule that decided the severity; an empty one if none matched."""
    rules: list[Event] = event["rules"]
    return max(rules, key=lambda rule: SEVERITIES.index(rule["level"]), default={})


def own_words(event: Event) -> dict[str, Any]:
    """Give what another schema has no fields for, in ours; and whose time was used."""
    kept = {name: event[name] for name in _OWN_WORDS}
    return kept | {"time_source": moment(event)[1]}


def attack_tags(event: Event) -> list[str]:
    """Give what the rules' tags name of MITRE ATT&CK, without "attack."; sorted, each once."""
    tags = {tag for rule in event["rules"] for tag in rule["tags"]}
    return sorted(tag.removeprefix("attack.") for tag in tags if tag.startswith("attack."))


def is_technique(attack_tag: str) -> bool:
    """Tell a technique ("t1014", "t1547.006") from a tactic ("defense-evasion")."""
    return attack_tag[:1] == "t" and attack_tag[1:2].isdigit()


def json_text(value: object) -> str:
    """Give JSON in plain ASCII: what hides, moves or reorders text is escaped with the rest."""
    return json.dumps(value, separators=(",", ":"))


def whole(event: Event) -> dict[str, Any]:
    """Give the event with every lone surrogate written as an escape: UTF-8 has none."""
    return {name: _whole(value) for name, value in event.items()}


def pruned(event: Event) -> dict[str, Any]:
    """Give the event as `whole` does, without nulls and empty parts at any depth."""
    kept = {name: _pruned(value) for name, value in event.items()}
    return {name: value for name, value in kept.items() if not _absent(value)}


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return whole({_whole(name): item for name, item in value.items()})
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return pruned({_whole(name): item for name, item in value.items()})
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    return _whole(value)


def _absent(value: Any) -> bool:
    """An empty text is a fact (a process without a name); an empty list or object is none."""
    return value is None or (isinstance(value, (list, dict)) and not value)
