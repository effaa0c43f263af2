"""The event in other schemas: valid there, nothing lost, hostile text still data."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.events import EVIL, HOSTILE, every_kind, golden, hostile, made
from tests.parts import missing
from watcher.encodings import DocumentEncoding, Encoding, document, line
from watcher.encodings.brief import KEPT, NOTE, brief
from watcher.encodings.otlp import record, request
from watcher.event import Process
from watcher.kinds import KINDS

EVENTS = golden() + every_kind() + [json.loads(event.json_line()) for event in hostile()]
OCSF_CLASSES = {2004: "detection_finding", 5019: "device_config_state_change"}
ECS_FIELDS = {
    "@timestamp", "ecs.version", "message", "log.level", "log.logger", "tags",
    "event.kind", "event.category", "event.type", "event.action", "event.outcome", "event.id",
    "event.created", "event.severity", "event.reason", "event.original", "event.provider",
    "event.module", "event.dataset", "event.sequence", "host.name", "host.hostname", "host.id",
    "host.boot.id", "host.os.type", "process.name", "process.pid", "rule.id", "rule.name",
    "threat.framework", "threat.tactic.name", "threat.technique.id", "agent.type",
    "agent.version",
}  # fmt: skip
ECS_TYPES = {
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "driver": {"change", "end", "info", "start"},
    "host": {"access", "change", "end", "info", "start"},
    "intrusion_detection": {"allowed", "denied", "info"},
}


def event(**parts: Any) -> dict[str, Any]:
    """One event as data."""
    found: dict[str, Any] = json.loads(made(**parts).json_line())
    return found


@cache
def ocsf_validator(uid: int) -> Any:
    """The official schema of a class, with the profiles we claim."""
    try:
        import jsonschema
        import ocsf_json_schema
    except ImportError:
        missing("ocsf-json-schema and jsonschema")
    schema = ocsf_json_schema.OcsfJsonSchemaEmbedded(ocsf_json_schema.get_ocsf_schema("1.8.0"))
    found = schema.get_class_schema(OCSF_CLASSES[uid], ["host", "security_control"])
    return jsonschema.Draft202012Validator(found)


def leaves(part: dict[str, Any], prefix: str = "") -> set[str]:
    """Every field name with its dots."""
    found: set[str] = set()
    for name, value in part.items():
        deeper = isinstance(value, dict)
        found |= leaves(value, f"{prefix}{name}.") if deeper else {f"{prefix}{name}"}
    return found


def unescaped(text: str) -> dict[str, str]:
    """A CEF extension read back as its specification says."""
    pairs = re.findall(r"(\w+)=((?:\\.|[^\\=])*)(?= \w+=|$)", text)
    back = {"n": "\n", "r": "\r"}
    return {
        key: re.sub(r"\\(.)", lambda hit: back.get(hit[1], hit[1]), value) for key, value in pairs
    }


# --- OCSF


def test_every_event_is_valid_ocsf() -> None:
    """The official schema has nothing to say against any golden event, kind or hostile name."""
    for one in EVENTS:
        found = document("ocsf", one)
        faults = [fault.message for fault in ocsf_validator(found["class_uid"]).iter_errors(found)]
        assert faults == [], one["kind"]


def test_the_validator_would_complain() -> None:
    """The judge of the test above is awake: a field too many and one too few are found."""
    found = document("ocsf", event())
    assert not ocsf_validator(2004).is_valid({**found, "bogus": 1})
    del found["finding_info"]
    assert not ocsf_validator(2004).is_valid(found)


@pytest.mark.parametrize("kind", KINDS)
def test_ocsf_class(kind: Any) -> None:
    """What tells a state is 5019, all else a finding; what was refused is denied and blocked."""
    found = document("ocsf", event(kind=kind))
    states = {"lockdown.enabled", "lockdown.lifted", "posture.changed", "secureboot.state"}
    assert found["class_uid"] == (5019 if kind in states else 2004)
    assert found["type_uid"] == found["class_uid"] * 100 + found["activity_id"]
    refused = kind in {"lockdown.denied", "lockdown.lift_refused", "selinux.lockdown"}
    assert (found["action"], found["disposition"]) == (
        ("Denied", "Blocked") if refused else ("Observed", "Logged")
    )


def test_ocsf_levels() -> None:
    """A lift is at risk and was secure; a posture change says both."""
    lifted, changed = (
        document("ocsf", event(kind=kind)) for kind in ("lockdown.lifted", "posture.changed")
    )
    for found in (lifted, changed):
        assert (found["security_level"], found["prev_security_level"]) == ("At Risk", "Secure")
        assert found["state"] == "Disabled"


def test_ocsf_process_name_is_evidence() -> None:
    """A name without pid is no OCSF process; it is evidence and an observable, pid or not."""
    found = document("ocsf", event(process=Process(comm=EVIL)))
    assert found["evidences"] == [{"data": {"message": event()["message"], "comm": EVIL}}]
    assert found["observables"][0]["value"] == EVIL
    with_pid = document("ocsf", event(process=Process(comm="x", pid=7)))
    assert with_pid["evidences"][0]["process"] == {"name": "x", "pid": 7}


# --- ECS


def test_ecs_fields_are_the_schema_s_or_ours() -> None:
    """Every field is ECS's by name or stands under lockdown_watcher."""
    for one in EVENTS:
        ours = {name for name in leaves(document("ecs", one)) if "lockdown_watcher." not in name}
        assert ours <= ECS_FIELDS


