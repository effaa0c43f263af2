"""Hostile log lines: every wording of the catalogue, in every frame, then broken in every way."""

from __future__ import annotations

import importlib
import json
import random
import re
import struct
from collections.abc import Callable
from typing import Any, Final

from watcher.lockdown import CAUSES, LINES, WORDINGS

Dice = random.Random

TAILS: Final = (
    "man kernel_lockdown.7",
    "https://wiki.debian.org/SecureBoot",
    "https://docs.example/lockdown",
    "man kernel_lockdown.8",
)
FRAGMENTS: Final = (
    *(
        b"\0",
        b"\n",
        b"\r",
        b"\r\n",
        b"\t",
        b" ",
        b"\x0b",
        b"\x1b[31m",
        b"\x1b]0;title\x07",
        b"\x1b[",
    ),
    *(
        b"\x7f",
        b"\xc2\x85",
        b"\xc2\x9b",
        b"\xff",
        b"\xfe\xff",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xe2",
    ),
    *(s.encode() for s in "\u202e\u2066\u2028\u200b\ufeff\u0130\u212a\u1e9e\ufb00"),
    *(
        s.encode()
        for s in ("\U000e0041", "\u0301" * 20, "e\u0301", "\U0001f512", "\u0661\u0662", "²")
    ),
    *(
        b": ",
        b":",
        b"; see ",
        b", see ",
        b" is restricted",
        b"Lockdown: ",
        b"Kernel is locked down",
    ),
    *(b"kernel: ", b"<0>", b"<5>", b"[    1.000000] ", b"[", b"]", b"{", b"}", b'"', b"'", b"\\"),
    *(
        b"\\x0a",
        b"\\x1b",
        b"\\x",
        b"\\u0000",
        b"\\ud800",
        b"=",
        b"%s%n",
        b"$(id)",
        b"<br>",
        b"</p>",
    ),
    *(
        b"<b>",
        b"> ",
        b"# ",
        b"* ",
        b"| ",
        b"`",
        b"-- ",
        b"Oct  9 08:53:39 ",
        b"2026-02-30T25:61:61Z ",
    ),
    *(b"6,1,2,-;", b"99999999999999999999", b"-1", b"audit(", b"avc:  denied  { integrity } "),
    *(
        b"lockdown_reason=",
        b'comm="',
        b"comm=41424",
        b"pid=",
        b" callbacks suppressed",
        b"__CURSOR=",
    ),
)
SHAPES: Final = ("nul", "one", "some", "fragments", "wording", "words")


def name(dice: Dice) -> bytes:
    """Give what a process may call itself: at most 15 bytes, anything but NUL."""
    shape = dice.choice(SHAPES)
    if shape == "nul":
        return b""
    if shape == "one":
        return bytes((dice.randrange(1, 256),))
    if shape == "fragments":
        found = b"".join(dice.choices(FRAGMENTS, k=dice.randrange(1, 4)))
    elif shape == "wording":
        found = dice.choice(WORDINGS).text.encode()[: dice.randrange(16)]
        found = dice.choice((found, b"x: " + found, found + b": "))
    elif shape == "words":
        found = dice.choice(
            (b"systemd-logind", b"Xorg", b"swapper/0", b"fwupd", b"a: b is restric")
        )
    else:
        found = dice.randbytes(dice.randrange(1, 16))
    return found.replace(b"\0", b"")[:15]


# --- texts


def denial(dice: Dice) -> bytes:
    """Give a denial in any wording, with or without a name."""
    words = dice.choice(WORDINGS).text.encode()
    subject = words if dice.random() < 0.3 else name(dice) + b": " + words
    mark, tail = dice.choice((b";", b",")), dice.choice(TAILS).encode()
    return b"Lockdown: " + subject + b" is restricted" + mark + b" see " + tail


def announcement(dice: Dice) -> bytes:
    """Give an announcement for any cause."""
    cause = dice.choice((*CAUSES, "a cause of another year"))
    return f"Kernel is locked down from {cause}; see {dice.choice(TAILS)}".encode()


def other(dice: Dice) -> bytes:
    """Give a line that one of the catalogue's other rows matches."""
    pattern = dice.choice(LINES).pattern.pattern
    return _of_pattern(_PARSER.parse(pattern), dice).encode(errors="replace")


def avc(dice: Dice) -> bytes:
    """Give an SELinux denial of the lockdown class."""
    comm = name(dice)
    quoted = b'"' + comm + b'"' if comm.isalnum() else comm.hex().upper().encode()
    words = dice.choice(WORDINGS).text.encode()
    return (
        b"avc:  denied  { integrity } for  pid=%d comm=%b lockdown_reason="
        % (dice.getrandbits(22), quoted)
        + dice.choice((b'"%b"', b"%b")) % words
        + b" scontext=u:r:t:s0 tcontext=u:r:t:s0 tclass=lockdown permissive=0"
    )


