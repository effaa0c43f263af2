"""The compiled engine against the naive reference, and what a rule needs against what it matches.

Rules and records are random, made of the same few texts so that they meet; hostile Unicode is
among them.
"""

from __future__ import annotations

import itertools
import re
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.record import Host, Place, Record
from watcher.rules import many, values
from watcher.rules.evaluate import Fields, holds
from watcher.rules.generate import matcher
from watcher.rules.many import by_re2, finder
from watcher.rules.many import plain_finder as plain_select
from watcher.rules.needs import literals, needs
from watcher.rules.prefilter import Prefilter, plain_finder
from watcher.rules.rule import Pack, RuleData, compile_rule
from watcher.rules.select import Selection
from watcher.rules.values import fold

FIELDS = ("MESSAGE", "_SYSTEMD_UNIT", "PRIORITY", "X")
PIECES = (
    *("a", "A", "b", "lockdown", "LOCKDOWN: ", " is restricted", "k", "s", "sS", "*", "?", "\\"),
    *("\u212a", "\u017f", "\u0130", "i\u0307", "\u03a3", "\u03c3", "\u03c2", "\u00df", "\u1e9e"),
    *("\u00e9", "\u0345", "\ufb01", "\U00010400", "\U00010428", "\u13a0", "\uab70", "\0", "\n"),
    *("\u202e", "0", "7", "00", "-", ".", "1e3", "\u0664", "10.1.2.3", "::1", "2026-01-05T23:59"),
    *("1767657540000000", "", " "),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
PARTS = st.lists(st.one_of(st.sampled_from([0, 0, 1]), TEXTS.filter(bool)), max_size=5)
NAMES = st.sampled_from(FIELDS)
OPERATORS = st.sampled_from(["eq", "lt", "lte", "gt", "gte"])
NUMBERS = st.sampled_from([0, 7, -1, 1000, 1.5, 10**30])
PATTERNS = st.sampled_from(
    [
        *(
            "lockdown",
            "^a.*b$",
            "(a|b)+",
            "k|s",
            "(lockdown: |is) restricted",
            "[a-z]{2}",
            "x{0,2}a",
        ),
        *("", "a?b", "(?:a{2}|b)s", "\\.", "(?i)LOCK", "lock.own", "(lock)(down)", "\u00e9a", "a$"),
    ]
)
LEAVES = st.one_of(
    st.tuples(st.just("string"), NAMES, PARTS, st.booleans()),
    st.tuples(st.just("regex"), NAMES, PATTERNS, st.sampled_from(["", "i", "s", "im"])),
    st.tuples(st.just("number"), NAMES, OPERATORS, NUMBERS),
    st.tuples(
        st.just("part"),
        NAMES,
        st.sampled_from(["minute", "hour", "day", "week", "month", "year"]),
        OPERATORS,
        st.sampled_from([0, 1, 2, 5, 23, 59, 2026]),
    ),
    st.tuples(st.just("cidr"), NAMES, st.sampled_from(["10.0.0.0/8", "::/0"])),
    st.tuples(st.just("null"), NAMES),
    st.tuples(st.just("exists"), NAMES, st.booleans()),
    st.tuples(st.just("reference"), NAMES, NAMES, st.booleans(), st.booleans()),
).map(list)


def _deeper(nodes: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[list[Any]]:
    joined = st.tuples(st.sampled_from(["and", "or", "or"]), st.lists(nodes, max_size=4))
    return st.one_of(joined.map(list), st.tuples(st.just("not"), nodes).map(list))


CONDITIONS = st.recursive(LEAVES, _deeper, max_leaves=12)
RECORDS = st.dictionaries(NAMES, TEXTS, max_size=4)
RULE: RuleData = {
    "id": "", "title": "", "level": "low", "file": "", "status": "", "description": "", "tags": [],
    "condition": [], "kind": None, "notify": False, "extract": None, "match": [], "ignore": [],
    "entries": ["audit", "kernel", "process"], "never": None, "writers": None, "silent": False,
    "correlation": None,
}  # fmt: skip


def pack_of(conditions: list[list[Any]]) -> Pack:
    """A pack of rules named by their number."""
    return Pack(
        tuple(
            compile_rule({**RULE, "id": str(number), "condition": condition})
            for number, condition in enumerate(conditions)
        )
    )


def record_of(fields: dict[str, str]) -> Record:
    """A record with these fields."""
    return Record(
        text=fields.get("MESSAGE", ""),
        place=Place("text"),
        trust="unverified",
        fields=fields,
        host=Host(),
        observed_us=0,
    )


@settings(max_examples=600)
@given(CONDITIONS, st.lists(RECORDS, min_size=1, max_size=4))
def test_compiled_equals_naive(condition: list[Any], records: list[dict[str, str]]) -> None:
    """Each generated function says what the walk over the tree says."""
    compiled = matcher(condition)
    for fields in records:
        assert compiled(Fields(fields)) is holds(condition, Fields(fields))


@settings(max_examples=400)
@given(CONDITIONS, RECORDS)
def test_what_matches_has_what_is_needed(condition: list[Any], fields: dict[str, str]) -> None:
    """Neither prefilter nor selection loses a match, whatever letters the record is written in.

    Nor do they without the library that is for texts alone.
    """
    if not holds(condition, Fields(fields)):
        return
    raw = fields.get("MESSAGE", "").encode()
    for made in (many.automaton, mock.Mock(return_value=None)):
        with mock.patch.object(many, "automaton", made):
            pack = pack_of([condition])
            prefilter = pack.prefilter()
            assert prefilter.wants(raw) or prefilter.fits(fields)
            assert [rule.id for rule in pack.matching(record_of(fields), None)] == ["0"]


def test_a_rule_is_found_by_its_texts_in_any_field() -> None:
    """One for audit's records is no candidate for most of them, nor compiled until it is one."""
    audit = ["string", "_TRANSPORT", ["audit"], False]
    pack = pack_of([["and", [audit, ["string", "X", [0, "Chattr", 0], False]]]])
    (rule,) = pack.rules
    assert rule.needs.sought() == (frozenset({("X", "chattr")}), frozenset())
    other = {"_TRANSPORT": "audit", "X": "ls"}
    assert not pack.prefilter().fits(other)
    assert not pack.matching(record_of(other), None)
    assert "matches" not in vars(rule)
    assert pack.prefilter().fits({**other, "X": "/bin/CHATTR"})


def test_what_can_match_nothing_is_not_run() -> None:
    """A rule about another system, whatever its words are, and one for other kinds of entries."""
    condition = ["string", "X", ["a"], False]
    never = compile_rule({**RULE, "condition": condition, "never": "is about windows"})
    pack = Pack((never,))
    assert not pack.prefilter().looks_deeper
    assert not pack.matching(record_of({"X": "a"}), None)
    audit = Pack(
        (compile_rule({**RULE, "condition": condition, "entries": ["audit"]}),)
    ).prefilter()
    assert audit.fits({"_TRANSPORT": "audit", "X": "a"})
    assert not audit.fits({"_TRANSPORT": "syslog", "X": "a"})
    assert not audit.of_kernel().looks_deeper


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        (["string", "MESSAGE", [0, "x"], False], ({("MESSAGE", "x")}, set())),
        (["string", "UNIT", ["a.service"], False], (set(), {("UNIT", "a.service")})),
        (["string", "_TRANSPORT", ["audit"], False], (set(), {("_TRANSPORT", "audit")})),
        (["number", "_UID", "eq", 0], (set(), {("_UID", "0")})),
        (["or", [["string", "X", ["a"], False], ["string", "Y", ["b"], False]]],
         ({("X", "a"), ("Y", "b")}, set())),
        (["or", [["string", "X", ["a"], False], ["null", "Y"]]], None),
        (["not", ["string", "X", ["a"], False]], None),
        (["regex", "X", "^ab+c", ""], ({("X", "a")}, set())),
    ],
)  # fmt: skip
def test_what_a_rule_is_sought_by(condition: list[Any], wanted: object) -> None:
    """By a text in MESSAGE, or a value that parts entries well, or a text in any field."""
    assert needs(condition).sought() == wanted


