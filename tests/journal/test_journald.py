"""A real journald and the real /dev/kmsg: who wrote a line, and one line is one event."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.journal.real import (
    MISSED,
    PACK,
    Journald,
    items,
    judged,
    lockdown_line,
    mark,
    provoke_denial,
    records,
    until,
)
from watcher.event import Event
from watcher.host import this_host
from watcher.record import Record
from watcher.rules import Prefilter
from watcher.sources.journal import KERNEL, JournalSource, Span
from watcher.sources.journal_files import Where
from watcher.sources.journal_index import Matches
from watcher.sources.kmsg import KmsgSource

Write = Callable[..., None]
ALL = Prefilter([None])


@contextlib.contextmanager
def followed(journald: Journald) -> Iterator[JournalSource]:
    """The namespace's journal from now on."""
    where = Where(namespace=journald.namespace)
    source = JournalSource(PACK.prefilter(MISSED), where, Span(only_new=True))
    with contextlib.closing(source):
        yield source


def only(word: str) -> Prefilter:
    """What lets only lines with a word of ours through: others may be flooding the ring."""
    return Prefilter([frozenset({word.lower()})])


def from_journal(
    journald: Journald, prefilter: Prefilter, matches: Matches = KERNEL
) -> list[Record]:
    """The records of this boot that the journal holds and `prefilter` wants."""
    journald.sync()
    where, span = Where(namespace=journald.namespace), Span(boot_id=this_host().boot_id)
    with contextlib.closing(JournalSource(prefilter, where, span, matches)) as source:
        return records(items(source))


def from_kmsg(prefilter: Prefilter) -> list[Record]:
    """The records of the ring that `prefilter` wants."""
    with contextlib.closing(KmsgSource(prefilter)) as source:
        return records(items(source))


def marked(found: Sequence[Record], word: str) -> list[Record]:
    """Those whose text holds a word of ours."""
    return [record for record in found if word in record.text]


def ids(found: Sequence[Record]) -> list[str]:
    """The ids of the events that records become."""
    return [event.id for event in judged(found)]


def one(events: Sequence[Event]) -> Event:
    """The only one."""
    assert len(events) == 1, [event.message for event in events]
    return events[0]


# --- forged


FORMS = ("<5>{}", "<5>kernel: {}", "<13>{}", "<15>{}", "<6>kernel[1]: {}", "<2047>{}")


@pytest.mark.parametrize("form", FORMS[:-1])
def test_what_root_writes_to_kmsg_is_forged(journald: Journald, to_kmsg: Write, form: str) -> None:
    """A line written to /dev/kmsg is forged in every form, read from kmsg or through journald."""
    name = mark()[:15]
    to_kmsg(form.format(lockdown_line(name)) + "\n")
    kmsg = judged(from_kmsg(only(name)))
    journal = judged(from_journal(journald, only(name)))
    assert one(kmsg).kind == one(journal).kind == "lockdown.forged"
    assert one(kmsg).origin.trust == one(journal).origin.trust == "injected"
    assert one(kmsg).id == one(journal).id


def test_a_native_entry_is_forged(journald: Journald) -> None:
    """Whoever sends _TRANSPORT=kernel over the native socket is not believed, but told."""
    name = mark()[:15]
    journald.native(
        {
            "MESSAGE": lockdown_line(name),
            "PRIORITY": "5",
            "SYSLOG_IDENTIFIER": "kernel",
            "SYSLOG_FACILITY": "0",
            "_TRANSPORT": "kernel",
            "_SOURCE_MONOTONIC_TIMESTAMP": "1",
        }
    )
    record, *others = from_journal(journald, only(name))
    assert not others
    assert record.fields["_TRANSPORT"] == "journal"
    assert record.fields["SYSLOG_FACILITY"] == "0"
    event = one(judged([record]))
    assert (event.kind, event.origin.trust) == ("lockdown.forged", "injected")


@pytest.mark.parametrize("way", ["syslog", "stdout"])
def test_a_syslog_line_and_a_stdout_stream_are_forged(journald: Journald, way: str) -> None:
    """A line over the syslog socket or a stdout stream that says kernel is forged."""
    name = mark()[:15]
    if way == "syslog":
        journald.syslog(f"<5>kernel: {lockdown_line(name)}")
    else:
        journald.stdout("kernel", f"<5>{lockdown_line(name)}")
    found = until(lambda: from_journal(journald, only(name)), "the line")
    assert found[0].fields["_TRANSPORT"] == way
    assert one(judged(found)).kind == "lockdown.forged"


def test_a_program_that_does_not_say_kernel_gives_no_event(journald: Journald) -> None:
    """The words alone, from a program under its own name, are no claim to be the kernel."""
    name = mark()[:15]
    journald.native({"MESSAGE": lockdown_line(name), "SYSLOG_IDENTIFIER": "someone"})
    journald.native({"MESSAGE": lockdown_line(name), "SYSLOG_IDENTIFIER": "kernel"})
    assert len(from_journal(journald, only(name))) == 1


# --- one line, one id


def test_a_real_denial_has_one_id(journald: Journald) -> None:
    """This kernel's own refusal is believed, with the name as it is, and one event either way."""
    word = mark()[-6:]
    name = f"{word}: \\é;"
    if not provoke_denial(name):
        pytest.skip("this kernel is not locked down")
    kmsg = until(lambda: from_kmsg(only(word)), "the denial")
    journal = from_journal(journald, only(word))
    event = one(judged(kmsg))
    assert (event.kind, event.origin.trust) == ("lockdown.denied", "kernel")
    assert event.process.comm == name
    assert event.lockdown.reason == "debugfs"
    assert one(judged(journal)).id == event.id