def test_ecs_categories_allow_the_types() -> None:
    """event.type is one that ECS expects for event.category; kind is alert or event."""
    for one in EVENTS:
        found = document("ecs", one)["event"]
        (category,), (type_,) = found["category"], found["type"]
        assert type_ in ECS_TYPES[category], one["kind"]
        assert found["kind"] in {"alert", "event"}


def test_ecs_of_a_denial() -> None:
    """The fields that detection rules ask for."""
    found = document("ecs", event(severity="high"))
    assert found["event"]["kind"] == "alert"
    assert found["event"]["action"] == "lockdown-denied"
    assert found["event"]["outcome"] == "failure"
    assert found["process"]["name"] == "x"
    assert found["host"]["boot"]["id"] == "1" * 32
    assert found["rule"] == {"id": "r2", "name": "Graver"}
    assert found["threat"]["technique"]["id"] == ["T1014"]
    assert found["threat"]["tactic"]["name"] == ["stealth"]
    assert found["lockdown_watcher"]["lockdown"]["reason"] == "hibernation"


# --- CEF


def test_cef_header() -> None:
    r"""`\` and `|` are escaped in the header, and a line break cannot end it."""
    found = line("cef", event(title="a|b\\c\nCEF:0|x"))
    assert r"|a\|b\\c\\x0aCEF:0\|x|5|" in found
    assert len(re.split(r"(?<!\\)\|", found)) == 8


@pytest.mark.parametrize("comm", HOSTILE)
def test_cef_extension_reads_back(comm: str) -> None:
    """A hostile name is one value, never a key of its own; no raw pipe, no control."""
    found = line("cef", event(process=Process(comm=comm)))
    extension = re.split(r"(?<!\\)\|", found, maxsplit=7)[7]
    assert "|" not in extension
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", found)
    assert '"' not in extension
    shown = (
        comm.replace("|", "\\x7c")
        .replace('"', "\\x22")
        .replace("\x1b", "\\x1b")
        .replace("\x07", "\\x07")
    )
    shown = shown.replace("\x9b", "\\u009b").replace("\u202e", "\\u202e")
    assert unescaped(extension)["sproc"] == shown
    assert "spid" not in unescaped(extension)


@given(st.text())
def test_cef_stays_one_event(text: str) -> None:
    """Whatever the text: one line, seven header pipes, and the keys we wrote."""
    one = event() | {"message": text, "title": text}
    found = line("cef", one)
    assert "\n" not in found
    assert "\r" not in found
    header = re.match(r"CEF:0(?:\|(?:\\.|[^\\|])*){5}\|5\|", found)
    assert header
    keys = set(unescaped(found[header.end() :]))
    assert keys == set(unescaped(line("cef", event()).rpartition("|5|")[2]))


# --- all of them


@pytest.mark.parametrize("encoding", ["native", "ecs", "ocsf", "cef"])
def test_time_or_observed(encoding: Encoding) -> None:
    """A line without a date gets the time it was seen, and the document says so."""
    dated, undated = (line(encoding, event(time=time)) for time in (made().time, None))
    if encoding != "native":
        assert "time_source" in dated or "timeSource" in dated
        assert "observed" in undated.replace('"observed":', "")
    assert "00:00:00" not in undated


