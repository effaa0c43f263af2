"""The rule engine: Sigma's meaning, a prefilter that loses nothing, faults told with their line."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from unittest.mock import Mock, call

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher import pack as packs
from watcher.errors import UsageError
from watcher.pack import load_pack
from watcher.rules.evaluate import Fields
from watcher.rules.parse import parse
from watcher.rules.prefilter import Prefilter, plain_finder, stems
from watcher.rules.rule import Pack, Rule, compile_rule

HEAD = """title: t
id: 5a1f6b0e-6c55-4d0e-8f6e-2f1f1c3b9a01
level: low
logsource: {product: linux}
"""


def rule(detection: str, more: str = "") -> Rule:
    """A rule with that detection, in YAML."""
    (data,), faults = parse({"r.yml": f"{HEAD}detection:\n{detection}\n{more}"})
    assert faults == []
    return compile_rule(data)


def matches(detection: str, **fields: str) -> bool:
    """Whether a rule with that detection matches the fields."""
    return rule(detection).matches(Fields(fields))


PLAIN = "detection: {s: {M: 1}, condition: s}\n"
CORRELATION = (
    "title: c\ncorrelation: {type: event_count, rules: [a], timespan: 5m, condition: {gte: 5}}\n"
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ALIASES = "a: &a [x]\n" + "".join(
    f"{then}: &{then} [*{each}, *{each}]\n" for each, then in itertools.pairwise(LETTERS)
)
"""Two to the 25th values, if a parser unfolds them."""

SELECTION = "  s: {%s}\n  condition: s"


@pytest.mark.parametrize(
    ("selection", "fields", "expected"),
    [
        ("MESSAGE: lifting LOCKDOWN", {"MESSAGE": "Lifting lockdown"}, True),
        ("MESSAGE: Lifting", {"MESSAGE": "Lifting lockdown"}, False),
        ("MESSAGE: 'Lift*down'", {"MESSAGE": "Lifting lockdown"}, True),
        ("MESSAGE: 'L?fting*'", {"MESSAGE": "Lifting lockdown"}, True),
        ("MESSAGE: 'L?fting'", {"MESSAGE": "Lfting"}, False),
        ("MESSAGE|startswith: 'Lockdown: '", {"MESSAGE": "lockdown: x"}, True),
        ("MESSAGE|endswith: '.7'", {"MESSAGE": "kernel_lockdown.7"}, True),
        ("MESSAGE|contains|all: [a, b]", {"MESSAGE": "b and a"}, True),
        ("MESSAGE|contains|all: [a, b]", {"MESSAGE": "a"}, False),
        ("MESSAGE|contains: [a, b]", {"MESSAGE": "xbx"}, True),
        ("MESSAGE: 'ab*ba'", {"MESSAGE": "aba"}, False),
        ("MESSAGE|cased: Abc", {"MESSAGE": "abc"}, False),
        ("SYSLOG_FACILITY: 0", {"SYSLOG_FACILITY": "0"}, True),
        ("SYSLOG_FACILITY: 0", {"SYSLOG_FACILITY": "00"}, True),
        ("SYSLOG_FACILITY: 0", {"SYSLOG_FACILITY": "x"}, False),
        ("SYSLOG_FACILITY: 0", {}, False),
        ("PRIORITY|lt: 4", {"PRIORITY": "3"}, True),
        ("PRIORITY|gte: 4", {"PRIORITY": "3"}, False),
        ("X: null", {}, True),
        ("X: null", {"X": ""}, False),
        ("X: ''", {"X": ""}, True),
        ("X|exists: true", {"X": ""}, True),
        ("X|exists: false", {"X": ""}, False),
        ("X|re: '^a.*z$'", {"X": "abcz"}, True),
        ("X|re|i: 'ABC'", {"X": "xabcx"}, True),
        ("X|cidr: 10.0.0.0/8", {"X": "10.1.2.3"}, True),
        ("X|cidr: 10.0.0.0/8", {"X": "11.1.2.3"}, False),
        ("X|cidr: 10.0.0.0/8", {"X": "no address"}, False),
        ("X|fieldref: Y", {"X": "a", "Y": "A"}, True),
        ("X|windash|contains: ' -f'", {"X": "rm /f"}, True),
        ("X|windash|contains: ' -f'", {"X": "rm \u2015f"}, True),
        ("X|windash|contains: ' \u2013f'", {"X": "rm -f"}, True),
        ("X|windash|contains: 'a\u2013f'", {"X": "a-f"}, False),
        ("X|windash|contains|all: [' -f', ' -r']", {"X": "rm /f \u2014r"}, True),
        ("X|utf16le|base64offset|contains: ab", {"X": "xYQBiAx"}, True),
        ("X|utf16be|base64: ab", {"X": "AGEAYg=="}, True),
        ("X|utf16|base64: ab", {"X": "//5hAGIA"}, True),
        ("X|wide: ab", {"X": "a\0b\0"}, True),
        ("X|base64offset|contains: foo", {"X": "aGVsbG8gZm9vIQ=="}, True),
        ("X|neq: 4", {"X": "5"}, True),
        ("X|neq: 4", {"X": "04"}, False),
        ("X|neq: [a, b]", {"X": "B"}, False),
        ("X|fieldref|neq: Y", {"X": "a", "Y": "b"}, True),
        ("X|fieldref|startswith: Y", {"X": "abc", "Y": "AB"}, True),
        ("X|fieldref|endswith: Y", {"X": "abc", "Y": "bc"}, True),
        ("X|fieldref|contains: Y", {"X": "abc", "Y": "b"}, True),
        ("X|fieldref: Y", {"X": "a"}, False),
        ("X|re: 'A'", {"X": "a"}, False),
        ("X|re|m: '^b$'", {"X": "a\nb"}, True),
        ("X|re: '^b$'", {"X": "a\nb"}, False),
        ("X|re|s: 'a.b'", {"X": "a\nb"}, True),
        ("X|re: 'a.b'", {"X": "a\nb"}, False),
        ("X|cidr: '2001:db8::/32'", {"X": "2001:DB8::1"}, True),
        ("X|minute: 59", {"X": "2026-01-05T23:59:01"}, True),
        ("X|hour|gte: 22", {"X": "2026-01-05T23:59:01+02:00"}, True),
        ("X|hour: 23", {"X": "1767657540000000"}, True),
        ("X|day: 5", {"X": "1767657540"}, True),
        ("X|week: 2", {"X": "1767657540000"}, True),
        ("X|month|lt: 2", {"X": "20260105T235901"}, True),
        ("X|year: 2026", {"X": "1767657540000000000"}, True),
        ("X|year: 2026", {"X": "2026"}, False),
        ("X|hour: 5", {"X": "5"}, False),
        ("X: 4", {"X": "4.0"}, True),
        ("X: 4", {"X": "\u0664"}, False),
        ("X: 10", {"X": "1_0"}, False),
        ("X|gt: 1", {"X": "inf"}, False),
        ("X|lt: 9007199254740991", {"X": "9007199254740990"}, True),
        ("X|contains|cased: aB", {"X": "xaBx"}, True),
        ("X|contains|cased: aB", {"X": "xabx"}, False),
        ("X: [null, '']", {"X": ""}, True),
        ("X|contains: \u03a3", {"X": "\u0391\u03a3"}, True),
        ("X|contains: lock", {"X": "loc\u212adown"}, True),
        ("X|base64: foo", {"X": "Zm9v"}, True),
        ("X: true", {"X": "True"}, True),
        ("MESSAGE: 'a\\*b'", {"MESSAGE": "a*b"}, True),
        ("MESSAGE: 'a\\*b'", {"MESSAGE": "axb"}, False),
    ],
)
def test_values_mean_what_sigma_says(
    selection: str, fields: dict[str, str], *, expected: bool
) -> None:
    """Modifiers, wildcards, null and numbers as the specification has them."""
    assert matches(SELECTION % selection, **fields) is expected


def test_keywords_look_at_the_message() -> None:
    """A keyword is found anywhere in the message, and nowhere else."""
    detection = "  k: [foo, 'b*r']\n  condition: k"
    assert matches(detection, MESSAGE="xx FOO xx")
    assert matches(detection, MESSAGE="a bar")
    assert not matches(detection, OTHER="foo")


def test_conditions() -> None:
    """and, or, not, 1 of, all of and several conditions."""
    detection = "  a1: {X: 1}\n  a2: {Y: 1}\n  b: {Z: 1}\n  condition: 1 of a* and not b"
    assert matches(detection, X="1")
    assert not matches(detection, X="1", Z="1")
    assert not matches(detection, Z="1")
    every = detection.replace("1 of a*", "all of a*")
    assert matches(every, X="1", Y="1")
    assert not matches(every, X="1")


def test_a_filter_document_applies() -> None:
    """A Sigma filter switches a rule off for what a site knows to be harmless."""
    site = """title: our laptops
