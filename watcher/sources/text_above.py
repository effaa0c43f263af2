"""What a line stands under: an indented one may go on with a message that begins above it.

journalctl and dmesg write the further lines of a message under its first one (logs-show.c,
print_multiline), and whoever may log can make any further line: it is no line of its own.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

from watcher.patterns import late
from watcher.sources import frame_patterns as known
from watcher.sources.frames import MAX_LINE, unframe

_SLACK: Final = 2
"""Columns that a paste may lose."""
_DEEP: Final = 16
"""Columns by which no paste is indented, and which every frame of journalctl has."""
_TAB: Final = 8
# What mailers, containers and CI put before each line, the further ones too.
_PARTED: Final = late(
    rb"((?:(?:>[ \t]?)+|[\w.@-]{1,64} {1,32}\| ?|[^\t\n]{1,120}\t[^\t\n]{1,120}\t(?=\d{4}-)"
    rb"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z (?:std(?:out|err) [FP] |\d\d[OE][ +])?){0,4})"
    rb"((?:[ \t]|\xc2\xa0)*)"
)


class Above:
    """The lines of a block, and of the one before it, seen from any of them upwards."""

    def __init__(self) -> None:
        self._blocks = b"", b""
        self._start = self._first = 1  # numbers of the first lines of the two
        self._lines: list[bytes] | None = None
        self._chain: list[_Line] = []  # nearest last, each further in than the one before
        self._seen = 0

    def turn(self, block: bytes, first: int) -> None:
        """Go on to the block whose first line is number `first`."""
        self._blocks, self._lines = (self._blocks[1], block), None
        self._start, self._first = self._first, first

    def holds(self, raw: bytes, number: int) -> bool:
        """Tell whether line `number` goes on with a message that begins above it."""
        line = _Line(raw)
        if not line.indent or number <= self._seen or number < self._first:
            return False
        self._look_up_from(number)
        above = [each for each in self._chain if each.indent < line.indent]
        if any(each.goes_on_at(line.indent) for each in reversed(above)):
            return True
        out_of_sight = self._start > 1 and not (above and above[0].indent == 0)
        return out_of_sight and line.indent >= _DEEP

    def _look_up_from(self, number: int) -> None:
        """Bring the chain to the line before `number`; each line is looked at once."""
        if self._lines is None:
            older = self._blocks[0].split(b"\n") if self._start < self._first else []
            self._lines = [*older, *self._blocks[1].split(b"\n")]
        nearer: list[_Line] = []
        parted = False
        for at in range(number - 1, max(self._seen, self._start - 1), -1):
            line = _Line(self._lines[at - self._start])
            parted = parted or line.empty
            if line.blank or (nearer and line.indent >= nearer[-1].indent):
                continue
            line.parted = parted
            nearer.append(line)
            if not line.indent:
                break
        self._seen = number - 1
        least = nearer[-1].indent if nearer else MAX_LINE
        self._chain = [each for each in self._chain if each.indent < least]
        for each in self._chain:
            each.parted = each.parted or parted
        self._chain += reversed(nearer)


class _Line:
    """One line: what every line there has before it, then blanks, then the rest."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw[:MAX_LINE]
        match = _PARTED.match(self._raw)
        self._prefix, blanks = match.groups() if match else (b"", b"")
        self.indent = len(blanks.replace(b"\xc2\xa0", b" ").expandtabs(_TAB))
        self.blank = not self._raw[len(self._prefix) :].strip()
        self.empty = self.blank and not self.indent
        self.parted = False  # an empty line stands below it

    def goes_on_at(self, indent: int) -> bool:
        """Tell whether what is indented so far goes on with this line's message."""
        named, column = self._frame
        return (named and not self.parted) or indent >= column - _SLACK

    @cached_property
    def _frame(self) -> tuple[bool, int]:
        """Whether another program wrote it, and the column of its message; far for no frame."""
        line = self._raw.decode(errors="replace")
        framed = unframe(line)
        if framed.program is None and framed.width <= framed.lead:
            return False, MAX_LINE
        name = known.PROGRAM.match(line, framed.width) if framed.program else None
        column = name.end() + 1 if name else framed.width
        return framed.program is not None, column - len(self._prefix.decode(errors="replace"))