def told(record: Record) -> dict[str, str]:
    """What the line itself told: not the clock, which each reads for itself."""
    return {k: v for k, v in record.fields.items() if k != "__REALTIME_TIMESTAMP"}


def test_all_kernel_lines_of_this_boot_have_one_id(journald: Journald, to_kmsg: Write) -> None:
    """Every line of the ring has the same text, fields and clock from kmsg and from journald."""
    to_kmsg(f"<5>{mark()}\n")
    kmsg = [record for record in from_kmsg(ALL) if record.fields["SYSLOG_FACILITY"] == "0"]
    own = (("_TRANSPORT=kernel", "SYSLOG_FACILITY=0"),)
    stored = {(r.monotonic_us, r.text): r for r in from_journal(journald, ALL, own)}
    assert kmsg
    for record in kmsg:
        twin = stored[record.monotonic_us, record.text]
        assert twin.trust == record.trust == "kernel"
        assert {name: twin.fields.get(name) for name in told(record)} == told(record)
    assert ids(kmsg) == ids([stored[record.monotonic_us, record.text] for record in kmsg])


ODD = (
    b"caf\xc3\xa9 \xe2\x80\xae back\\slash \\x41 tab\there",
    b"invalid \xff\xfe utf-8 \xc3",
    b"two\nlines, one record",
    b"quote ' \" ; , = {}",
    b"\x1b[31mred\x7f\x01",
    b"trailing blanks   ",
)
TAKEN_APART = (
    b"ident[12]: text",
    b"ident: text",
    b"ident:text",
    b"  blanks: before",
    b"ident:  two blanks",
    b"ident[12]:",
    b"[12]: no name",
    b"a[b[12]: brackets",
    b"a]: bracket",
    b"[]: nothing",
    b": colon",
    b"na\xc3\xafve[1\xc3\xa92]: UTF-8",
    b"bro\xffken: invalid",
    b"tab\t[1]: escaped white space",
    b"back\\slash: text",
    b"new\nline: text",
    b"kernel: Lockdown: x: BPF is restricted; see man kernel_lockdown.7",
)


@pytest.mark.parametrize("text", ODD + TAKEN_APART)
@pytest.mark.parametrize("place", ["whole", "before"])
def test_odd_text_has_one_id(journald: Journald, to_kmsg: Write, text: bytes, place: str) -> None:
    """Whatever a line holds, journald's entry of it put together is the line kmsg gives."""
    word = mark()
    before = word.encode() if place == "before" else b""
    to_kmsg(b"<14>" + before + text + b" " + word.encode() + b"\n")
    (kmsg,), (journal,) = from_kmsg(only(word)), from_journal(journald, only(word))
    assert journal.text == kmsg.text
    assert journal.monotonic_us == kmsg.monotonic_us
    assert {name: journal.fields.get(name) for name in told(kmsg)} == told(kmsg)


@pytest.mark.parametrize("end", [":", ": ", "[1]:", "[]: "])
def test_a_line_of_nothing_but_an_identifier_has_one_id(
    journald: Journald, to_kmsg: Write, end: str
) -> None:
    """A line that is all `ident[pid]:` leaves MESSAGE empty, and is the same from either source."""
    word = mark()
    to_kmsg(f"<14>{word}{end}\n")
    named = (("_TRANSPORT=kernel", f"SYSLOG_IDENTIFIER={word}"),)
    (kmsg,), (journal,) = from_kmsg(only(word)), from_journal(journald, ALL, named)
    assert journal.text == kmsg.text
    assert journal.fields["MESSAGE"] == kmsg.fields["MESSAGE"] == ""


def test_equal_lines_in_a_row_have_one_id_each(journald: Journald, to_kmsg: Write) -> None:
    """Sixty equal lines are sixty events, and the same sixty from either source."""
    name = mark()[:15]
    to_kmsg(*[f"<5>{lockdown_line(name)}\n"] * 60)
    kmsg = ids(from_kmsg(only(name)))
    assert len(set(kmsg)) == 60
    assert ids(from_journal(journald, only(name))) == kmsg


# --- live


def test_new_lines_arrive_by_the_descriptor_alone(journald: Journald, to_kmsg: Write) -> None:
    """A new line makes fileno() readable, and read() gives it once; nothing old comes with it."""
    with followed(journald) as source:
        assert items(source) == []
        for _ in range(5):
            name = mark()[:15]
            to_kmsg(f"<5>{lockdown_line(name)}\n")
            seen: list[Record] = []
            while not seen:
                poll = select.poll()
                poll.register(source.fileno(), select.POLLIN)
                assert poll.poll(10_000), "the descriptor told nothing"
                seen = marked(records(items(source)), name)
            assert len(seen) == 1


def test_a_denial_and_a_forgery_come_live(journald: Journald, to_kmsg: Write) -> None:
    """A followed journal tells the kernel's own denial from the same words written by root."""
    real, false = mark()[-12:], mark()[-12:]
    with followed(journald) as source:
        locked = provoke_denial(real)
        to_kmsg(f"<5>{lockdown_line(false)}\n")
        found: list[Event] = []

        def last_came() -> bool:
            found.extend(judged(items(source)))
            return any(false in event.message for event in found)

        until(last_came, "the forgery")
        kinds = {event.process.comm: event.kind for event in found}
        assert kinds.get(real) == ("lockdown.denied" if locked else None)
        assert [e.kind for e in found if false in e.message] == ["lockdown.forged"]
