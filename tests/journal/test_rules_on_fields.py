"""Rules that ask for a field's value: their entries are looked up, all others cost nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Final

import pytest

from tests.journal.real import (
    Entry,
    Journald,
    build,
    entry,
    items,
    line,
    mark,
    need_root,
    records,
    unlimited_kmsg,
    until,
)
from watcher.rules.parse import parse
from watcher.rules.rule import Pack, compile_rule
from watcher.sources.journal import KERNEL, MOST_MATCHES, JournalSource, Span, matches_for
from watcher.sources.journal_files import Where, open_reader
from watcher.sources.kmsg import KmsgSource

HEAD: Final = "title: t\nid: 5a1f6b0e-6c55-4d0e-8f6e-2f1f1c3b9a0%d\nlevel: low\n"


def pack(*detections: str) -> Pack:
    """Rules with these selections."""
    texts = {
        f"{n}.yml": f"{HEAD % n}logsource: {{product: linux}}\n"
        f"detection: {{s: {{{each}}}, condition: s}}\n"
        for n, each in enumerate(detections)
    }
    found, faults = parse(texts)
    assert faults == []
    return Pack(tuple(map(compile_rule, found)))


def said(message: str | None, **fields: str) -> Entry:
    """An entry of a program."""
    named = () if message is None else (("MESSAGE", message),)
    return entry(0, ("_TRANSPORT", "journal"), *named, *fields.items())


@pytest.fixture
def where(tmp_path: Path) -> Where:
    """A journal of two units, the kernel, and an entry that says nothing."""
    found = build(
        tmp_path / "x.journal",
        [
            line("Lifting lockdown"),
            said("a", _SYSTEMD_UNIT="ssh.service", PRIORITY="3"),
            said("b", _SYSTEMD_UNIT="ssh.service", PRIORITY="6"),
            said("c", _SYSTEMD_UNIT="SSH.Service", PRIORITY="3"),
            *(said("d", _SYSTEMD_UNIT="other.service", PRIORITY="3") for _ in range(50)),
            said(None, _SYSTEMD_UNIT="ssh.service", PRIORITY="2"),
        ],
    )
    return Where(files=(str(found),))


def read(where: Where, rules: Pack) -> tuple[list[str | None], int]:
    """The messages of the records that come, and how many entries were looked at."""
    with contextlib.closing(JournalSource(rules.prefilter(), where, Span(past=True))) as source:
        found = records(items(source))
        return [record.fields.get("MESSAGE") for record in found], source.lines_read


def test_a_units_entries_are_looked_up(where: Where) -> None:
    """In every spelling there is; a rule without a text has only fitting ones read whole."""
    rules = pack("_SYSTEMD_UNIT: ssh.service, PRIORITY|lt: 4")
    assert read(where, rules) == (["a", "c", None], 5)


def test_a_rule_on_no_indexed_field_has_all_looked_at(where: Where) -> None:
    """It works, and reads no more of each entry than it asks for."""
    assert read(where, pack("PRIORITY: 2")) == ([None], 55)
    assert read(where, pack("X|exists: true")) == ([], 55)


def test_the_time_is_a_field(where: Where) -> None:
    """What journalctl calls __REALTIME_TIMESTAMP is there for the parts of a date, in UTC."""
    found, _ = read(where, pack("__REALTIME_TIMESTAMP|year|gte: 2020, PRIORITY: 2"))
    assert found == [None]
    (record,) = records(items(JournalSource(pack("PRIORITY: 2").prefilter(), where)))
    assert record.fields["__REALTIME_TIMESTAMP"] == str(record.time_us)
    assert read(where, pack("__REALTIME_TIMESTAMP|year: 1999, PRIORITY: 2"))[0] == []


def test_a_text_and_a_unit(where: Where) -> None:
    """The text decides before any field is read."""
    found, looked_at = read(where, pack("_SYSTEMD_UNIT: ssh.service, MESSAGE: b"))
    assert (found, looked_at) == (["b"], 5)


def test_rules_are_changed_while_it_is_followed(where: Where) -> None:
    """What new rules ask for is read from then on, though other matches were set."""
    source = JournalSource(pack().prefilter(), where, Span())
    with contextlib.closing(source):
        assert items(source) == []
        source.use(pack("_SYSTEMD_UNIT: other.service, PRIORITY: 3").prefilter())
        assert len(records(items(source))) == 50


def test_too_many_values_are_not_looked_up(where: Where) -> None:
    """Beyond a bound all entries are looked at, which costs less."""
    many = ", ".join(f"u{n}.service" for n in range(MOST_MATCHES + 1))
    rules = pack(f"_SYSTEMD_UNIT: [{many}]")
    reader = open_reader(where)
    assert matches_for(rules.prefilter().equal, reader) == ()
    assert matches_for(frozenset(), reader) == KERNEL
    reader.close()
    assert read(where, rules) == ([], 55)


def test_a_unit_is_followed() -> None:
    """Live, with the real journald: an identifier of a user's rule is read, another is not."""
    need_root()
    rules = pack("SYSLOG_IDENTIFIER: Wanted, PRIORITY|lt: 5")
    with Journald() as journald:
        span: Any = Span(only_new=True)
        source = JournalSource(rules.prefilter(), Where(namespace=journald.namespace), span)
        with contextlib.closing(source):
            journald.native({"MESSAGE": "x", "SYSLOG_IDENTIFIER": "other", "PRIORITY": "3"})
            journald.native({"MESSAGE": "y", "SYSLOG_IDENTIFIER": "Wanted", "PRIORITY": "6"})
            journald.native({"MESSAGE": "z", "SYSLOG_IDENTIFIER": "Wanted", "PRIORITY": "3"})
            found = until(lambda: records(items(source)), "z")
            assert [record.text for record in found] == ["z"]


def test_a_rule_without_a_text_on_kmsg() -> None:
    """Of the kernel's ring too: by level and facility, and by nothing that only a journal has."""
    need_root()
    name, rules = mark(), pack("SYSLOG_FACILITY: 3, PRIORITY|lt: 6", "_UID: 0, SYSLOG_FACILITY: 3")
    with unlimited_kmsg() as write:
        with contextlib.closing(KmsgSource(rules.prefilter(), since="now")) as source:
            write(f"<29>{name} a\n", f"<30>{name} b\n", f"<13>{name} c\n")
            found = [each.text for each in records(items(source)) if name in each.text]
        assert found == [f"{name} a"]
        only_journals = pack("_SYSTEMD_UNIT: x.service, PRIORITY|lt: 6").prefilter()
        assert only_journals.looks_deeper
        assert not only_journals.of_kernel().looks_deeper
