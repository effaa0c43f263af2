"""Elastic Common Schema: its own fields where it has them, ours under `lockdown_watcher`."""

from __future__ import annotations

from typing import Any, Final

from watcher import __version__
from watcher.encodings.common import (
    ALERTS,
    PRODUCT,
    REFUSALS,
    Event,
    attack_tags,
    grade,
    gravest_rule,
    is_technique,
    moment,
    own_words,
    pruned,
)

ECS_VERSION: Final = "9.0.0"

_CHANGE: Final = ("configuration", "change")
_INFO: Final = ("configuration", "info")
_CATEGORIES: Final[dict[str, tuple[str, str]]] = {
    "lockdown.enabled": _CHANGE,
    "lockdown.lifted": _CHANGE,
    "lockdown.effect": _INFO,
    "secureboot.state": _INFO,
    "module.signature": ("driver", "info"),
    "posture.changed": _CHANGE,
    "posture.contradiction": _INFO,
    "watch.gap": ("host", "info"),
    "watch.degraded": ("host", "info"),
}
"""Kind: event.category and event.type; any other kind is intrusion_detection."""


def ecs(event: Event) -> dict[str, Any]:
    """Give the event as an ECS document."""
    rule, host = gravest_rule(event), event["host"]
    return pruned({
        "@timestamp": moment(event)[0],
        "ecs": {"version": ECS_VERSION},
        "message": event["message"],
        "event": _event(event),
        "log": {"level": event["severity"], "logger": "kernel"},
        "host": {
            "name": host["name"],
            "hostname": host["name"],
            "id": host["machine_id"],
            "boot": {"id": host["boot_id"]},
            "os": {"type": "linux"},
        },
        "process": {"name": event["process"]["comm"], "pid": event["process"]["pid"]},
        "rule": {"id": rule.get("id"), "name": rule.get("title")},
        "threat": _threat(event),
        "agent": {"type": PRODUCT, "version": __version__},
        "tags": sorted({tag for rule in event["rules"] for tag in rule["tags"]}),
        "lockdown_watcher": own_words(event),
    })  # fmt: skip


def _event(event: Event) -> dict[str, Any]:
    kind = event["kind"]
    refused = kind in REFUSALS
    category, type_ = _CATEGORIES.get(
        kind, ("intrusion_detection", "denied" if refused else "info")
    )
    return {
        "kind": "alert" if kind in ALERTS else "event",
        "category": [category],
        "type": [type_],
        "action": kind.replace(".", "-").replace("_", "-"),
        "outcome": "failure" if refused else None,
        "id": event["id"],
        "created": event["observed"],
        "severity": grade(event),
        "reason": event["title"],
        "original": event["message"],
        "provider": "kernel" if event["origin"]["trust"] == "kernel" else event["origin"]["source"],
        "module": "lockdown",
        "dataset": "lockdown.events",
        "sequence": event["origin"]["seq"],
    }


def _threat(event: Event) -> dict[str, Any]:
    tags = attack_tags(event)
    return {
        "framework": "MITRE ATT&CK" if tags else None,
        "tactic": {"name": [tag for tag in tags if not is_technique(tag)]},
        "technique": {"id": [tag.upper() for tag in tags if is_technique(tag)]},
    }
