"""What the Sigma specification says of single rules and events: every modifier and condition.

Each row is a detection, then what it must match and what it must not. The answers are the
specification's (appendix "Modifiers", "Detection", "Condition"), not any engine's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Event = Mapping[str, str]
Row = tuple[str, list[Event], list[Event]]


@dataclass(frozen=True, slots=True)
class Probe:
    """One question: does the detection match the event?"""

    name: str
    detection: str
    event: Event
    expected: bool


def x(*values: str) -> list[Event]:
    """Events that have but the field X."""
    return [{"X": value} for value in values]


def m(*values: str) -> list[Event]:
    """Events that have but a message."""
    return [{"MESSAGE": value} for value in values]


def one(item: str) -> str:
    """A detection of one selection."""
    return f"{{s: {{{item}}}, condition: s}}"


NOTHING: Final[Event] = {"OTHER": "z"}

VALUES: Final[dict[str, Row]] = {
    "string": (one("X: foo"), x("foo", "FOO", "fOo"), [*x("fo", "foo ", " foo", "f*"), NOTHING]),
    "string upper": (one("X: FOO BAR"), x("foo bar", "FOO BAR"), x("foo  bar", "foobar")),
    "star end": (one("X: 'foo*'"), x("foo", "foobar", "FOO\nbar"), x("fo", "xfoo")),
    "star start": (one("X: '*foo'"), x("foo", "barfoo", "bar\nfoo"), x("foo ", "fo")),
    "star both": (one("X: '*foo*'"), x("foo", "a foo b", "FOO"), x("f oo", "")),
    "star middle": (one("X: 'a*b'"), x("ab", "a b", "AxxB"), x("ba", "abc", "cab")),
    "star overlap": (one("X: 'ab*ba'"), x("abba", "ab ba"), x("aba")),
    "stars": (one("X: 'a*b*c'"), x("abc", "a1b2c"), x("acb", "ab")),
    "question": (one("X: 'f?o'"), x("foo", "fxo", "F.O"), x("fo", "fxxo")),
    "questions": (one("X: '??'"), x("ab", "  "), x("a", "abc", "")),
    "star question": (one("X: 'f?*'"), x("fo", "foo"), x("f", "xfo")),
    "only star": (one("X: '*'"), x("a", "a b"), [NOTHING]),
    "float": (one("X: 1.5"), x("1.5"), x("1", "15", "2")),
    "zero": (one("X: 0"), x("0"), [*x("", "1"), NOTHING]),
    "long number": (one("X: 18446744073709551615"), x("18446744073709551615"), x("1844674407")),
    "hex as text": (one("X: '0x10'"), x("0x10", "0X10"), x("16")),
    "null in a map": (one("X: null, Y: a"), [{"Y": "a"}], [{"X": "b", "Y": "a"}]),
    "newline": (one('X: "a\\nb"'), x("a\nb"), x("a b", "anb")),
    "tab": (one('X|contains: "\\t"'), x("a\tb"), x("a b")),
    "star across lines": (one("X: 'a*b'"), x("a\n\nb"), []),
    "question newline": (one("X: 'a?b'"), x("a\nb"), []),
    "escaped star": (one(r"X: 'a\*b'"), x("a*b"), x("ab", "axb", r"a\*b")),
    "escaped question": (one(r"X: 'a\?b'"), x("a?b"), x("axb", "ab")),
    "backslash": (one(r"X: 'a\b'"), x(r"a\b"), x("ab", r"a\\b")),
    "two backslashes": (one(r"X: 'a\\b'"), x(r"a\b"), x("ab", r"a\\b")),
    "backslash star": (one(r"X: 'a\\*'"), x("a\\", r"a\b"), x("a", "a*")),
    "percent": (one("X: '100%'"), x("100%"), x("100", "1000")),
    "underscore": (one("X: 'a_b'"), x("a_b"), x("axb")),
    "underscore contains": (one("X|contains: 'a_b'"), x("xa_bx"), x("xaxbx")),
    "percent contains": (one("X|contains: '0%1'"), x("x0%1x"), x("x0a1x")),
    "underscore alone": (one("X: _"), x("_"), [*x("a", ""), NOTHING]),
    "two quotes": (one("X: '\"\"'"), x('""'), x("", "a")),
    "quote": (one('X: "it\'s"'), x("it's"), x("its")),
    "double quote": (one("X: 'say \"a\"'"), x('say "a"'), x("say a")),
    "brackets": (one("X: 'a[b]c'"), x("a[b]c"), x("abc")),
    "brackets cased": (one("X|cased|contains: '[b]'"), x("a[b]c"), x("abc", "a[B]c")),
    "unicode": (one("X: 'grün'"), x("grün"), x("grun", "gr n")),
    "unicode case": (one("X: 'grün'"), x("GRÜN"), []),
    "empty": (one("X: ''"), x(""), [*x("a", " "), NOTHING]),
    "null": (one("X: null"), [NOTHING], x("a", "", "null")),
    "blank": (one("X: ' '"), x(" "), x("", "  ")),
    "list": (one("X: [foo, bar]"), x("foo", "BAR"), x("foobar", "baz", "")),
    "list of patterns": (one("X: ['foo*', '*bar']"), x("foox", "xbar"), x("xfoox", "barx")),
    "list with null": (one("X: [foo, null]"), [*x("foo"), NOTHING], x("bar", "")),
    "list with empty": (one("X: [foo, '']"), x("foo", ""), [*x("bar"), NOTHING]),
    "number": (one("X: 4"), x("4"), [*x("5", "44", "", "four"), NOTHING]),
    "number as text": (one("X: '4'"), x("4"), x("5", "04")),
    "negative": (one("X: -1"), x("-1"), x("1")),
    "numbers": (one("X: [1, 22]"), x("1", "22"), x("2", "122")),
    "bool": (one("X: true"), x("true"), x("false", "1")),
    "two fields": (one("X: a, Y: b"), [{"X": "a", "Y": "b"}], [{"X": "a"}, {"X": "a", "Y": "a"}]),
    "list of maps": (
        "{s: [{X: a}, {Y: b}], condition: s}",
        [{"X": "a"}, {"Y": "b"}, {"X": "a", "Y": "b"}],
        [{"X": "b", "Y": "a"}, NOTHING],
    ),
    "list of wider maps": (
        "{s: [{X: a, Y: b}, {X: c}], condition: s}",
        [{"X": "a", "Y": "b"}, {"X": "c"}],
        [{"X": "a"}, {"Y": "b"}, {"X": "b", "Y": "a"}],
    ),
}  # fmt: skip

_DASHES: Final = "-/\u2013\u2014\u2015"
MODIFIERS: Final[dict[str, Row]] = {
    "contains": (one("X|contains: foo"), x("foo", "a FOO b"), [*x("fo o", ""), NOTHING]),
    "contains list": (one("X|contains: [foo, bar]"), x("xfoo", "barx"), x("fo", "ba r")),
    "contains all": (one("X|contains|all: [a1, b2]"), x("a1b2", "B2 A1"), x("a1", "b2", "")),
    "contains star": (one("X|contains: 'a*b'"), x("xa-bx", "ab"), x("ba")),
    "contains question": (one("X|contains: 'a?b'"), x("xa-bx"), x("xabx")),
    "contains escaped": (one(r"X|contains: 'a\*b'"), x("xa*bx"), x("xaxbx")),
    "contains number": (one("X|contains: 42"), x("x42x", "42"), x("4 2")),
    "startswith": (one("X|startswith: foo"), x("foo", "FOObar"), [*x("xfoo", "fo"), NOTHING]),
    "startswith list": (one("X|startswith: [a, b]"), x("ax", "bx"), x("xa")),
    "startswith star": (one("X|startswith: 'a*b'"), x("a-bx", "abx"), x("xab", "a")),
    "endswith": (one("X|endswith: foo"), x("foo", "barFOO"), [*x("foox", "oo"), NOTHING]),
    "endswith list": (one("X|endswith: [/nc, /ncat]"), x("/bin/nc", "/ncat"), x("/nc ", "nc")),
    "endswith backslash": (one(r"X|endswith: '\a.exe'"), x(r"C:\a.exe"), x("Ca.exe")),
    "start and end": (
        "{s: {X|startswith: ab}, t: {X|endswith: ba}, condition: s and t}",
        x("aba", "abba"),
        x("ab", "ba"),
    ),
    "cased": (one("X|cased: Foo"), x("Foo"), x("foo", "FOO")),
    "cased contains": (one("X|contains|cased: Foo"), x("xFoox"), x("xfoox")),
    "cased startswith": (one("X|startswith|cased: Foo"), x("Foox"), x("foox")),
    "cased endswith": (one("X|endswith|cased: Foo"), x("xFoo"), x("xfoo", "Foox")),
    "cased star": (one("X|cased: 'F*o'"), x("Fo", "F-o"), x("fo", "FO")),
    "cased list": (one("X|cased: [Foo, BAR]"), x("Foo", "BAR"), x("FOO", "bar")),
    "neq": (one("X|neq: foo"), x("bar"), x("foo", "FOO")),
    "neq absent": (one("X|neq: foo"), [NOTHING], []),
    "neq list": (one("X|neq: [foo, bar]"), x("baz"), x("foo", "bar")),
    "neq number": (one("X|neq: 4"), x("5"), x("4")),
    "neq contains": (one("X|contains|neq: foo"), x("bar"), x("xfoox")),
    "neq fieldref": (one("X|fieldref|neq: Y"), [{"X": "a", "Y": "b"}], [{"X": "a", "Y": "a"}]),
    "exists": (one("X|exists: true"), x("a", "b c"), [NOTHING]),
    "exists empty": (one("X|exists: true"), x(""), []),
    "exists not": (one("X|exists: false"), [NOTHING], x("a", "")),
    "exists no": (one("X|exists: no"), [NOTHING], x("a")),
    "lt": (one("X|lt: 5"), x("4", "-1", "0"), [*x("5", "10"), NOTHING]),
    "lte": (one("X|lte: 5"), x("5", "4"), x("6", "50")),
    "gt": (one("X|gt: 5"), x("6", "10"), [*x("5", "4"), NOTHING]),
    "gte": (one("X|gte: 5"), x("5", "10", "123456789012"), x("4", "-5")),
    "gt text": (one("X|gt: 5"), [], x("six", "")),
    "between": (
        "{s: {X|gte: 10}, t: {X|lt: 20}, condition: s and t}",
        x("10", "19"),
        x("9", "20", "100"),
    ),
    "re": (one("X|re: 'a.c'"), x("abc", "xabcx"), [*x("ac", "ABC"), NOTHING]),
    "re anchored": (one("X|re: '^a.*z$'"), x("az", "a-z"), x("xaz", "azx")),
    "re class": (one("X|re: '[0-9]{2,3}'"), x("12", "a123"), x("1", "a1b2")),
    "re either": (one("X|re: '(foo|bar)s?'"), x("foo", "bars"), x("baz")),
    "re dot": (one(r"X|re: 'a\.b'"), x("a.b"), x("axb")),
    "re list": (one("X|re: ['^a', 'b$']"), x("ax", "xb"), x("xax")),
    "re all": (one("X|re|all: ['^a', 'b$']"), x("ab", "a b"), x("ax", "xb")),
    "re i": (one("X|re|i: 'abc'"), x("ABC", "xabcx"), x("ab")),
    "re m": (one("X|re|m: '^b$'"), x("a\nb", "b"), x("ab")),
    "re s": (one("X|re|s: 'a.b'"), x("a\nb", "axb"), x("ab")),
    "re no s": (one("X|re: 'a.b'"), x("axb"), x("a\nb")),
    "re not empty": (one("X|re: '.+'"), x("a"), [*x(""), NOTHING]),
    "cidr": (one("X|cidr: 10.0.0.0/8"), x("10.1.2.3", "10.0.0.0"), [*x("11.0.0.1", "x"), NOTHING]),
    "cidr 24": (one("X|cidr: 192.168.1.0/24"), x("192.168.1.255"), x("192.168.2.1")),
    "cidr odd": (one("X|cidr: 172.16.0.0/12"), x("172.16.0.1", "172.31.9.9"), x("172.32.0.1")),
    "cidr 32": (one("X|cidr: 127.0.0.1/32"), x("127.0.0.1"), x("127.0.0.11", "127.0.0.10")),
    "cidr list": (one("X|cidr: [10.0.0.0/8, 127.0.0.0/8]"), x("127.9.9.9", "10.1.1.1"), x("1.1")),
    "cidr 6": (one("X|cidr: 'fe80::/16'"), x("fe80::1"), x("fe81::1", "10.0.0.1")),
    "cidr 6 short": (one("X|cidr: '2001:db8::/32'"), x("2001:db8::1"), x("2001:db9::1")),
    "fieldref": (one("X|fieldref: Y"), [{"X": "a", "Y": "a"}], [{"X": "a", "Y": "b"}, {"X": "a"}]),
    "fieldref case": (one("X|fieldref: Y"), [{"X": "a", "Y": "A"}], []),
    "fieldref start": (
        one("X|fieldref|startswith: Y"), [{"X": "abc", "Y": "ab"}], [{"X": "xabc", "Y": "ab"}],
    ),
    "fieldref end": (
        one("X|fieldref|endswith: Y"), [{"X": "abc", "Y": "bc"}], [{"X": "abcx", "Y": "bc"}],
    ),
    "fieldref contains": (
        one("X|fieldref|contains: Y"), [{"X": "abc", "Y": "b"}], [{"X": "abc", "Y": "d"}],
    ),
    "windash": (
        one("X|windash|contains: ' -f'"), x(*(f"a {dash}f" for dash in _DASHES)), x("a f", "a +f"),
    ),
    "windash all": (
        one("X|windash|contains|all: [' -f', ' -g']"), x("a -f /g", "a /f -g"), x("a -f", "a /g"),
    ),
    "base64": (one("X|base64: foo"), x("Zm9v"), x("foo", "xZm9vx")),
    "base64 contains": (one("X|base64|contains: foo"), x("x Zm9v x"), x("foo")),
    "base64offset": (
        one("X|base64offset|contains: foobar"),
        x("Zm9vYmFy", "xmb29iYXx", "-Zvb2Jhc-"),
        x("foobar", "Zm9vYm"),
    ),
    "wide base64": (one("X|wide|base64: ab"), x("YQBiAA=="), x("YWI=", "ab")),
    "utf16le base64": (one("X|utf16le|base64: ab"), x("YQBiAA=="), x("YWI=")),
    "utf16be base64": (one("X|utf16be|base64: ab"), x("AGEAYg=="), x("YQBiAA==")),
    "wide base64offset": (
        one("X|wide|base64offset|contains: foobar"), x("x ZgBvAG8AYgBhAHIA x"), x("foobar"),
    ),
    "cased question": (one("X|cased: 'F?o'"), x("Foo", "Fxo"), x("foo", "FOO")),
    "cased contains all": (one("X|contains|all|cased: [Ab, cD]"), x("AbcD"), x("abcd", "Ab")),
    "endswith all": (one("X|endswith|all: [c, bc]"), x("abc"), x("ac")),
    "contains windash all": (one("X|contains|all|windash: [' -a', b]"), x("x /a b"), x("x /a")),
    "re start": (one("X|re: '^foo'"), x("foo", "foobar"), x("xfoo", "FOO")),
    "re end": (one("X|re: 'foo$'"), x("foo", "xfoo"), x("foox")),
    "re optional": (one("X|re: 'colou?r'"), x("color", "colour"), x("colouur")),
    "re not class": (one("X|re: '^[^0-9]+$'"), x("abc"), x("a1", "1")),
    "re quote": (one("X|re: \"it's\""), x("it's"), x("its")),
    "re unicode": (one("X|re: 'gr.n'"), x("grün"), x("grn")),
    "re i class": (one("X|re|i: '[a-c]{3}'"), x("ABC", "aBc"), x("ABD")),
    "re i m": (one("X|re|i|m: '^b$'"), x("a\nB"), x("aB")),
    "cidr 0": (one("X|cidr: 0.0.0.0/0"), x("8.8.8.8", "10.0.0.1"), x("x")),
    "cidr 25": (one("X|cidr: 10.0.0.128/25"), x("10.0.0.200"), x("10.0.0.1", "10.0.1.200")),
    "lt negative": (one("X|lt: 0"), x("-1"), x("0", "1")),
    "gt float": (one("X|gt: 1.5"), x("2", "1.75"), x("1", "1.5")),
    "gte list": (one("X|gte: [10, 20]"), x("10", "15"), x("9")),
    "all of patterns": (one("X|all: ['*a*', '*b*']"), x("ab", "ba"), x("a", "b")),
    "startswith all": (one("X|startswith|all: [a, ab]"), x("abc"), x("ac")),
}  # fmt: skip

_KEYS: Final = "{k: [foo, 'b*r'], condition: k}"
KEYWORDS: Final[dict[str, Row]] = {
    "keyword": ("{k: [foo], condition: k}", m("foo", "a FOO b", "xfoox"), m("fo o", "")),
    "keywords": (_KEYS, m("foo", "a bar", "br"), m("rb")),
    "keyword number": ("{k: [4711], condition: k}", m("pid 4711", "x47110"), m("471")),
    "keyword string": ("{k: foo, condition: k}", m("a foo b"), m("bar")),
    "keywords all": ("{k: {'|all': [foo, bar]}, condition: k}", m("bar foo"), m("foo", "bar")),
    "keyword star": ("{k: ['foo*bar'], condition: k}", m("foo bar", "xfoobarx"), m("bar foo")),
    "keyword question": ("{k: ['f?o'], condition: k}", m("a fxo b"), m("a fo b")),
    "keyword quote": ("{k: [\"it's\"], condition: k}", m("it's so"), m("its so")),
    "keyword and field": (
        "{k: [foo], s: {X: a}, condition: k and s}",
        [{"MESSAGE": "foo", "X": "a"}],
        [{"MESSAGE": "foo"}, {"MESSAGE": "x", "X": "a"}],
    ),
    "keyword not": (
        "{k: [foo], condition: not k}", m("bar"), m("foo", "xFOOx"),
    ),
    "keywords re": ("{k: {'|re': 'fo+ '}, condition: k}", m("a fooo b"), m("f b")),
}  # fmt: skip

_AB: Final = "a: {X: 'on'}, b: {Y: 'on'}, c: {Z: 'on'}"
_X, _Y, _Z = {"X": "on"}, {"Y": "on"}, {"Z": "on"}
_NUMBERED: Final = "s1: {X: 'on'}, s2: {Y: 'on'}, f1: {Z: 'on'}"
CONDITIONS: Final[dict[str, Row]] = {
    "and": (f"{{{_AB}, condition: a and b}}", [_X | _Y, _X | _Y | _Z], [_X, _Y, _Z]),
    "or": (f"{{{_AB}, condition: a or b}}", [_X, _Y, _X | _Y], [_Z, NOTHING]),
    "not": (f"{{{_AB}, condition: not a}}", [_Y, NOTHING, {"X": "off"}], [_X, _X | _Y]),
    "and not": (f"{{{_AB}, condition: a and not b}}", [_X, _X | _Z], [_X | _Y, _Y]),
    "and or": (f"{{{_AB}, condition: a and b or c}}", [_X | _Y, _Z], [_X, _Y]),
    "or and": (f"{{{_AB}, condition: a or b and c}}", [_X, _Y | _Z], [_Y, _Z]),
    "brackets": (f"{{{_AB}, condition: (a or b) and c}}", [_X | _Z, _Y | _Z], [_X | _Y, _Z]),
    "not brackets": (f"{{{_AB}, condition: not (a or b)}}", [_Z, NOTHING], [_X, _Y]),
    "not and": (f"{{{_AB}, condition: not (a and b)}}", [_X, _Y, NOTHING], [_X | _Y]),
    "not not": (f"{{{_AB}, condition: not (not a)}}", [_X], [_Y, NOTHING]),
    "not or": (f"{{{_AB}, condition: not a or b}}", [_Y, _X | _Y, NOTHING], [_X, _X | _Z]),
    "not a and not b": (f"{{{_AB}, condition: not a and not b}}", [_Z, NOTHING], [_X, _Y]),
    "1 of": (f"{{{_NUMBERED}, condition: 1 of s*}}", [_X, _Y, _X | _Y], [_Z, NOTHING]),
    "any of": (f"{{{_NUMBERED}, condition: any of s*}}", [_X, _Y], [_Z]),
    "all of": (f"{{{_NUMBERED}, condition: all of s*}}", [_X | _Y], [_X, _Y, _Z]),
    "1 of them": (f"{{{_NUMBERED}, condition: 1 of them}}", [_X, _Z], [NOTHING]),
    "all of them": (f"{{{_NUMBERED}, condition: all of them}}", [_X | _Y | _Z], [_X | _Y, _Z]),
    "not 1 of": (
        f"{{{_NUMBERED}, condition: s1 and not 1 of f*}}", [_X, _X | _Y], [_X | _Z, _Y],
    ),
    "not all of": (f"{{{_NUMBERED}, condition: not all of s*}}", [_X, _Z], [_X | _Y]),
    "1 of exact": (f"{{{_NUMBERED}, condition: 1 of s1}}", [_X], [_Y]),
    "1 of, 1 of": (f"{{{_NUMBERED}, condition: 1 of s* and 1 of f*}}", [_X | _Z], [_X | _Y, _Z]),
    "pattern inside": (
        "{a_sel_x: {X: 'on'}, b_sel_y: {Y: 'on'}, condition: 1 of *_sel_*}", [_X, _Y], [_Z],
    ),
    "them without _": (
        "{_hidden: {Z: 'on'}, s: {X: 'on'}, condition: all of them}", [_X, _X | _Z], [_Z],
    ),
    "two conditions": (
        f"{{{_AB}, condition: [a and b, c]}}", [_X | _Y, _Z], [_X, _Y],
    ),
    "not field list": (
        "{s: {X: 'on'}, f: {Y: ['on', 'off']}, condition: s and not f}",
        [_X, _X | {"Y": "up"}],
        [_X | _Y, _X | {"Y": "off"}],
    ),
    "not null": ("{s: {X: null}, condition: not s}", x("a", ""), [NOTHING]),
    "not contains": ("{s: {X|contains: a}, condition: not s}", [*x("b"), NOTHING], x("a", "bab")),
    "not re": ("{s: {X|re: 'a'}, condition: not s}", [*x("b"), NOTHING], x("a")),
    "not number": ("{s: {X|gt: 5}, condition: not s}", [*x("4"), NOTHING], x("6")),
    "not cidr": ("{s: {X|cidr: 10.0.0.0/8}, condition: not s}", [*x("11.1.1.1")], x("10.1.1.1")),
    "not all": ("{s: {X|contains|all: [a, b]}, condition: not s}", [*x("a"), NOTHING], x("ab")),
}  # fmt: skip

_DATES: Final = ("2026-11-28T14:05:09", "1795874709")
"""One moment, a Saturday: Sigma's time modifiers look at a date."""
TIME: Final[dict[str, Row]] = {
    "minute": (one("X|minute: 5"), x(_DATES[0]), x("2026-11-28T14:06:00", "5")),
    "minute epoch": (one("X|minute: 5"), x(_DATES[1]), []),
    "hour": (one("X|hour: 14"), x(_DATES[0]), x("2026-11-28T15:05:09")),
    "hour list": (one("X|hour: [0, 14]"), x(_DATES[0]), x("2026-11-28T15:05:09")),
    "hour gte": (
        one("X|hour|gte: 14"),
        x(_DATES[0], "2026-11-28T23:00:00"),
        [*x("2026-11-28T13:59:59"), NOTHING],
    ),
    "day": (one("X|day: 28"), x(_DATES[0]), x("2026-11-27T14:05:09")),
    "week": (one("X|week: 48"), x(_DATES[0]), x("2026-11-30T14:05:09")),
    "month": (one("X|month: 11"), x(_DATES[0]), x("2026-12-28T14:05:09")),
    "month lt": (one("X|month|lt: 11"), x("2026-10-31T23:59:59"), x(_DATES[0])),
    "year": (one("X|year: 2026"), x(_DATES[0]), x("2025-11-28T14:05:09", "2026")),
    "year epoch": (one("X|year: 2026"), x(_DATES[1]), []),
}

TABLES: Final = {
    "time": TIME,
    "values": VALUES,
    "modifiers": MODIFIERS,
    "keywords": KEYWORDS,
    "conditions": CONDITIONS,
}


def probes() -> Iterator[Probe]:
    """Give every question of every table."""
    for table, rows in TABLES.items():
        for name, (detection, match, miss) in rows.items():
            for event in match:
                yield Probe(f"{table}: {name}", detection, event, expected=True)
            for event in miss:
                yield Probe(f"{table}: {name}", detection, event, expected=False)


def rule_text(identifier: str, detection: str) -> str:
    """Give the rule of a detection. `any` keeps every pipeline from it."""
    fields: dict[str, Any] = {"title": "probe", "id": identifier, "status": "test"}
    head = "".join(f"{key}: {value}\n" for key, value in fields.items())
    return f"{head}level: low\nlogsource: {{product: any}}\ndetection: {detection}\n"
