"""The properties that hold for every input, whatever it is. A check raises if one does not."""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Callable, Iterable
from typing import Final

from tests.fuzz.grammar import TAILS, escaped
from tests.fuzz.oracle import denial_in
from watcher.detect import Detector, judge
from watcher.event import Event
from watcher.examples import example_record
from watcher.explain import explain
from watcher.lockdown import MAX_TEXT, WORDINGS, Finding, recognise
from watcher.pack import load_pack
from watcher.pages.explanation import render
from watcher.provenance import trust_of
from watcher.record import Host, Place, Record
from watcher.rule_check import check as check_pack
from watcher.rules.rule import Pack, compile_rule
from watcher.sinks.shown import Console, JsonLines
from watcher.sources.frames import unframe
from watcher.sources.kmsg_record import parse_record
from watcher.sources.text import TextSource, record_of_line

PACK: Final = load_pack()
PREFILTER: Final = PACK.prefilter()
HARMFUL: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What no output may hold: controls but newline, bidi controls, line separators, surrogates."""

Check = Callable[[bytes], None]


def same(found: object, wanted: object, what: str) -> None:
    """Raise AssertionError where the two differ."""
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, and should be {wanted!r}")


# --- the catalogue


def check_recognise(data: bytes) -> None:
    """Any text is recognised or not, and a denial's process is what the oracle says."""
    text = data.decode(errors="backslashreplace")
    _agrees(recognise(text), text)


def _agrees(found: Finding | None, text: str) -> None:
    wanted = denial_in(text[:MAX_TEXT].rstrip("\n"))
    if wanted and wanted.whole:
        same(found and found.kind, "lockdown.denied", "kind")
    if found and found.kind == "lockdown.denied":
        same((found.comm,), wanted and (wanted.comm,), "process")


def check_name(data: bytes) -> None:
    """A name, NUL and the number of a wording: the name comes back whole, directly and by kmsg."""
    name, _, number = data.partition(b"\0")
    words = WORDINGS[int(number or b"0") % len(WORDINGS)].text.encode()
    tail = TAILS[len(name) % len(TAILS)].encode()
    raw = b"Lockdown: " + name + b": " + words + b" is restricted; see " + tail
    comm = name.decode(errors="backslashreplace")
    found = recognise(raw.decode(errors="backslashreplace"))
    same(found and found.comm, comm, "process")
    record = parse_record(b"5,1,2,-;" + escaped(raw) + b"\n")
    same(record and record.text, raw.decode(errors="backslashreplace"), "text of the record")


# --- frames and records


def check_unframe(data: bytes) -> None:
    """Any line can be unframed; what is left is part of it, or of what it stands for."""
    text = data.decode(errors="backslashreplace")
    framed = unframe(text)
    as_is = not any(mark in text for mark in ("\x1b", "^[", "m[", "&", "\xa0"))
    if framed.seq is None and as_is and framed.text not in text:
        raise AssertionError(f"{framed.text!r} does not stand in the line")
    _agrees(recognise(framed.text), framed.text)


def check_record(data: bytes) -> None:
    """Any line gives JSON Lines that are valid and harmless."""
    record = record_of_line(data.decode(errors="backslashreplace"))
    if record:
        _harmless_json(_events(record))


def check_console(data: bytes) -> None:
    """Any line gives harmless text on a terminal."""
    record = record_of_line(data.decode(errors="backslashreplace"))
    if record:
        _harmless_console(_events(record))


def check_kmsg(data: bytes) -> None:
    """Any bytes are a record of /dev/kmsg or not; a record gives harmless events."""
    PREFILTER.wants(data)
    parsed = parse_record(data)
    if parsed is None:
        return
    fields = parsed.fields()
    place, host = Place("kmsg", seq=parsed.seq), Host("h", None, "0" * 32)
    record = Record(
        text=parsed.text,
        place=place,
        trust=trust_of(fields),
        fields=fields,
        host=host,
        observed_us=0,
        time_us=parsed.usec,
        monotonic_us=parsed.usec,
    )
    same(record.trust, "injected" if parsed.facility else "kernel", "trust")
    _harmless_json(_events(record))