@settings(max_examples=100)
@given(st.lists(CONDITIONS, max_size=6), RECORDS)
def test_a_pack_gives_every_match_in_order(
    conditions: list[list[Any]], fields: dict[str, str]
) -> None:
    """Selection by needs is nothing but quicker."""
    found = pack_of(conditions).matching(record_of(fields), None)
    wanted = [str(n) for n, each in enumerate(conditions) if holds(each, Fields(fields))]
    assert [rule.id for rule in found] == wanted


@given(st.text(), st.text())
def test_folding_keeps_length_and_places(before: str, after: str) -> None:
    """What is folded in parts is what is folded whole; letters stay where they were."""
    assert fold(before + after) == fold(before) + fold(after)
    assert len(fold(before)) == len(before)
    assert fold(fold(before)) == fold(before)
    assert fold(before.upper().lower()) == fold(before.upper()) or not before.isascii()


def test_only_two_letters_fold_into_ascii() -> None:
    """Of all Unicode: what the prefilter looks for besides."""
    found = {c for c in map(chr, range(128, 0x110000)) if fold(c).isascii()}
    assert found == set(values.FOLD_TO_ASCII.values())


def _like(parts: list[Any], text: str) -> bool:
    """Wildcards by trying everything."""
    if not parts:
        return not text
    first, *rest = parts
    if first == 0:
        return any(_like(rest, text[at:]) for at in range(len(text) + 1))
    if first == 1:
        return bool(text) and _like(rest, text[1:])
    return text.startswith(first) and _like(rest, text[len(first) :])