logsource: {product: linux}
filter:
  rules: [5a1f6b0e-6c55-4d0e-8f6e-2f1f1c3b9a01]
  harmless: {HOST: laptop}
  condition: not harmless
"""
    text = HEAD + "detection: {s: {MESSAGE: x}, condition: s}\n"
    (data,), faults = parse({"a.yml": text, "b.yml": site})
    assert faults == []
    assert compile_rule(data).matches(Fields({"MESSAGE": "x", "HOST": "server"}))
    assert not compile_rule(data).matches(Fields({"MESSAGE": "x", "HOST": "laptop"}))


def test_placeholders_come_from_the_config() -> None:
    """expand: any of the values, wildcards and all; in a pattern each is itself."""
    expand = {"who": ("root", "adm*"), "dot": (".",)}

    def told(selection: str) -> Rule:
        detection = f"detection:\n{SELECTION % selection}\n"
        (data,), faults = parse({"r.yml": HEAD + detection}, expand)
        assert faults == []
        return compile_rule(data)

    each = told("MESSAGE|expand|contains: 'user %who% x'")
    assert each.matches(Fields({"MESSAGE": "a user Admin x"}))
    assert each.matches(Fields({"MESSAGE": "a user root x"}))
    assert not each.matches(Fields({"MESSAGE": "a user guest x"}))
    each = told("MESSAGE|re|expand: 'a%dot%c'")
    assert each.matches(Fields({"MESSAGE": "a.c"}))
    assert not each.matches(Fields({"MESSAGE": "abc"}))


def test_extract_captures() -> None:
    """watcher.extract gives an event fields of a user's own, by a linear-time engine."""
    more = "watcher:\n  extract: 'port (?P<port>[0-9]+)'\n  examples: {match: [port 7]}\n"
    assert rule(SELECTION % "MESSAGE|contains: port", more).captured("on port 42") == {"port": "42"}


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("a: [", "not YAML", 2),
        ("- 1\n", "a rule is a mapping", None),
        ("", "holds no rule", None),
        (HEAD + "detection: {s: {M|foo: 1}, condition: s}\n", "Unknown modifier 'foo'", 5),
        (HEAD + "detection: {s: {M: 1}, condition: zz}\n", "'zz' not defined", 5),
        (HEAD.replace("low", "huge") + "detection: {s: {M: 1}, condition: s}\n", "huge", 3),
        (HEAD + "detection: {s: {M|re: '(?=x)'}, condition: s}\n", "(?=x)", None),
        (HEAD + "detection: {s: {M|expand: '%a%'}, condition: s}\n", "'%a%' stands", None),
        (HEAD + "detection: {s: {M|expand: '\\%a%'}, condition: s}\n", "escaped", None),
        (HEAD.replace("id:", "name:") + PLAIN, "needs an id", None),
        (HEAD + "detection: {s: {M: 1}, condition: s}\nwatcher: {notfy: true}\n",
         "watcher.notfy: unknown key, did you mean notify?", 6),
        (HEAD + "detection: {s: {M: 1}, condition: s}\nwatcher: {notify: true}\n",
         "needs watcher.examples.match", None),
        (HEAD + PLAIN + "watcher: {extract: '(?P<a>', examples: {match: [x]}}\n", "missing", None),
        (HEAD + PLAIN + "watcher: {extract: 'x', examples: {match: [x]}}\n", "needs a group", None),
        (HEAD + "detection: {s: {M: 1}, condition: s or or y}\n", "from 'y' on", 5),
        (HEAD.replace("id: ", "id: 5 #") + PLAIN, "must be a UUID in text, not 5", 2),
        (CORRELATION, "needs an id", None),
        ("title: a\ntitle: b\n", "title", 2),
        (ALIASES, "", None),
    ],
)  # fmt: skip
def test_every_fault_is_told(text: str, said: str, line: int | None) -> None:
    """A bad rule gives one clear line and no rule; nothing raises."""
    rules, faults = parse({"bad.yml": text})
    assert rules == []
    assert faults
    assert any(said in fault.text for fault in faults)
    assert "\n" not in str(faults[0])
    if line is not None:
        assert faults[0].line == line


