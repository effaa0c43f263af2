"""The middle: what becomes an event, with which id, and who is believed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from watcher.detect import Detector, gap_event
from watcher.event import Event
from watcher.pack import load_pack
from watcher.provenance import trust_of, whole_text
from watcher.record import Gap, Host, Place, Record
from watcher.rules.rule import Pack

DENIAL = "Lockdown: dd: /dev/mem,kmem,port is restricted; see man kernel_lockdown.7"
HOST = Host("h", "m", "b")


@pytest.fixture(scope="module")
def pack() -> Pack:
    """The shipped rules."""
    return load_pack()


def record(text: str = DENIAL, **fields: str) -> Record:
    """A kernel record as the journal gives it, but for `fields`."""
    given = {"MESSAGE": text, "_TRANSPORT": "kernel", "SYSLOG_FACILITY": "0"} | fields
    return Record(
        text=whole_text(given),
        place=Place("journal"),
        trust=trust_of(given),
        fields=given,
        host=HOST,
        observed_us=1_700_000_000_000_000,
        time_us=1_600_000_000_123_456,
        monotonic_us=1000,
    )


def one(events: Iterator[Event]) -> Event:
    """The only event there is."""
    (event,) = events
    return event


def test_a_denial_becomes_an_explained_event(pack: Pack) -> None:
    """Kind, reason and process come from the catalogue, severity from the rule."""
    event = one(Detector(pack).events(record()))
    assert (event.kind, event.lockdown.reason, event.process.comm) == (
        "lockdown.denied", "dev_mem", "dd"
    )  # fmt: skip
    assert event.severity == "high"
    assert [rule.level for rule in event.rules] == ["high"]
    assert event.time == "2020-09-13T12:26:40.123456Z"
    assert event.origin.trust == "kernel"
    assert event.advice


def test_ids_are_stable_and_count_equal_lines(pack: Pack) -> None:
    """Six identical lines in one microsecond are six events; read again, the same six."""
    first = [one(d.events(record())).id for d in [Detector(pack)] for _ in range(6)]
    again = [one(d.events(record())).id for d in [Detector(pack)] for _ in range(6)]
    assert len(set(first)) == 6
    assert first == again


@pytest.mark.parametrize(
    "change",
    [
        {"monotonic_us": 1001},
        {"host": Host("h", "m", "other")},
        {"text": DENIAL.replace("dd", "cat")},
    ],
)
def test_ids_differ_by_boot_time_and_text(pack: Pack, change: dict[str, object]) -> None:
    """Another boot, kernel time or text is another event."""
    other = record()._replace(**change)  # type: ignore[arg-type]
    ids = {one(Detector(pack).events(each)).id for each in (record(), other)}
    assert len(ids) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"place": Place("kmsg", seq=7)},
        {"time_us": 1_600_000_000_999_999},
        {"observed_us": 1},
    ],
)
def test_ids_do_not_depend_on_the_source(pack: Pack, change: dict[str, object]) -> None:
    """Cursor, file, wall clock and time of reading do not make another event of a line."""
    other = record()._replace(**change)  # type: ignore[arg-type]
    assert one(Detector(pack).events(record())).id == one(Detector(pack).events(other)).id


@pytest.mark.parametrize(
    "fields",
    [
        {"SYSLOG_FACILITY": "1"},
        {"SYSLOG_FACILITY": "1", "SYSLOG_IDENTIFIER": "kernel"},
        {"_TRANSPORT": "journal", "SYSLOG_IDENTIFIER": "kernel"},
        {"_TRANSPORT": "syslog", "SYSLOG_IDENTIFIER": "kernel"},
    ],
)
def test_a_line_a_process_wrote_is_forged(pack: Pack, fields: dict[str, str]) -> None:
    """Neither transport nor facility alone is believed, and no forgery is ignored."""
    event = one(Detector(pack).events(record(**fields)))
    assert (event.kind, event.severity) == ("lockdown.forged", "high")
    assert event.origin.trust == "injected"
    assert event.lockdown.reason is None
    assert event.process.comm is None


def test_a_program_that_speaks_for_itself_is_no_forger(pack: Pack) -> None:
    """systemd's own lines in /dev/kmsg name systemd: no claim to be the kernel."""
    fields = {"SYSLOG_FACILITY": "3", "SYSLOG_IDENTIFIER": "systemd", "SYSLOG_PID": "1"}
    assert list(Detector(pack).events(record(**fields))) == []


def test_unknown_and_forged_need_no_rule() -> None:
    """Promises 4 and 5 hold with an empty pack."""
    detector = Detector(Pack(()))
    unknown = record("Lockdown: x: use of warp drive is restricted; see man kernel_lockdown.7")
    assert one(detector.events(unknown)).kind == "lockdown.unknown"
    assert one(detector.events(record(SYSLOG_FACILITY="1"))).kind == "lockdown.forged"
    assert list(detector.events(record())) == []


def gap(count: int | None, from_us: int, to_us: int, cause: str = "kmsg_overrun") -> Gap:
    """A gap between two times."""
    return Gap(cause, count, Place("kmsg"), HOST, 0, "lost", from_us, to_us)


def test_adjacent_gaps_are_one_event_with_the_sum(pack: Pack) -> None:
    """3,900 gaps of one burst are one event; a later one is another."""
    detector = Detector(pack)
    told = [e for i in range(3900) for e in detector.events(gap(2, i * 1000, i * 1000 + 500))]
    assert told == []
    late = list(detector.events(gap(5, 60_000_000, 60_000_001)))
    rest = list(detector.flush())
    assert [e.gap.count for e in [*late, *rest] if e.gap] == [7800, 5]
    assert [e.kind for e in [*late, *rest]] == ["watch.gap", "watch.gap"]


def test_an_uncounted_gap_makes_no_number_up(pack: Pack) -> None:
    """Merged with one whose count nobody knows, the count is null."""
    detector = Detector(pack)
    for each in (gap(2, 0, 1), gap(None, 1, 2)):
        assert list(detector.events(each)) == []
    event = one(detector.flush())
    assert event.gap is not None
    assert event.gap.count is None


@pytest.mark.parametrize(
    ("cause", "title", "advice"),
    [
        ("kmsg_overrun", "7 kernel lines are missing", "log_buf_len="),
        ("journal_vacuumed", "7 kernel lines are missing", "SystemMaxUse="),
        ("backlog_dropped", "7 events are missing", "lockdown-watcher deliveries"),
        ("store_damaged", "7 events are missing", "read again"),
    ],
)
def test_a_gap_says_what_is_missing_and_what_to_do(cause: str, title: str, advice: str) -> None:
    """An event that a sink never got is no kernel line, and a larger ring buffer mends no disk."""
    event = gap_event(gap(7, 0, 1, cause))
    assert event.title == title
    assert advice in event.advice


def test_a_gap_is_told_before_the_lines_after_it(pack: Pack) -> None:
    """Order is kept: what comes more than five seconds later comes after the gap."""
    detector = Detector(pack)
    assert list(detector.events(gap(2, 0, 1))) == []
    assert [e.kind for e in detector.events(record())] == ["watch.gap", "lockdown.denied"]