WILD = st.lists(st.sampled_from([0, 1, "a", "ab", "b", "\n", "\u00e9"]), max_size=6)


@given(WILD, st.text("ab\n\u00e9", max_size=8))
def test_wildcards_mean_what_they_should(parts: list[Any], text: str) -> None:
    """* is any characters, ? is one, newlines too."""
    assert values.like(parts)(text) is _like(parts, text)


@given(st.lists(st.sampled_from("ab.|()*+?{2}[c]^$\\dkS "), max_size=9).map("".join), TEXTS)
def test_a_patterns_texts_are_needed(pattern: str, text: str) -> None:
    """Whatever re2 finds, the texts that Python's parser says are needed stand in it."""
    try:
        found = values.pattern(pattern, "i")(text)
    except ValueError:
        return
    needed = literals(["regex", "MESSAGE", pattern, "i"])
    assert not found or needed is None or any(each in fold(text) for each in needed)


@pytest.mark.parametrize(
    ("pattern", "needed"),
    [
        ("Failed password for .* from", {"failed password for "}),
        ("(?:Accepted|Failed) (?:for|from)", {"accepted", "failed"}),
        ("a*b?", None),
        ("[[:alpha:]]xyz", None),
        ("(?i)ABC\u00e9de", {"abc"}),
        ("(abc){2,}x", {"abc"}),
    ],
)
def test_texts_of_patterns(pattern: str, needed: set[str] | None) -> None:
    """A pattern's own texts let the prefilter pass over what cannot match."""
    assert literals(["regex", "MESSAGE", pattern, ""]) == needed


@given(st.lists(st.text("abk s.", min_size=1, max_size=6), max_size=90, unique=True), TEXTS)
def test_all_ways_find_the_same(texts: list[str], line: str) -> None:
    """With and without the library, few texts or many: the same texts in the same line."""
    low = fold(line)
    assert set(finder(texts)(low)) == set(plain_select(texts)(low))
    raw = [text.encode() for text in texts]
    wanted = any(text in low.encode() for text in raw)
    assert bool(plain_finder(raw)(low.encode())) is wanted
    assert bool(Prefilter([frozenset(texts)]).wants(low.encode())) is wanted or not low.isascii()


