"""The text source: records from any pasted or saved log text, in every frame it may have.

A file is read as blocks of whole lines. A block without any wanted word is skipped at once;
else its lines are fed one by one to a `_Parser`, which puts together what spans lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from watcher.patterns import late
from watcher.record import Gap, Host, Place, Record
from watcher.sources.claims import record_of_frame
from watcher.sources.frame_patterns import has_odd_signs, without_odd_signs
from watcher.sources.frames import MAX_LINE, Framed
from watcher.sources.journal_entry import MISSED_ID
from watcher.sources.journal_text import (
    ExportEntry,
    hides_words,
    journal_fields,
    json_object,
    json_start,
    record_of_entry,
)
from watcher.sources.journal_verbose import VerboseEntry
from watcher.sources.kmsg_record import unescape
from watcher.sources.stamps import YEAR_TAKEN, moment_of
from watcher.sources.text_above import Above
from watcher.sources.text_files import (
    DamagedError,
    Failure,
    blocks,
    chunks,
    is_journal_file,
    modified_us,
    open_text,
    why,
)
from watcher.sources.text_lines import (
    decode,
    is_torn,
    lacks_its_end,
    parts,
    rest_of_torn,
    unframe_decoded,
)
from watcher.sources.text_objects import of_dmesg, of_docker

__all__ = ["Failure", "TextSource", "is_journal_file", "record_of_line"]

_BATCH: Final = 10_000
"""Lines after which a batch is due, records or not."""
_ASKED: Final = 32
"""Lines that are asked about at once, where one of a block is wanted: one search, not 32."""
_LONG: Final = "a line longer than 64 KiB: only its beginning was read"
_MISSED: Final = MISSED_ID.encode()
_MAX_OBJECT: Final = 1 << 20
"""Bytes of one JSON object over several lines."""

Wanted = Callable[[bytes], object]


class TextSource:
    """Reads files one after the other; "-" is standard input.

    `wanted` is asked about raw bytes, a line or many at once: it must hold for a block if it
    holds for one of its lines, as a search for words does. `now_us` gives Epoch microseconds.
    Files that cannot be read, or not to their end, are in `failures`.
    """

    def __init__(self, files: Sequence[str], *, wanted: Wanted, now_us: Callable[[], int]) -> None:
        self.lines_read = 0
        self.failures: list[Failure] = []
        self._files = files
        # No rule asks for journald's "Missed N kernel messages".
        self._wanted: Wanted = lambda raw: wanted(raw) or _MISSED in raw
        self._now_us = now_us

    def read(self) -> Iterator[list[Record | Gap]]:
        """Give batches of records, also empty ones. Raises nothing for what a file holds."""
        for file in self._files:
            try:
                yield from self._read_file(file)
            except DamagedError as error:
                self.failures.append(Failure(file, str(error)))
            except (OSError, ValueError) as error:
                self.failures.append(Failure(file, why(error, file)))

    def _read_file(self, file: str) -> Iterator[list[Record | Gap]]:
        stream = open_text(file)
        try:
            newest_us = modified_us(stream) or self._now_us()
            parser = _Parser(file, self._wanted, self._now_us, newest_us)
            try:
                yield from self._batches(blocks(chunks(stream)), parser)
            except (DamagedError, OSError):
                yield parser.finish()
                raise
            yield parser.finish()
        finally:
            if file != "-":
                stream.close()

    def _batches(
        self, data: Iterator[tuple[bytes, int]], parser: _Parser
    ) -> Iterator[list[Record | Gap]]:
        due, number = _BATCH, 1
        for block, dropped in data:
            count = block.count(b"\n") + 1
            parser.feed_block(block, dropped, number)
            number += count
            self.lines_read += count
            if parser.records or number > due:
                due = number + _BATCH
                yield parser.take()


def record_of_line(line: str) -> Record | None:
    """Give the record of one line by itself, without place or time of observation.

    There is no file whose date could tell the year, so a date without one is no time.
    """
    parser = _Parser("", bool, lambda: 0, 0)
    parser.feed_block(line.encode(errors="backslashreplace"), 0, 1)
    record = next((each for each in parser.finish() if isinstance(each, Record)), None)
    if record and YEAR_TAKEN in record.warnings:
        record = record._replace(time_us=None, time_error_us=0, warnings=())
    return record and record._replace(place=Place("text"))


# --- what spans lines

_EXPORT: Final = late(rb"__(?:CURSOR|REALTIME_TIMESTAMP|SEQNUM|MONOTONIC_TIMESTAMP)=")
_OBJECTS: Final = (b'"MESSAGE"', b"{\n", b"{\r\n")
_OBJECT_ENDS: Final = (b"}", b"},", b"},{", b"}]")
_KMSG_MORE: Final = late(rb" ([A-Z_]{1,64})=(.*)")


class _Export:
    def __init__(self, number: int) -> None:
        self.number = number
        self.entry = ExportEntry()


class _Object:
    """A JSON object over several lines (json-pretty, dmesg --json, jq)."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lines = [b"{"]
        self.size = 0


class _Open:
    """A line that the next ones may belong to."""

    def __init__(self, framed: Framed, number: int, line: str) -> None:
        self.framed, self.number, self.line = framed, number, line
        self.text = framed.text
        self.held: list[tuple[bytes, int]] = []  # lines that may belong to it
        self.dictionary: dict[str, str] = {}
        self.lines = 0
        self.indents = _indents(framed, line)


class _Parser:
    """Makes records of the lines of one file; what is complete is in `records`."""

    def __init__(
        self, file: str, wanted: Wanted, now_us: Callable[[], int], newest_us: int
    ) -> None:
        self.records: list[Record | Gap] = []
        self._file, self._newest_us = file, newest_us
        self._wanted_as_is, self._now_us = wanted, now_us
        self._export: _Export | None = None
        self._object: _Object | None = None
        self._verbose: VerboseEntry | None = None
        self._open: _Open | None = None
        self._above = Above()

    def feed_block(self, block: bytes, dropped: int, number: int) -> None:
        """Take the lines of a block, the first of which is `number`."""
        wanted = self._wanted if has_odd_signs(block) else self._wanted_as_is
        self._above.turn(block, number)
        special = _is_special(block)

        def is_dull(raw: bytes) -> bool:
            return self._idle and not special and not wanted(raw)

        if is_dull(block):
            return
        lines = block.split(b"\n")
        for start in range(0, len(lines), _ASKED):
            part = lines[start : start + _ASKED]
            if not is_dull(b"\n".join(part)):
                for at, raw in enumerate(part, number + start):
                    if not is_dull(raw):
                        self.feed(raw, dropped, at)

    def _wanted(self, raw: bytes) -> bool:
        """Ask for words as they stand, and as they stood before a web page showed them."""
        if self._wanted_as_is(raw):
            return True
        return has_odd_signs(raw) and bool(self._wanted_as_is(without_odd_signs(raw)))

    def take(self) -> list[Record | Gap]:
        """Hand over what is complete."""
        taken, self.records = self.records, []
        return taken

    def finish(self) -> list[Record | Gap]:
        """Hand over everything: the file is at its end."""
        if self._export:
            self._export.entry.finish()
            self._close_export(self._export)
        if self._object:
            self._give_up_object(self._object)
        self._close_verbose()
        self._close()
        return self.take()

    @property
    def _idle(self) -> bool:
        return not (self._open or self._export or self._object or self._verbose)

    def feed(self, raw: bytes, dropped: int, number: int) -> None:
        """Take one line; `dropped` bytes at its end were too many to keep."""
        if self._export and self._feed_export(self._export, raw, dropped):
            return
        if self._object and self._feed_object(self._object, raw):
            return
        if self._verbose and self._verbose.feed(raw, dropped):
            return
        self._close_verbose()
        if verbose := VerboseEntry.begin(raw, number):
            self._close()
            self._verbose = verbose
        elif _EXPORT.match(raw):
            self._close()
            self._export = _Export(number)
            self._export.entry.feed(raw, dropped)
        elif raw[:1] in (b"{", b" ", b"\t") and raw.strip() == b"{":
            self._close()
            if not self._above.holds(raw, number):
                self._object = _Object(number)
        else:
            self._line(raw, dropped, number)

    # Entries over many lines.

    def _feed_export(self, export: _Export, raw: bytes, dropped: int) -> bool:
        export.entry.feed(raw, dropped)
        if export.entry.done:
            self._close_export(export)
        elif export.entry.broken:
            self._export = None
            return False
        return True

    def _close_export(self, export: _Export) -> None:
        self._export = None
        self._entry(export.entry.fields, export.number, export.entry.warnings)

    def _close_verbose(self) -> None:
        held, self._verbose = self._verbose, None
        if held:
            self._entry(held.fields, held.number, held.warnings)

    def _feed_object(self, held: _Object, raw: bytes) -> bool:
        bare = raw.strip()
        if bare in _OBJECT_ENDS:
            self._object = _Object(held.number + len(held.lines)) if bare == b"},{" else None
            self._close_object(held)
            return True
        held.size += len(raw)
        if bare == b"{" or held.size > _MAX_OBJECT:
            self._give_up_object(held)
            return False
        held.lines.append(raw)
        return True

    def _close_object(self, held: _Object) -> None:
        found = json_object(b"\n".join((*held.lines, b"}")))
        if found is None or not self._object_record(found, held.number):
            self._as_lines(held)

    def _give_up_object(self, held: _Object) -> None:
        self._object = None
        self._as_lines(held)

    def _as_lines(self, held: _Object) -> None:
        for number, raw in enumerate(held.lines, held.number):
            self._line(raw, 0, number)

    # One line.

    def _line(self, raw: bytes, dropped: int, number: int) -> None:
        while self._open:
            if self._continues(self._open, raw, number):
                return
            self._close_first()
        start = json_start(raw) if b'"' in raw else -1
        wanted = self._wanted(raw)
        if not (wanted or (start >= 0 and hides_words(raw))) or self._above.holds(raw, number):
            return
        found = json_object(raw[start:]) if start >= 0 else None
        if (found is None or not self._object_record(found, number)) and wanted:
            self._text_line(raw, dropped, number)

    def _text_line(self, raw: bytes, dropped: int, number: int) -> None:
        *first, last = parts(decode(raw[:MAX_LINE]))
        for line in first:
            if self._wanted(line.encode(errors="replace")):
                self._add(unframe_decoded(line), number)
        if first and not self._wanted(last.encode(errors="replace")):
            return
        framed = unframe_decoded(last)
        waiting = _Open(framed, number, last)
        torn = lacks_its_end(framed.text) and (waiting.indents or is_torn(framed.text))
        if framed.seq is not None or torn:
            self._open = waiting
        elif framed.text:
            self._add(framed, number, long=bool(dropped) or len(raw) > MAX_LINE)

    def _continues(self, waiting: _Open, raw: bytes, number: int) -> bool:
        waiting.lines += 1
        if waiting.lines > 16:  # noqa: PLR2004 - a process name has 15 bytes
            return False
        if waiting.framed.seq is not None:
            more = _KMSG_MORE.match(raw)
            if more:
                waiting.dictionary[more[1].decode("ascii")] = unescape(more[2])
            return more is not None
        return self._joins(waiting, raw) or self._completes(waiting, raw, number)

    def _joins(self, waiting: _Open, raw: bytes) -> bool:
        indent = next((each for each in waiting.indents if raw.startswith(each)), None)
        if indent is None or not lacks_its_end(waiting.framed.text):
            return False
        more = raw[len(indent) : MAX_LINE].decode(errors="backslashreplace").rstrip("\r")
        text = f"{waiting.framed.text}\n{more}"
        waiting.framed = waiting.framed._replace(text=text)
        return True

    def _completes(self, waiting: _Open, raw: bytes, number: int) -> bool:
        """Tell whether a line with a frame of its own ends a message that a newline cut."""
        if not is_torn(waiting.text):
            return False
        more = rest_of_torn(waiting.line, waiting.framed, decode(raw[:MAX_LINE]))
        if more is None:
            return False
        waiting.text += f"\n{more}"
        waiting.held.append((raw, number))
        if not lacks_its_end(waiting.text):
            waiting.framed = waiting.framed._replace(text=waiting.text)
            waiting.held.clear()
            return True
        if not is_torn(waiting.text):
            waiting.held.pop()
            return False
        return True

    def _close(self) -> None:
        while self._open:
            self._close_first()

    def _close_first(self) -> None:
        waiting, self._open = self._open, None
        if waiting and waiting.framed.text:
            self._add(waiting.framed, waiting.number, dictionary=waiting.dictionary)
        for raw, number in waiting.held if waiting else ():
            self._line(raw, 0, number)

    # Records.

    def _add(
        self,
        framed: Framed,
        number: int,
        *,
        long: bool = False,
        dictionary: dict[str, str] | None = None,
    ) -> None:
        place = Place("text", seq=framed.seq, file=self._file, line=number)
        moment = moment_of(framed.stamp, self._newest_us)
        more = (*((_LONG,) if long else ()), *_repeated(framed))
        moment = moment._replace(warnings=(*moment.warnings, *more))
        record = record_of_frame(framed, place, moment, self._now_us(), dictionary)
        self.records.append(record)

    def _object_record(self, found: dict[str, object], number: int) -> bool:
        """Tell whether a JSON object was a log entry of a known kind."""
        if "MESSAGE" in found:
            self._entry(*_numbered(journal_fields(found), number))
        elif framed := of_dmesg(found) or of_docker(found):
            if self._wanted(framed.text.encode(errors="backslashreplace")) and framed.text:
                self._add(framed, number)
        else:
            return False
        return True

    def _entry(self, fields: dict[str, str], number: int, warnings: tuple[str, ...]) -> None:
        place = Place("text", fields.get("__CURSOR"), file=self._file, line=number)
        if fields.get("MESSAGE_ID") == MISSED_ID and fields.get("_TRANSPORT") == "driver":
            self.records.append(_missed(fields, place, self._now_us()))
            return
        record = record_of_entry(fields, place, self._now_us(), warnings)
        if record and "MESSAGE" in fields and self._wanted(record.text.encode()):
            self.records.append(record)


def _repeated(framed: Framed) -> tuple[str, ...]:
    return (f"repeated {framed.repeated} times",) if framed.repeated else ()


def _missed(fields: dict[str, str], place: Place, observed_us: int) -> Gap:
    """Give the gap that journald reports."""
    count = re.search(r"\b(\d{1,18})\b", fields.get("MESSAGE", ""))
    time = re.fullmatch(r"\d{1,18}", fields.get("__REALTIME_TIMESTAMP", ""))
    time_us = int(time[0]) if time else None
    return Gap(
        cause="journald_missed",
        count=int(count[1]) if count else None,
        place=place,
        host=Host(fields.get("_HOSTNAME"), fields.get("_MACHINE_ID"), fields.get("_BOOT_ID")),
        observed_us=observed_us,
        detail="journald could not keep up with /dev/kmsg",
        from_us=time_us,
        to_us=time_us,
    )


def _is_special(block: bytes) -> bool:
    """Tell whether a block may have entries over several lines, or lines that hide their words."""
    if b"__CURSOR=" in block or b"__REALTIME_TIMESTAMP=" in block or b";x=" in block:
        return True
    return b"{" in block and (any(o in block for o in _OBJECTS) or block.rstrip().endswith(b"{"))


def _numbered(
    entry: tuple[dict[str, str], tuple[str, ...]], number: int
) -> tuple[dict[str, str], int, tuple[str, ...]]:
    return entry[0], number, entry[1]


def _indents(framed: Framed, line: str) -> tuple[bytes, ...]:
    """Give what the further lines of a message begin with, in journalctl and in dmesg.

    Both indent them to where the first began; systemd counted bytes before it counted columns
    (logs-show.c, print_multiline), which differ after a foreign month's name.
    """
    if framed.width <= framed.lead:
        return ()
    lead, frame = line[: framed.lead], line[framed.lead : framed.width]
    widths = {len(frame.encode(errors="backslashreplace")), framed.width - framed.lead}
    return tuple(lead.encode() + b" " * width for width in sorted(widths, reverse=True))