@pytest.mark.parametrize("encoding", ["native", "ecs", "ocsf"])
@pytest.mark.parametrize("comm", HOSTILE)
def test_hostile_names_survive(encoding: DocumentEncoding, comm: str) -> None:
    """The name is in the document letter by letter; the line is plain ASCII."""
    one = event(process=Process(comm=comm))
    text = line(encoding, one)
    assert text.isascii()
    assert text.isprintable()
    found = json.loads(text)
    own = {"native": found, "ecs": found.get("lockdown_watcher"), "ocsf": found.get("unmapped")}
    assert own[encoding]["process"]["comm"] == comm


@pytest.mark.parametrize("encoding", ["native", "ecs", "ocsf", "cef"])
def test_lone_surrogates_become_escapes(encoding: Encoding) -> None:
    r"""UTF-8 has no lone surrogates and strict parsers refuse them: they are shown as \udc80."""
    one = event() | {"message": "a\udc80b", "fields": {"k\ud800": "\udfff"}}
    text = line(encoding, one)
    assert text.encode()
    assert "\\\\udc80" in text
    assert not re.search(r"(?<!\\)\\ud[89a-f]", text)


@pytest.mark.parametrize("encoding", ["ecs", "ocsf"])
def test_nothing_is_lost(encoding: DocumentEncoding) -> None:
    """Every text and number of every event is somewhere in the document."""
    for one in EVENTS:
        found = set(map(str, values(document(encoding, one))))
        for value in values(one | {"observed": None, "time": None}):
            assert str(value) in found, (one["kind"], value)


def values(part: Any) -> list[Any]:
    """Every text and number in some data."""
    if isinstance(part, dict):
        return [leaf for value in part.values() for leaf in values(value)]
    if isinstance(part, list):
        return [leaf for value in part for leaf in values(value)]
    return [] if part is None else [part]


def test_native_is_the_event() -> None:
    """Native is the event itself."""
    for one in EVENTS:
        assert document("native", one) == one
        assert json.loads(line("native", one)) == one


# --- OTLP


def otlp(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Events as one request."""
    found: dict[str, Any] = json.loads(request([record(each) for each in events]))
    return found


def test_otlp_groups_by_host_and_keeps_order() -> None:
    """One resource per host; all records are there, each with its id."""
    asked = otlp(EVENTS)
    records = [r for part in asked["resourceLogs"] for r in part["scopeLogs"][0]["logRecords"]]
    ids = [attributes(record)["log.record.uid"]["stringValue"] for record in records]
    hosts = {json.dumps(one["host"]) for one in EVENTS}
    assert len(asked["resourceLogs"]) == len(hosts)
    assert sorted(ids) == sorted(one["id"] for one in EVENTS)
    first = json.dumps(EVENTS[0]["host"])
    of_first = [one["id"] for one in EVENTS if json.dumps(one["host"]) == first]
    assert ids[: len(of_first)] == of_first


def test_otlp_record() -> None:
    """Times are nanoseconds as text, numbers too; the event is named; observed stands alone."""
    asked = otlp([event(severity="critical", process=Process(comm="x", pid=7))])
    (resource,) = asked["resourceLogs"]
    (record,) = resource["scopeLogs"][0]["logRecords"]
    assert record["timeUnixNano"] == "1795168800123456000"
    assert (record["severityNumber"], record["severityText"]) == (21, "critical")
    assert record["eventName"] == "linux.lockdown.denied"
    assert attributes(record)["process.pid"] == {"intValue": "7"}
    assert attributes(record)["lockdown_watcher.lockdown.reason"] == {"stringValue": "hibernation"}
    assert attributes(resource["resource"])["host.name"] == {"stringValue": "host1"}
    undated = otlp([event(time=None)])["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    assert "timeUnixNano" not in undated
    assert undated["observedTimeUnixNano"] == "1795168801000001000"


def attributes(part: dict[str, Any]) -> dict[str, Any]:
    """OTLP's list of attributes as a mapping."""
    return {item["key"]: item["value"] for item in part["attributes"]}


# --- brief


def test_brief_says_that_it_is() -> None:
    """A long event keeps its facts, loses length, and says so among its warnings."""
    long = event(message="x" * 90_000, process=Process(comm=EVIL))
    short = brief(long)
    assert len(json.dumps(short)) < 4096
    assert len(short["message"]) == KEPT
    assert short["warnings"] == [NOTE]
    assert short["process"] == long["process"]
    assert short["id"] == long["id"]
    assert len(long["message"]) == 90_000
