"""Physical lines as messages: one line may hold several, and one message several lines."""

from __future__ import annotations

import codecs
import re
from typing import Final

from watcher.patterns import late
from watcher.sources import frame_patterns as known
from watcher.sources.frames import Framed, unframe

# --- bytes that are no UTF-8

_LETTERS: Final = 0x17000
"""Tangut, which no log is written in, stands for bytes of old encodings while frames are read."""
_SHOWN: Final = {_LETTERS + byte: f"\\x{byte:02x}" for byte in range(128, 256)}
# The sign for "month" after its number, in GBK, EUC-JP, EUC-KR, Shift-JIS and Big5.
_MONTH: Final = late(
    rb"(\A[^\n]{0,40}?\b\d{1,2} ?)(?:\xd4\xc2|\xb7\xee|\xbf\xf9|\x8c\x8e|\xa4\xeb)(?= )"
)


def _as_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_LETTERS + byte) for byte in error.object[error.start : error.end]), (
        error.end
    )


codecs.register_error("watcher.letters", _as_letters)


def decode(raw: bytes) -> str:
    """Read bytes as UTF-8; others become letters, so that a frame in any encoding is known."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _MONTH.sub(rb"\1" + "月".encode(), raw).decode(errors="watcher.letters")


def unframe_decoded(line: str) -> Framed:
    """Peel the frames of a line from `decode`; bytes that are no UTF-8 come out as \\xNN."""
    framed = unframe(line)
    if line.isascii():
        return framed
    host, program = framed.hostname, framed.program
    return framed._replace(
        text=shown(framed.text),
        hostname=host and shown(host),
        program=program and shown(program),
    )


def shown(text: str) -> str:
    """Give text from `decode` with bytes that are no UTF-8 as \\xNN."""
    return text.translate(_SHOWN)


# --- several messages on a line


_STAMPED: Final = r"(?:<\d{1,3}>)?\[ {0,8}\d{1,8}\.\d{1,9}\] "
_CUTS: Final = late(
    rf"\r+|<br ?/?>|(?:\\r)?\\n(?={_STAMPED})|(?<=kernel_lockdown\.7)[ \t]{{0,8}}(?={_STAMPED})"
    rf"|(?<=SecureBoot)[ \t]{{0,8}}(?={_STAMPED})",
    re.IGNORECASE,
)


def parts(line: str) -> list[str]:
    """Give the messages that stand on one line.

    A carriage return may stand in a process name too, so none is cut in two there.
    """
    found, start = [], 0
    for cut in _CUTS.finditer(line):
        if line[cut.end() :].strip() and not _within_name(line, start, cut.start()):
            found.append(line[start : cut.start()])
            start = cut.end()
    return [*found, line[start:]]


_NAME: Final = 15


def _within_name(line: str, start: int, end: int) -> bool:
    at = line.rfind("Lockdown: ", max(start, end - _NAME - 10), end)
    return at >= 0


# --- one message on several lines

_SHORT: Final = len("Lockdown: ") + _NAME


def lacks_its_end(text: str) -> bool:
    """Tell whether a newline in a process name cut a denial in two."""
    # "Lockdown: evil: hib\n<0>x: hibernation is restricted".
    return text.startswith("Lockdown: ") and " is restricted" not in text


def is_torn(text: str) -> bool:
    """Tell whether what is there can be a process name that goes on in the next line."""
    return lacks_its_end(text) and len(text.encode(errors="replace")) <= _SHORT


def rest_of_torn(line: str, framed: Framed, following: str) -> str | None:
    """Give what `following` adds to a torn `line` where the same frame begins both."""
    if framed.monotonic_us is not None:
        rest = _after_stamp(line, framed, following)
    elif _is_bare(framed) or framed.device:
        before = line[: framed.width]
        rest = following[framed.width :] if following.startswith(before) else None
        if rest is not None and _is_bare(framed) and not _is_bare(unframe(rest)):
            return None
    else:
        return None
    return None if rest is None or rest.startswith("Lockdown: ") else shown(rest.rstrip("\r"))


def _after_stamp(line: str, framed: Framed, following: str) -> str | None:
    stamps = list(known.MONOTONIC.finditer(line, 0, framed.width))
    stamp = line[stamps[-1].start() : framed.width] if stamps else ""
    end = following.find(stamp, 0, framed.width + 64) + len(stamp) if stamp else 0
    if end < len(stamp) or not stamp:
        return None
    frame = unframe(following[:end] + "x")
    same = frame.monotonic_us == framed.monotonic_us and frame.text == "x"
    return following[end:] if same and frame.identifier == framed.identifier else None


def _is_bare(framed: Framed) -> bool:
    told = (framed.stamp, framed.monotonic_us, framed.identifier, framed.program)
    return all(each is None for each in told) and not framed.device