def test_two_rules_of_one_id_in_one_file() -> None:
    """The later would silently replace the earlier; between files that is how it is done."""
    text = HEAD + PLAIN
    assert "two rules of the id" in parse({"a.yml": f"{text}---\n{text}"})[1][0].text
    assert parse({"a.yml": text, "b.yml": text})[1] == []


def test_all_faults_of_all_files_are_told_at_once() -> None:
    """Nobody mends one fault to be told the next."""
    _, faults = parse({"a.yml": "a: [", "b.yml": "- 1", "c.yml": ""})
    assert [fault.file for fault in faults] == ["a.yml", "b.yml", "c.yml"]


# --- the prefilter

WORDS = st.sampled_from(["lockdown", "secure boot", "a", "*", "?", " is restricted", "é", "\\"])


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, max_size=6))
def test_the_prefilter_loses_nothing(pattern: list[str], message: list[str]) -> None:
    """Whatever a rule matches, the prefilter let pass: in any case, escaped or not."""
    value = "".join(pattern).replace("'", "")
    each = rule(SELECTION % f"MESSAGE|contains: '{value}'")
    text = "".join(message).upper()
    if each.matches(Fields({"MESSAGE": text})):
        assert Prefilter([each.needs.literals]).wants(text.encode())


@given(st.sets(st.text("abcdefgh", min_size=1, max_size=20), max_size=12))
def test_every_literal_holds_a_stem(texts: set[str]) -> None:
    """Few stems stand for many literals, and none is forgotten."""
    literals = {text.encode() for text in texts}
    found = stems(literals)
    assert all(any(stem in text for stem in found) for text in literals)


