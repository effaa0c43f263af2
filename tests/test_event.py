"""The event's contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.detect import Detector
from watcher.event import Event, rfc3339
from watcher.event_model import event_of, json_schema, model
from watcher.pack import load_pack
from watcher.record import Host, Place, Record

SCHEMA = Path(__file__).parent.parent / "docs" / "event.schema.json"


def event(comm: str = "dd") -> Event:
    """One event of a denial by a process of that name."""
    text = f"Lockdown: {comm}: hibernation is restricted; see man kernel_lockdown.7"
    fields = {"MESSAGE": text, "_TRANSPORT": "kernel", "SYSLOG_FACILITY": "0"}
    record = Record(text, Place("text", line=1), "unverified", fields, Host(), 0)
    (made,) = Detector(load_pack()).events(record)
    return made


def test_the_schema_is_checked_in() -> None:
    """A change of the event shows in review: regenerate with `lockdown-watcher schema`."""
    assert json.loads(SCHEMA.read_text()) == json_schema()


@given(st.text(st.characters(codec="utf-8"), max_size=15))
def test_what_is_written_is_what_pydantic_would_write(comm: str) -> None:
    """The quick writer and the model agree to the letter, escapes aside, and reading undoes it."""
    made = event(comm.replace("\0", ""))
    written = json.loads(made.json_line())
    modelled = model().dump_json(model().validate_python(written), by_alias=True)
    assert list(written.items()) == list(json.loads(modelled).items())
    assert event_of(written) == made


@pytest.mark.parametrize(
    "wrong", [{"severity": "dire"}, {"time_error_us": "long"}, {"surplus": 1}, {"rules": [{}]}]
)
def test_what_is_no_event_is_refused(wrong: dict[str, object]) -> None:
    """A line from outside is held against the schema."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        event_of(json.loads(event().json_line()) | wrong)


def test_the_keys_of_the_contract() -> None:
    """Every key of schema 1 is there, absent facts as null."""
    assert list(json.loads(event().json_line())) == [
        "schema", "id", "time", "time_error_us", "observed", "kind", "severity", "title",
        "message", "lockdown", "process", "secure_boot", "module", "gap", "posture", "fields",
        "advice", "host", "origin", "rules", "warnings",
    ]  # fmt: skip


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=15))
def test_no_control_character_gets_through(comm: str) -> None:
    """JSON on a terminal moves no cursor and hides no text, and says the same when read back."""
    line = event(comm).json_line()
    shown = "".join(c for c in line if not c.isprintable())
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert not set("\u202e\u2066\u200b\u2028\ufeff") & set(line)
    assert comm in json.loads(line)["message"]


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_569_592_931_123_456, "2019-09-27T14:02:11.123456Z"),
        (None, None),
        (-1, None),
        (2**64, None),
    ],
)
def test_times_are_rfc3339_with_microseconds(time_us: int | None, text: str | None) -> None:
    """Microseconds always, UTC always, null for what no calendar has."""
    assert rfc3339(time_us) == text
