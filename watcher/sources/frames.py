"""Peels every known frame off a line of log text: what put it there, when, on which host.

Only frames that are positively known go; what else stands before a message stays, so that
nothing anchored at the start of a kernel text can match what another program wrote. Formats
are those of the programs: util-linux dmesg.c (print_record), systemd logs-show.c
(output_short), RFC 3164 and 5424, BusyBox syslogd.c, Talos, container runtimes and CI. Pure,
and linear in the length of the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from watcher.sources import frame_patterns as known
from watcher.sources.kmsg_record import unescape
from watcher.sources.stamps import (
    Stamp,
    epoch_stamp,
    read_full,
    read_iso,
    read_reltime,
    read_syslog,
    read_time_of_day,
    read_unix,
)

MAX_LINE: Final = 65_536
"""Characters of a line that are looked at; no kernel record comes near."""
_MAX_FRAMES: Final = 64
"""Frames around one message; more is not a log but an attack."""


class Framed(NamedTuple):
    """A message and what its frames told; what they did not tell is None.

    `identifier` is "kernel" or "audit" where a frame says so, `program` the name of another
    program (its text keeps it), `pid` the process a frame names. `device` is true where the
    frame is the kernel log's own (dmesg, /dev/kmsg), which keeps `ident: ` in the text.
    `lead` and `width` are characters before the first frame and before the message, `repeated`
    how often rsyslog says that it came.
    """

    text: str
    monotonic_us: int | None = None
    stamp: Stamp | None = None
    facility: int | None = None
    level: int | None = None
    hostname: str | None = None
    identifier: str | None = None
    seq: int | None = None
    program: str | None = None
    pid: int | None = None
    device: bool = False
    lead: int = 0
    width: int = 0
    repeated: int = 0


def unframe(line: str, *, pasted: bool = True) -> Framed:
    """Peel all frames off `line`; raises nothing, whatever it holds.

    Where it was `pasted`, or stood on a terminal, colour codes, HTML entities and no-break
    spaces go wherever they stand: `dmesg --color` and `grep --color` colour words within a
    message. A process name that alone holds such signs keeps them, as does a message that
    comes in a format of its own (/dev/kmsg, JSON).
    """
    line = line[:MAX_LINE]
    plain = known.plain(line) if pasted else line
    framed = _Peeler(line).framed()
    if plain == line or framed.seq is not None or known.only_in_name(framed.text):
        return framed
    return _Peeler(plain).framed()


class _Peeler:
    """One line on its way from the outside in; every step tells whether it peeled something."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.at = 0
        self.lead: int | None = None
        self.monotonic_us: int | None = None
        self.stamp: Stamp | None = None
        self.facility: int | None = None
        self.level: int | None = None
        self.hostname: str | None = None
        self.identifier: str | None = None
        self.program: str | None = None
        self.pid: int | None = None
        self.claimed = False  # a frame said that this is the kernel's
        self.device = False
        self.dated_by: str | None = None
        self.repeated = 0
        self.around = ""  # what stands before a pasted text and may stand after it too
        self.prose_at: int | None = None  # a mark that prose has too stands here
        self.tagged = False
        self.names_first = known.NAME_FIRST in line

    def framed(self) -> Framed:
        for _ in range(_MAX_FRAMES):
            if self.at >= len(self.line) or self.program or not self._step():
                break
        if self.lead is None:
            self.lead = self.at
        return self._kmsg() or self._rest()

    def _rest(self) -> Framed:
        self._audit_record()
        text = self._trimmed(self.line[self.at :])
        if self.prose_at is not None and not self._kernels and known.SHORT.fullmatch(text):
            self.at = self.lead = self.prose_at
            text = self.line[self.at :].strip()
        if self.dated_by is None and not self.claimed and text.startswith("-- "):
            text = ""  # journalctl's own lines: "-- Boot 0123 --", "-- No entries --"
        return Framed(
            text=text,
            monotonic_us=self.monotonic_us,
            stamp=self.stamp,
            facility=self.facility,
            level=self.level,
            hostname=self.hostname,
            identifier=self.identifier,
            program=self.program,
            pid=self.pid,
            device=self.device and self.identifier is None,
            lead=self.lead or 0,
            width=self.at,
            repeated=self.repeated,
        )

    def _trimmed(self, text: str) -> str:
        for _ in range(16):
            before = len(text)
            text = text.rstrip(" \t\r\n\f\v\0\xa0\u200b\ufeff`" + self.around)
            tag = text.rfind("<", -40) if text.endswith(">") else -1
            if tag >= 0 and known.CLOSING_TAG.fullmatch(text, tag):
                text = text[:tag]
            for mark in known.CLOSING_MARK.finditer(text, max(0, len(text) - 16)):
                text = text[: mark.start()] if mark.end() == len(text) else text
            if len(text) == before:
                break
        return text

    @property
    def _kernels(self) -> bool:
        """Tell whether a frame said that what follows is the kernel's."""
        return self.claimed or self.device or self.facility is not None

    # Which steps are worth a try depends on the character the rest begins with.

    def _step(self) -> bool:
        first = self.line[self.at]
        if self.names_first and self._kernels and known.NAMED_HERE.match(self.line, self.at):
            return self._before_name()
        if first.isspace() or first in "\0\u200b\u200e\u200f\u2060\ufeff":
            return self._take(known.SPACE.match(self.line, self.at))
        steps = _STEPS.get(first, _DIGIT if first.isdecimal() else _WORD)
        return any(step(self) for step in steps)

    def _before_name(self) -> bool:
        """Take what must be a frame, and what only the first of its kind can be.

        A process may call itself "<13>x" or "[9.9] ", so a name may look like a frame.
        """
        if self.line[self.at] == " " and self.line[self.at - 1] != " ":
            self._go(self.at + 1, frame=False)
            return True
        if self.monotonic_us is None and known.PRINTK_TIME.match(self.line, self.at):
            return self.monotonic()
        if known.PRINTK_CALLER.match(self.line, self.at):
            return self.delta()
        return self.facility is None and self.identifier is None and self.kernel()

    def _take(self, match: re.Match[str] | None, *, frame: bool = False) -> bool:
        if match is None or match.end() == self.at:
            return False
        self._go(match.end(), frame=frame)
        return True

    def _go(self, end: int, *, frame: bool = True) -> None:
        if frame and self.lead is None:
            self.lead = self.at
        self.at = end

    def mark(self) -> bool:
        if self.claimed:
            return self.tagged and self._take(known.CLOSING_TAG.match(self.line, self.at))
        match = known.MARK.match(self.line, self.at)
        if not match:
            return False
        if match[0][0] in "*\"'|":
            self.around += match[0][0]
        self.tagged = self.tagged or match[0][0] == "<"
        if match["quoted"]:
            self.prose_at = None
        elif match["prose"] or known.PROSE_TAG.match(match[0]):
            self._prose()
        return self._take(match)

    def _prose(self) -> None:
        self.prose_at = self.at if self.prose_at is None else self.prose_at

    # Frames of the kernel log itself.

    def monotonic(self) -> bool:
        match = known.MONOTONIC.match(self.line, self.at)
        if not match:
            return False
        fraction = int(match["fraction"].ljust(6, "0")[:6])
        self.monotonic_us = int(match["seconds"]) * 1_000_000 + fraction
        return self._device(match)

    def delta(self) -> bool:
        match = known.DELTA.match(self.line, self.at) or known.CALLER.match(self.line, self.at)
        return match is not None and self._device(match)

    def _device(self, match: re.Match[str]) -> bool:
        self.claimed = self.device = True
        return self._take(match, frame=True)

    def pri(self) -> bool:
        match = known.PRI.match(self.line, self.at)
        if not match or (self.monotonic_us is not None and not self.identifier):
            return False
        # The outermost was written by whoever received the line; a text may begin with another.
        if self.facility is None:
            self.facility, self.level = int(match[1]) >> 3, int(match[1]) & 7
        return self._take(match, frame=True)

    def decoded(self) -> bool:
        match = None if self.claimed else known.DECODED.match(self.line, self.at)
        if not match or (match["host"] and self.dated_by == "syslog"):
            return False
        self._says(match)
        self.device = True
        return self._take(match, frame=True)

    def _kmsg(self) -> Framed | None:
        match = None if self.claimed else known.KMSG.match(self.line, self.at)
        if not match:
            return None
        prio, seq, usec = (int(part) for part in match.groups())
        raw = self.line[match.end() :].rstrip("\r\n").encode(errors="backslashreplace")
        return Framed(
            text=unescape(raw),
            monotonic_us=usec,
            stamp=self.stamp,
            facility=prio >> 3,
            level=prio & 7,
            hostname=self.hostname,
            seq=seq,
            device=True,
            lead=self.lead or 0,
            width=match.end(),
        )

    # Frames that name a sender.

    def kernel(self) -> bool:
        match = known.KERNEL.match(self.line, self.at)
        if not match:
            return False
        self._says(match, facility=False)
        self.claimed, self.identifier = True, "kernel"
        if match["pid"] and int(match["pid"]):
            self.pid = int(match["pid"])
        return self._take(match, frame=True)

    def audit(self) -> bool:
        match = known.AUDIT.match(self.line, self.at)
        if not match:
            return False
        self._says(match)
        self.claimed, self.identifier = True, "audit"
        return self._take(match, frame=True)

    def _audit_record(self) -> None:
        """Learn from `type=AVC msg=audit(...)`, which stays in the text."""
        match = known.AUDIT_RECORD.match(self.line, self.at)
        if not match:
            if not self.claimed and self.line.startswith("AVC avc:", self.at):
                self.identifier = "audit"  # journalctl -o cat
            return
        if match["daemon"] and not self.device:
            self.identifier = "audit"
            self.hostname = match["host"] or self.hostname
        if match["seconds"] and (match["daemon"] or self.stamp is None):
            self.stamp = epoch_stamp(match["seconds"], match["fraction"])

    def other_program(self) -> bool:
        """Take note of another program's name, which stays in the text and ends the peeling."""
        match = known.PROGRAM.match(self.line, self.at)
        if not match:
            return False
        if self.claimed and not match["host"]:
            return self._writer(match)
        named = match["host"] if self.dated_by == "syslog" else match["pid"]
        if self.identifier or not named or not (self.dated_by or self.device):
            return False
        self.program = match["program"]
        self.pid = int(match["pid"]) if match["pid"] else None
        self.hostname = match["host"] or self.hostname
        self.lead = self.at if self.lead is None else self.lead
        return True

    def _writer(self, match: re.Match[str]) -> bool:
        """Take note of `systemd[1]: ` after a kernel stamp, unless the facility tells anyway."""
        if not match["pid"] or self.monotonic_us is None or self.pid:
            return False
        if self.facility is not None:
            return False
        if self.identifier == "audit":
            return False
        self.program, self.pid = match["program"], int(match["pid"])
        return True

    def repeats(self) -> bool:
        """Open rsyslog's `message repeated 3 times: [ ... ]`."""
        match = known.REPEATED.match(self.line, self.at) if self.identifier == "kernel" else None
        line = self.line.rstrip()
        if not match or self.repeated or not line.endswith("]"):
            return False
        self.repeated, self.line = int(match[1]), line[:-1]
        return self._take(match)

    def _says(self, match: re.Match[str], *, facility: bool = True) -> None:
        """Keep host, facility and level, as far as `match` has them.

        The word beside "kernel:" is the syslog daemon's: BusyBox writes LOG_USER for LOG_KERN.
        """
        part = match.groupdict()
        host = part.get("host2") or part.get("host")
        if host in known.LEVEL_WORDS:
            self.level, host = known.LEVEL_WORDS[host], None
        self.hostname = host or self.hostname
        if part.get("facility") and self.facility is None:
            self.level = known.LEVELS[part["level"]]
            if facility or part["facility"] == "kern":
                self.facility = known.FACILITIES.index(part["facility"])

    def rfc5424(self) -> bool:
        match = None if self.claimed else known.RFC5424.match(self.line, self.at)
        if not match:
            return False
        stamp, end = read_iso(match["stamp"], 0)
        self.stamp = stamp if end == len(match["stamp"]) else self.stamp
        self.dated_by = "rfc5424"
        self.hostname = None if match["host"] == "-" else match["host"]
        audit = match["program"] == "audit" and known.AUDIT_SAYS.match(self.line, match.end())
        if match["program"] not in ("kernel", "-") and not audit:
            self.program = match["program"]
            self.pid = int(match["pid"]) if match["pid"].isdecimal() else None
            return True
        self.identifier = None if match["program"] == "-" else match["program"]
        self.claimed = self.identifier is not None
        return self._take(match, frame=True)

    # Dates.

    def bracketed_date(self) -> bool:
        for read in (read_iso, read_syslog, read_reltime, read_time_of_day):
            start = self.at + 1 + (self.line[self.at + 1 : self.at + 2] == " ")
            stamp, end = read(self.line, start)
            close = known.CLOSE.match(self.line, end) if end > start else None
            if close and not self.claimed:
                if read is read_time_of_day:
                    self._prose()
                self._dated("bracket", stamp, close.end())
                self.device = read is not read_time_of_day or self.device
                return True
        return False

    def iso(self) -> bool:
        stamp, end = (None, 0) if self.claimed else read_iso(self.line, self.at)
        if stamp is None:
            return False
        # dmesg is the only one to write a comma there and no host after it.
        self.device = self.device or "," in self.line[self.at : end]
        by = "device" if self.device else "iso"
        after = known.AFTER_ISO.match(self.line, end)
        self._dated(by, stamp, after.end() if after else end)
        return True

    def syslog(self) -> bool:
        return self._date(read_syslog, "syslog")

    def full(self) -> bool:
        return self._date(read_full, "syslog")

    def unix(self) -> bool:
        return self._date(read_unix, "syslog")

    def _date(self, read: Callable[[str, int], tuple[Stamp | None, int]], by: str) -> bool:
        stamp, end = (None, 0) if self.claimed else read(self.line, self.at)
        if stamp is None:
            return False
        self._dated(by, stamp, end)
        return True

    def time_of_day(self) -> bool:
        _, end = read_time_of_day(self.line, self.at)
        if self.claimed or end == self.at:
            return False
        self._prose()
        self._go(end)
        return True

    def _dated(self, by: str, stamp: Stamp | None, end: int) -> None:
        # The innermost is the nearest to the event; those around it say when it was copied.
        self.stamp, self.dated_by = stamp or self.stamp, by
        if self.line[end : end + 2] == ": ":
            end += 1
        self._go(end)

    # Containers and CI.

    def pod(self) -> bool:
        return not self.claimed and self._take(known.POD.match(self.line, self.at), frame=True)

    def compose(self) -> bool:
        match = None if self.claimed else known.COMPOSE.match(self.line, self.at)
        if match:
            self._prose()
        return self._take(match, frame=True)

    def buildkit(self) -> bool:
        return self._first(known.BUILDKIT)

    def socklog(self) -> bool:
        match = known.SOCKLOG.match(self.line, self.at) if self.dated_by else None
        if not match or self.claimed:
            return False
        self._says(match)
        self.claimed = True
        return self._take(match, frame=True)

    def metalog(self) -> bool:
        match = known.METALOG.match(self.line, self.at) if self.dated_by == "syslog" else None
        if not match or self.claimed:
            return False
        self.claimed, self.identifier = True, "kernel"
        return self._take(match, frame=True)

    def gh_run(self) -> bool:
        if self.claimed or "\t" not in self.line[self.at : self.at + 256]:
            return False
        return self._take(known.GH_RUN.match(self.line, self.at), frame=True)

    def grep(self) -> bool:
        return self.lead is None and self._take(known.GREP.match(self.line, self.at), frame=True)

    def prompt(self) -> bool:
        return self._first(known.PROMPT)

    def count(self) -> bool:
        return self._first(known.COUNT)

    def _first(self, pattern: re.Pattern[str]) -> bool:
        """Take what can only stand before all frames."""
        if self.lead is not None or self.claimed or self.dated_by:
            return False
        return self._take(pattern.match(self.line, self.at))


_Step = Callable[[_Peeler], bool]
_P = _Peeler
# fmt: off
_WORD: Final[tuple[_Step, ...]] = (
    _P.repeats, _P.mark, _P.decoded, _P.socklog, _P.kernel, _P.audit, _P.full, _P.syslog,
    _P.other_program, _P.grep, _P.compose, _P.gh_run, _P.prompt,
)
_DIGIT: Final[tuple[_Step, ...]] = (
    _P.iso, _P.unix, _P.time_of_day, _P.rfc5424, _P.count, *_WORD,
)
_STEPS: Final[dict[str, tuple[_Step, ...]]] = {
    "[": (_P.monotonic, _P.delta, _P.bracketed_date, _P.metalog, _P.pod, _P.mark, _P.prompt),
    "#": (_P.buildkit, _P.mark, _P.prompt),
    "<": (_P.pri, _P.kernel, _P.mark),
}
# fmt: on