SHIPPED = load_pack().prefilter()
PLAINLY = plain_finder(stems(set(SHIPPED.literals or ())))


@given(st.binary(max_size=80))
def test_with_and_without_the_fast_library(text: bytes) -> None:
    """Aho-Corasick and the standard library's way give the same answers."""
    for line in (text, text + b" is restricted; see", b"lockdown" + text):
        assert bool(SHIPPED.may(line.lower())) == bool(PLAINLY(line.lower()))


def test_a_rule_without_a_text_is_held_against_fields() -> None:
    """A rule that needs no MESSAGE still works, and asks for no more fields than it must."""
    each = rule(SELECTION % "PRIORITY|lt: 3, _SYSTEMD_UNIT: a.service")
    prefilter = Pack((each,)).prefilter()
    assert not prefilter.wants(b"anything")
    assert prefilter.looks_deeper
    assert prefilter.fits({"PRIORITY": "2", "_SYSTEMD_UNIT": "A.service"})
    assert not prefilter.fits({"PRIORITY": "3", "_SYSTEMD_UNIT": "a.service"})
    asked = Mock(wraps={"_SYSTEMD_UNIT": "b.service"})
    assert not prefilter.fits(asked)
    assert asked.mock_calls == [call.get("_TRANSPORT"), call.get("_SYSTEMD_UNIT")]
    assert prefilter.equal == frozenset({("_SYSTEMD_UNIT", "a.service")})
    assert not prefilter.of_kernel().looks_deeper