@pytest.mark.parametrize(
    "node",
    [
        ["group", "equal", "__import__('os').abort()", ["a"]],
        ["tested", None, "__import__('os').abort()"],
        ["subject", "X"],
        ["_class__", "X"],
    ],
)
def test_a_node_is_never_code(node: list[Any]) -> None:
    """A damaged or planted compiled form names no method of the generator."""
    with pytest.raises(KeyError):
        matcher(["or", [node, ["null", "X"]]])
    with pytest.raises(KeyError):
        holds(node, Fields({}))


# --- worst cases


@pytest.mark.timeout(30)
def test_a_megabyte_in_a_field() -> None:
    """Every kind of test stays linear in it: all of them in two seconds (0.2 s on two cores)."""
    large = "a" * (1 << 20)
    nodes: list[list[Any]] = [
        ["string", "X", [0, "a" * 40, 0, "a" * 40, 0, "b"], False],
        ["string", "X", [0, "a", 1, "b", 0], False],
        ["regex", "X", "(a+)+$|(a|a)*b", ""],
        *(["number", "X", "eq", 7], ["part", "X", "hour", "eq", 7], ["cidr", "X", "::/0"]),
        ["reference", "X", "X", True, True],
    ]
    for text in (large, "1" * (1 << 20), "\u212a" * (1 << 20)):
        for node in nodes:
            compiled = matcher(node)
            compiled(Fields({"X": text}))


@pytest.mark.timeout(5)
def test_a_thousand_networks() -> None:
    """A long field is no address, and one is read once for all of them: 9 s and 8 ms before."""
    nodes = [["cidr", "X", f"10.{number // 250}.{number % 250}.0/24"] for number in range(1000)]
    compiled = matcher(["or", nodes])
    assert not compiled(Fields({"X": "a" * (1 << 20)}))
    assert compiled(Fields({"X": "10.3.249.9"}))
    assert not compiled(Fields({"X": "10.4.0.9"}))
    linked = matcher(["cidr", "X", "fe80::/10"])
    assert linked(Fields({"X": "fe80:0000:0000:0000:0000:0000:192.168.100.200%enp0s31f6.1234"}))


@pytest.mark.timeout(60)
def test_ten_thousand_rules() -> None:
    """They load, and a record costs what its candidates cost."""
    words = ("".join(word) for word in itertools.product("abcdefghij", repeat=4))
    conditions: list[list[Any]] = [
        ["string", "MESSAGE", [0, f"the {word} has", 0], False] for word in words
    ]
    pack = pack_of(conditions)
    prefilter = pack.prefilter()
    assert len(pack.rules) == 10_000
    assert not prefilter.wants(b"a line about something else")
    assert prefilter.wants(b"THE jjjj HAS")
    assert [r.id for r in pack.matching(record_of({"MESSAGE": "x the jjjj has"}), None)] == ["9999"]
    assert "matches" not in vars(pack.rules[0])  # never a candidate, never compiled


@given(st.sets(st.binary(min_size=1, max_size=3), min_size=1, max_size=70), st.binary(max_size=40))
def test_re2_takes_bytes_as_they_are(texts: set[bytes], line: bytes) -> None:
    """Broken UTF-8 too, in what is sought and where."""
    known = sorted(texts)
    wanted = [number for number, text in enumerate(known) if text in line]
    assert sorted(by_re2(known).Match(line) or ()) == wanted
    assert bool(plain_finder(known)(line)) is bool(wanted)


def test_sixteen_thousand_texts() -> None:
    """re2 does not give up on them: the last is found as the first is."""
    texts = [f"the {number:05} of them".encode() for number in range(16_000)]
    search = plain_finder(texts)
    assert all(search(b"a" * 100 + text + b"b") for text in texts[::997])
    assert not search(b"the 99999 of them")


def test_needs_of_nothing() -> None:
    """An empty choice is never true, an empty conjunction always."""
    assert not matcher(["or", []])(Fields({}))
    assert matcher(["and", []])(Fields({}))
    assert Selection([needs(["or", []]), needs(["and", []])]).of(Fields({})) == [1]
    assert re.fullmatch("", "")