def check_file(data: bytes) -> None:
    """Any file can be read to its end by the text source, and gives harmless events."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        source = TextSource([file.name], wanted=PREFILTER.wants, now_us=lambda: 1)
        detector = Detector(PACK)
        records = [record for batch in source.read() for record in batch]
    _harmless_json([event for record in records for event in detector.events(record)])
    if data and not source.failures and not source.lines_read:
        raise AssertionError("no line was read")


def check_explain(data: bytes) -> None:
    """Any argument is explained or not, harmlessly; arguments may hold lone surrogates."""
    found = explain(data.replace(b"\0", b"").decode(errors="surrogateescape"))
    if found:
        harmless(_written(render(found, as_json=True)))
        harmless(_written(_without_bold(render(found, as_json=False))))


def _without_bold(text: str) -> str:
    return text.replace("\x1b[1m", "", 1).replace("\x1b[0m", "", 1)


# --- rules


def check_rules(data: bytes) -> None:
    """Any rule file is parsed or faulted; what parses runs on any record."""
    text = data.decode(errors="replace")
    rules, faults = check_pack({"x.yml": text})
    for fault in faults:
        same("\n" in str(fault), False, "a fault of several lines")
    pack = Pack(tuple(compile_rule(rule) for rule in rules))
    prefilter = pack.prefilter()
    for message in _MESSAGES:
        record = example_record(message)
        found = judge(record)
        fired = pack.matching(record, found.kind if found else None)
        for raw in (message.encode(), escaped(message.encode())) if fired else ():
            wanted = prefilter.wants(raw) or prefilter.fits(record.fields)
            same(wanted, True, f"the prefilter on {raw!r}")
        for rule in fired:
            rule.captured(record.text)


_MESSAGES: Final = (
    "Lockdown: systemd-logind: hibernation is restricted; see man kernel_lockdown.7",
    "",
    "a" * 5000,
    "10.1.2.3",
    "\u0130\u212a\0\x1b[31m",
    "99999999999999999999",
)


# --- what comes out


def _events(record: Record) -> list[Event]:
    detector = Detector(PACK)
    return [*detector.events(record), *detector.flush()]


def _harmless_json(events: Iterable[Event]) -> None:
    stream = io.StringIO()
    sink = JsonLines(stream)
    count = 0
    for event in events:
        sink.write(event)
        count += 1
    written = _written(stream.getvalue())
    harmless(written)
    parsed = [json.loads(line) for line in written.split("\n")[:-1]]
    same(len(parsed), count, "lines of JSON")
    for each in parsed:
        if each["kind"] == "lockdown.denied":
            wanted = denial_in(each["message"][:MAX_TEXT].rstrip("\n"))
            same((each["process"]["comm"],), wanted and (wanted.comm,), "process")


def _harmless_console(events: Iterable[Event]) -> None:
    for verbose in (False, True):
        stream = io.StringIO()
        sink = Console(stream, colour=False, verbose=verbose)
        for event in events:
            sink.write(event)
        harmless(_written(stream.getvalue()))


def _written(text: str) -> str:
    """Give what reaches the terminal: standard output is UTF-8 with escapes for surrogates."""
    return text.encode(errors="backslashreplace").decode()


def harmless(text: str) -> None:
    """Raise AssertionError where a text holds what a terminal would obey."""
    if found := HARMFUL.search(text):
        raise AssertionError(f"{found[0]!r} is in the output")


CHECKS: Final[dict[str, Check]] = {
    "recognise": check_recognise,
    "name": check_name,
    "unframe": check_unframe,
    "record": check_record,
    "console": check_console,
    "kmsg": check_kmsg,
    "file": check_file,
    "explain": check_explain,
    "rules": check_rules,
}