def test_no_rules_want_nothing() -> None:
    """An empty pack reads nothing closely."""
    assert not Prefilter([]).wants(b"Lockdown: x")


# --- files, replacement, cache


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's rules folder of their own, and a cache of their own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    folder = tmp_path / "config" / "lockdown-watcher" / "rules"
    folder.mkdir(parents=True)
    return folder


def shipped_lifted() -> str:
    """The shipped rule about lifting."""
    return (packs.shipped() / "lifted.yml").read_text()


def test_a_users_rule_replaces_one_of_the_same_id(home: Path) -> None:
    """Same id, later file: the user's level counts."""
    (home / "mine.yml").write_text(shipped_lifted().replace("level: critical", "level: low"))
    levels = [r.level for r in packs.load_pack().rules if r.kind == "lockdown.lifted"]
    assert levels == ["low"]


def test_deprecated_switches_off(home: Path) -> None:
    """status: deprecated takes a shipped rule away."""
    (home / "mine.yml").write_text(shipped_lifted().replace("status: stable", "status: deprecated"))
    assert not [r for r in packs.load_pack().rules if r.kind == "lockdown.lifted"]


def test_failing_examples_refuse_the_rule(home: Path) -> None:
    """A rule that does not do what its examples claim is not loaded."""
    (home / "mine.yml").write_text(
        HEAD + "detection: {s: {MESSAGE: x}, condition: s}\nwatcher: {examples: {match: [y]}}\n"
    )
    with pytest.raises(UsageError, match="does not match its example 'y'"):
        packs.load_pack()


def test_a_plain_sigma_rule_just_loads(home: Path) -> None:
    """Without our key a rule needs no examples."""
    (home / "mine.yml").write_text(HEAD + "detection: {s: {MESSAGE: x}, condition: s}\n")
    assert "t" in [r.title for r in packs.load_pack().rules]