def noise(dice: Dice) -> bytes:
    """Give bytes of no meaning, or many fragments."""
    if dice.random() < 0.5:
        return dice.randbytes(dice.randrange(120))
    return b"".join(dice.choices(FRAGMENTS, k=dice.randrange(20)))


TEXTS: Final = (denial, denial, denial, announcement, other, other, avc, noise)

_PARSER: Any = importlib.import_module("re._parser")


def _of_pattern(parsed: Any, dice: Dice) -> str:
    """Give a text that a parsed regular expression matches (near enough for hostile lines)."""
    return "".join(_of_node(str(kind), value, dice) for kind, value in parsed)


def _of_node(kind: str, value: Any, dice: Dice) -> str:
    if kind == "LITERAL":
        return chr(value)
    if kind in ("ANY", "NOT_LITERAL"):
        return chr(dice.randrange(32, 0x250))
    if kind == "IN":
        return _of_set(value, dice)
    if kind in ("BRANCH", "SUBPATTERN"):
        return _of_pattern(dice.choice(value[1]) if kind == "BRANCH" else value[-1], dice)
    if kind in ("MAX_REPEAT", "MIN_REPEAT"):
        least, most, inner = value
        times = dice.randint(least, min(int(most), least + 12))
        return "".join(_of_pattern(inner, dice) for _ in range(times))
    return ""


def _of_set(members: Any, dice: Dice) -> str:
    kind, value = dice.choice(members)
    if str(kind) == "LITERAL":
        return chr(value)
    if str(kind) == "RANGE":
        return chr(dice.randint(*value))
    return dice.choice("az09_ ")


# --- frames


def escaped(text: bytes) -> bytes:
    """Write a text as /dev/kmsg does (printk.c, msg_print_ext_body)."""
    return _TO_ESCAPE.sub(lambda match: b"\\x%02x" % match[0][0], text)


_TO_ESCAPE: Final = re.compile(rb"[^ -\[\]-~]")


def kmsg(text: bytes, dice: Dice) -> bytes:
    """Give a record of /dev/kmsg, with or without dictionary lines."""
    facility = dice.choice((0, 0, 1, 3, 23, 4095))
    head = b"%d,%d,%d,-;" % (
        facility * 8 + dice.randrange(8),
        dice.getrandbits(40),
        dice.getrandbits(44),
    )
    more = dice.choice((b"", b"", b" SUBSYSTEM=pci\n DEVICE=+pci:0000:00:01.0\n", b" X\n", b" =\n"))
    return head + escaped(text) + b"\n" + more


def export(text: bytes, dice: Dice) -> bytes:
    """Give an entry of the export format, the lengths in it right, wrong or absurd."""
    length = dice.choice(
        (len(text), len(text), len(text) + 1, 0, 2**63, 2**64 - 1, dice.getrandbits(64))
    )
    body = b"MESSAGE\n" + struct.pack("<Q", length) + text + b"\n"
    if dice.random() < 0.3:
        body = b"MESSAGE=" + text + b"\n"
    return (
        b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=%d\n_TRANSPORT=kernel\nSYSLOG_FACILITY=%d\n"
        % (dice.getrandbits(dice.choice((1, 51, 64, 200))), dice.choice((0, 0, 1)))
        + dice.choice((b"", b"=\n", b"9X=1\n", b"A\n", b"MESSAGE=twice\n"))
        + body
        + dice.choice((b"\n", b""))
    )


def as_json(text: bytes, dice: Dice) -> bytes:
    """Give an entry as JSON, from well-formed to absurd."""
    words = text.decode(errors="replace")
    message: object = dice.choice(
        (words, list(text), [words, words], None, 1e999, {"a": words}, True)
    )
    entry: dict[str, object] = {
        "MESSAGE": message,
        "_TRANSPORT": "kernel",
        "SYSLOG_FACILITY": dice.choice(("0", "1", 0, None, ["0", "1"], "99999999999999999999")),
        "__REALTIME_TIMESTAMP": dice.choice(("1760000000000000", -1, "x", 10**30, 1.5)),
        "_SOURCE_MONOTONIC_TIMESTAMP": dice.choice(("1", "", "\u0661", 10**400)),
    }
    shape = dice.randrange(6)
    if shape == 0:
        deep = dice.choice((10, dice.randrange(300, 1200), 5000))
        return b'{"MESSAGE": ' + b"[" * deep + b'"x"' + b"]" * deep + b"}"
    if shape == 1:
        entry = {
            "msg": words,
            "time": dice.choice((1.5, 1e308, -1.0, "x")),
            "pri": dice.choice((6, "info", -9, [])),
            "fac": dice.choice(("kern", 0, None, "user")),
        }
    elif shape == 2:
        entry = {
            "log": words,
            "stream": "stdout",
            "time": dice.choice(("2026-01-01T00:00:00Z", 1, "x")),
        }
    indent = dice.choice((None, None, 2))
    return json.dumps(entry, ensure_ascii=dice.random() < 0.5, indent=indent).encode(
        errors="replace"
    )


