"""OCSF: Detection Finding (2004), and Device Config State Change (5019) where a state changed.

A process name alone is no OCSF process (that needs a pid), so it stands in the evidence.
"""

from __future__ import annotations

from typing import Any, Final

from watcher import __version__
from watcher.encodings.common import (
    ALERTS,
    PRODUCT,
    REFUSALS,
    Event,
    attack_tags,
    epoch_ms,
    grade,
    gravest_rule,
    is_technique,
    moment,
    own_words,
    pruned,
)

OCSF_VERSION: Final = "1.8.0"

_UNKNOWN, _OFF, _ON = (0, "Unknown"), (1, "Disabled"), (2, "Enabled")
_SECURE, _AT_RISK = (1, "Secure"), (2, "At Risk")
_STATES: Final = {"enabled": _ON, "disabled": _OFF, "none": _OFF, None: _UNKNOWN}
_SEVERITIES: Final = ("", "Informational", "Low", "Medium", "High", "Critical")


def ocsf(event: Event) -> dict[str, Any]:
    """Give the event as an OCSF object of class 5019 if it tells a state, else of class 2004."""
    own = _state_change(event) if _tells_state(event) else _finding(event)
    return pruned(_base(event) | own)


def _tells_state(event: Event) -> bool:
    return event["kind"] in {
        "lockdown.enabled", "lockdown.lifted", "posture.changed", "secureboot.state",
    }  # fmt: skip


def _base(event: Event) -> dict[str, Any]:
    refused = event["kind"] in REFUSALS
    action = (2, "Denied", 2, "Blocked") if refused else (3, "Observed", 17, "Logged")
    return {
        "time": epoch_ms(moment(event)[0]),
        "severity_id": grade(event),
        "severity": _SEVERITIES[grade(event)],
        "message": event["title"],
        "raw_data": event["message"],
        "metadata": _metadata(event),
        "device": _device(event["host"]),
        "action_id": action[0],
        "action": action[1],
        "disposition_id": action[2],
        "disposition": action[3],
        "is_alert": event["kind"] in ALERTS,
        "policy": {"name": "kernel_lockdown", "is_applied": True} if refused else None,
        "attacks": [_attack(tag) for tag in attack_tags(event)],
        "observables": _observables(event["process"]["comm"]),
        "unmapped": own_words(event),
    }


def _metadata(event: Event) -> dict[str, Any]:
    return {
        "version": OCSF_VERSION,
        "profiles": ["host", "security_control"],
        "product": {"name": PRODUCT, "vendor_name": PRODUCT, "version": __version__},
        "uid": event["id"],
        "event_code": event["kind"],
        "log_provider": "kernel",
        "log_name": event["origin"]["source"],
        "logged_time": epoch_ms(event["observed"]),
        "original_time": event["time"],
        "sequence": event["origin"]["seq"],
    }


def _device(host: Event) -> dict[str, Any]:
    nobody = host["name"] is None and host["machine_id"] is None
    return {
        "type_id": 0,
        "hostname": "unknown" if nobody else host["name"],
        "uid": host["machine_id"],
        "boot_uid": host["boot_id"],
        "os": {"name": "Linux", "type": "Linux", "type_id": 200},
    }


def _attack(tag: str) -> dict[str, Any]:
    return {"technique": {"uid": tag.upper()}} if is_technique(tag) else {"tactic": {"name": tag}}


def _observables(comm: str | None) -> list[dict[str, Any]]:
    if not comm:
        return []
    return [{"name": "unmapped.process.comm", "type_id": 9, "type": "Process Name", "value": comm}]


# --- 2004


def _finding(event: Event) -> dict[str, Any]:
    rule = gravest_rule(event)
    return _class(2004, "Detection Finding", 2, "Findings", (1, "Create")) | {
        "finding_info": {
            "uid": event["id"],
            "title": event["title"],
            "desc": event["message"],
            "analytic": {"uid": rule["id"], "name": rule["title"], "type_id": 1} if rule else None,
        },
        "evidences": [_evidence(event)],
        "remediation": {"desc": event["advice"]},
    }


def _evidence(event: Event) -> dict[str, Any]:
    process = event["process"]
    found: dict[str, Any] = {"data": {"message": event["message"]}}
    if process["comm"] is not None:
        found["data"]["comm"] = process["comm"]
    if process["pid"] is not None:
        found["process"] = {"name": process["comm"], "pid": process["pid"]}
    return found


def _class(
    uid: int, name: str, category_uid: int, category: str, activity: tuple[int, str]
) -> dict[str, Any]:
    return {
        "class_uid": uid,
        "class_name": name,
        "category_uid": category_uid,
        "category_name": category,
        "activity_id": activity[0],
        "activity_name": activity[1],
        "type_uid": uid * 100 + activity[0],
    }


# --- 5019


def _state_change(event: Event) -> dict[str, Any]:
    before, after = _states(event)
    level = {_ON: _SECURE, _OFF: _AT_RISK}.get(after, _UNKNOWN)
    earlier = {_ON: _SECURE, _OFF: _AT_RISK}.get(before, _UNKNOWN)
    return _class(5019, "Device Config State Change", 5, "Discovery", (1, "Log")) | {
        "state_id": after[0],
        "state": after[1],
        "security_level_id": level[0],
        "security_level": level[1],
        "prev_security_level_id": earlier[0],
        "prev_security_level": earlier[1],
    }


def _states(event: Event) -> tuple[tuple[int, str], tuple[int, str]]:
    """Before and after; a level other than none (integrity, locked, ...) counts as enabled."""
    if event["kind"] == "lockdown.lifted":
        return _ON, _OFF
    if event["kind"] == "lockdown.enabled":
        return _UNKNOWN, _ON
    if event["secure_boot"]:
        return _UNKNOWN, _STATES.get(event["secure_boot"]["state"], _UNKNOWN)
    posture = event["posture"] or {"before": None, "after": None}
    return _STATES.get(posture["before"], _ON), _STATES.get(posture["after"], _ON)