def test_the_cache_gives_the_same_rules(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second start reads data, does not parse, and has the same rules."""
    (home / "mine.yml").write_text(HEAD + PLAIN)
    first = packs.load_pack()
    monkeypatch.setattr(packs, "check_apart", lambda *_: pytest.fail("parsed again"))
    second = packs.load_pack()
    assert [(r.id, r.level, r.needs.literals) for r in first.rules] == [
        (r.id, r.level, r.needs.literals) for r in second.rules
    ]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"key": 1}', b"\xff\xfe", b"other"])
def test_a_damaged_cache_is_made_anew(damage: bytes, home: Path) -> None:
    """Whatever the cache holds, the rules come out right."""
    (home / "mine.yml").write_text(HEAD + PLAIN)
    expected = [rule.condition for rule in packs.load_pack().rules]
    kept = packs._cache()
    assert kept is not None
    if damage == b"other":
        damage = kept.read_bytes().replace(b'"and"', b'"or"')
    kept.write_bytes(damage)
    assert [rule.condition for rule in packs.load_pack().rules] == expected


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_cache_that_others_may_write_is_not_believed(mode: int, home: Path) -> None:
    """Its key and sum are no secret: anybody may make one with rules of their own."""
    (home / "mine.yml").write_text(HEAD + PLAIN)
    expected = [rule.condition for rule in packs.load_pack().rules]
    kept = packs._cache()
    assert kept is not None
    assert kept.stat().st_mode & 0o777 == 0o600
    planted = json.loads(kept.read_bytes())
    planted["rules"] = planted["rules"][:1]
    planted["sum"] = packs._digest(planted["rules"])
    kept.write_text(json.dumps(planted))
    assert len(packs.load_pack().rules) == 1  # it is believed while it is this user's alone
    kept.chmod(mode)
    assert [rule.condition for rule in packs.load_pack().rules] == expected


def test_the_cache_follows_no_link(home: Path, tmp_path: Path) -> None:
    """Neither where it is read nor where it is written, though somebody may guess the names."""
    (home / "mine.yml").write_text(HEAD + PLAIN)
    expected = [rule.condition for rule in packs.load_pack().rules]
    kept, precious = packs._cache(), tmp_path / "precious"
    assert kept is not None
    kept.rename(precious)
    before = precious.read_bytes()
    kept.symlink_to(precious)
    fresh = kept.with_suffix(f".{os.getpid()}")
    fresh.symlink_to(precious)
    assert packs._cached(json.loads(before)["key"]) is None
    assert [rule.condition for rule in packs.load_pack().rules] == expected
    assert precious.read_bytes() == before
    assert kept.is_file()
    assert not kept.is_symlink()


def test_rules_that_are_named_have_a_cache_too(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second --rules does not parse; what is wrong is told each time, what changes is seen."""
    assert not list(home.iterdir())
    file = tmp_path / "r.yml"
    file.write_text(HEAD + PLAIN)
    first, faults = packs.load_only([file])
    assert faults == []
    with monkeypatch.context() as patch:
        patch.setattr(packs, "check", lambda *_: pytest.fail("parsed again"))
        second, faults = packs.load_only([file])
    assert [r.condition for r in first.rules] == [r.condition for r in second.rules]
    file.write_text(f"{HEAD}{PLAIN}---\n{{}}\n")
    for _ in range(2):
        found, faults = packs.load_only([file])
        assert (found.rules, bool(faults)) == ((), True)


def test_the_config_names_folders_and_placeholders(home: Path, tmp_path: Path) -> None:
    """[rules] counts for all who load rules; beside a chosen file lie rules of its own."""
    more, beside = tmp_path / "more", tmp_path / "etc" / "rules"
    more.mkdir()
    beside.mkdir(parents=True)
    detection = "detection: {s: {MESSAGE|expand: '%x%'}, condition: s}\n"
    (more / "a.yml").write_text(HEAD.replace("title: t", "title: named") + detection)
    (beside / "b.yml").write_text(HEAD.replace("9a01", "9a02") + detection)
    (home / "c.yml").write_text("not read, for one file was chosen")
    chosen = tmp_path / "etc" / "config.toml"
    chosen.write_text(f'[rules]\nfolders = ["{more}"]\nexpand = {{ x = ["y"] }}\n')
    titles = [r.title for r in packs.load_pack(str(chosen)).rules]
    assert titles[-2:] == ["t", "named"]
    chosen.write_text('[rules]\nfolders = ["relative"]\n')
    with pytest.raises(UsageError, match=r"config.toml:2: rules: folders"):
        packs.load_pack(str(chosen))
    chosen.write_text(f'[rules]\nfolders = ["{tmp_path}/gone"]\n')
    with pytest.raises(UsageError, match="gone: cannot be read"):
        packs.load_pack(str(chosen))


def test_hidden_files_are_no_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout has .github, an editor a dangling link; too many files are told, never dropped."""
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github" / "workflow.yml").write_text("on: push")
    (tmp_path / ".#r.yml").symlink_to("user@host.1")
    (tmp_path / "r.yml").write_text("r")
    assert packs.read_texts([tmp_path]) == ({str(tmp_path / "r.yml"): "r"}, [])
    assert packs.read_texts([tmp_path / ".github"])[0].popitem()[1] == "on: push"
    (tmp_path / "s.yml").write_text("s")
    monkeypatch.setattr(packs, "MAX_FILES", 1)
    texts, unread = packs.read_texts([tmp_path])
    assert len(texts) == 1
    assert unread == [f"{tmp_path}: holds 2 rule files, 1 may be read"]


def test_unreadable_and_odd_files_are_told(tmp_path: Path) -> None:
    """Missing, binary and huge files each give a line."""
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "huge.yml").write_bytes(b"#" * (packs.MAX_FILE_BYTES + 1))
    texts, unread = packs.read_texts([tmp_path, tmp_path / "missing.yml"])
    assert texts == {}
    assert len(unread) == 3