_PLAIN_FRAMES: Final = (
    *("[    1.000000] ", "[1234567.123456] ", "<5>[    1.000000] ", "kern  :notice: [    1.5] "),
    *(
        "[Tue Jun 11 15:36:29 2024] ",
        "[Jun11 15:36] ",
        "[  +0.000001] ",
        "[    1.000000 <    0.5>] ",
    ),
    *(
        "2024-06-11T15:36:29,123456+02:00 ",
        "[    1.000000][    T1] ",
        "\x1b[32m[    1.000000] \x1b[0m",
    ),
    *("Jun 11 15:36:29 host kernel: ", "Jun 11 15:36:29 host kernel: [    1.000000] "),
    *("2024-06-11T15:36:29+0200 host kernel: ", "2024-06-11T15:36:29.123456+02:00 host kernel: "),
    *("Tue 2024-06-11 15:36:29 CEST host kernel: ", "1718120189.082983 host kernel: "),
    *("[    1.000000] host kernel: ", "<5>1 2024-06-11T15:36:29Z host kernel - - - "),
    *(
        '<5>1 - - kernel - - [a b="c\\"d"][e f="g"] ',
        "juin 11 15:36:29 host kernel: ",
        "6月 11 15:36:29 h kernel: ",
    ),
    *(
        "2024-06-11T15:36:29.1Z stdout F ",
        "[pod/a/b] ",
        "web-1  | ",
        "job\tstep\t2024-06-11T15:36:29.1Z ",
    ),
    *(
        "> > ",
        "### ",
        "\u00a0",
        "* `",
        "<p>",
        "15:36:29 ",
        "Jun 11 15:36:29 host sshd[1]: ",
        "audit: ",
    ),
    *(
        "Jun 11 15:36:29 host kernel[0]: ",
        "Jun 11 15:36:29 host kernel[77]: ",
        "Feb 29 99:99:99 host kernel: ",
    ),
)


def plain_frame(text: bytes, dice: Dice) -> bytes:
    """Put one of the frames of text before it."""
    return dice.choice(_PLAIN_FRAMES).encode() + text


_FRAMES: Final[tuple[Callable[[bytes, Dice], bytes], ...]] = (
    *(plain_frame,) * 8,
    *(kmsg, kmsg, export, as_json),
)


def framed(text: bytes, dice: Dice) -> bytes:
    """Put no frame, one or a few around a text."""
    for _ in range(dice.choice((0, 1, 1, 1, 1, 2, 3))):
        text = dice.choice(_FRAMES)(text, dice)
    return text


# --- damage


def _insert(line: bytes, dice: Dice) -> bytes:
    at = dice.randint(0, len(line))
    return line[:at] + dice.choice(FRAGMENTS) + line[at:]


def _remove(line: bytes, dice: Dice) -> bytes:
    at = dice.randint(0, len(line))
    return line[:at] + line[at + dice.randrange(1, 12) :]


def _cut(line: bytes, dice: Dice) -> bytes:
    return line[: dice.randint(0, len(line))]


def _flip(line: bytes, dice: Dice) -> bytes:
    at = dice.randrange(len(line)) if line else 0
    return line[:at] + bytes((dice.randrange(256),)) + line[at + 1 :]


def _repeat(line: bytes, dice: Dice) -> bytes:
    at = dice.randint(0, len(line))
    piece = line[at : at + dice.randrange(1, 20)]
    return line[:at] + piece * dice.choice((2, 3, 20, 300)) + line[at:]


def _swap_case(line: bytes, _dice: Dice) -> bytes:
    return line.swapcase()


def _stretch(line: bytes, dice: Dice) -> bytes:
    """Make a line huge; seldom, for it takes long."""
    if dice.random() > 0.01:
        return line
    at = dice.randint(0, len(line))
    return line[:at] + dice.choice(FRAGMENTS) * dice.choice((3000, 30_000)) + line[at:]


_DAMAGES: Final = (_insert, _insert, _insert, _remove, _cut, _flip, _repeat, _swap_case, _stretch)


def line(dice: Dice) -> bytes:
    """Give one hostile line (an entry of a format that has several lines a record is one)."""
    found = framed(dice.choice(TEXTS)(dice), dice)
    for _ in range(dice.choice((0, 0, 1, 1, 2, 4))):
        found = dice.choice(_DAMAGES)(found, dice)
    return found
