"""Every fault of every file: what people write wrong, in one line that says where."""

from __future__ import annotations

import pytest

from watcher.rule_check import check
from watcher.rules.evaluate import Fields
from watcher.rules.parse import parse
from watcher.rules.rule import compile_rule

HEAD = """title: t
id: 5a1f6b0e-6c55-4d0e-8f6e-2f1f1c3b9a01
level: low
logsource: {product: linux}
"""
FILTER = "title: f\nlogsource: {product: linux}\nfilter:\n"


def item(key: str, value: str) -> str:
    """A rule with one item, in line 7."""
    return f"{HEAD}detection:\n  s:\n    {key}: {value}\n  condition: s\n"


def on(condition: str) -> str:
    """A rule with a condition, in line 7."""
    return f"{HEAD}detection:\n  s: {{M: 1}}\n  condition: {condition}\n"


GOOD = on("s")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # What every rule has.
        (GOOD.replace("title: t\n", ""), ": Sigma rule must have a title"),
        (GOOD.replace("logsource: {product: linux}\n", ""), ": Sigma rule must have a log source"),
        (GOOD.replace("{product: linux}", "linux"), ":4: Sigma logsource must be a valid YAML map"),
        (GOOD.replace("{product: linux}", "{}"), ":4: Sigma log source can't be empty"),
        (HEAD, ": Sigma rule must have a detection definitions"),
        (f"{HEAD}detection: x\n", ":5: Sigma detection must be a valid YAML map"),
        (GOOD.replace("5a1f6b0e-6c55", "5a1f"), ":2: Sigma rule identifier must be an UUID"),
        (GOOD.replace("low", "lowest"), ":3: 'lowest' is not a valid Sigma rule level"),
        (GOOD + "status: fine\n", ":8: 'fine' is not a valid Sigma rule status"),
        (GOOD + "date: yesterday\n", ":8: Rule date 'yesterday' is invalid"),
        (GOOD + "watcher: yes\n", ":8: watcher: must be a mapping"),
        (GOOD.replace("title: t", "title: [t]"), ":1: Sigma rule title must be a string"),
        (GOOD + "related: x\n", ":8: Sigma rule related must be a list"),
        (GOOD.replace("level: low", "level: null"), ":1: a rule needs a level"),
        (GOOD.replace("9a01", "9a01\naction: global"), ":3: 'action': rule collections are no"),
        (GOOD + "watcher: {extract: 'a(?=b)', examples: {match: [{M: '1'}]}}\n",
         ":8: invalid perl operator"),
        (GOOD + "watcher:\n  examples:\n    match: [{M: null}]\n",
         ":10: watcher.examples.match.0: must be a message, or the fields of an entry"),
        # YAML.
        (GOOD.replace("title: t", "title: t\0"), ":1: not YAML: control characters are not allo"),
        (GOOD + "title: u\n", ":8: not YAML: the key 'title' stands here twice"),
        (GOOD.replace("{M: 1}", "{M: 1, M: 2}"), ":6: not YAML: the key 'M' stands here twice"),
        (GOOD.replace("{M: 1}", "{5: 1}"), ":6: not YAML: a key must be text, not 5"),
        (GOOD.replace("{M: 1}", "{[a]: 1}"), ":6: not YAML: a key must be text, not ['a']"),
        (GOOD.replace("{M: 1}", "{<<: {M: 1}}"), ":6: not YAML: a merge key (<<)"),
        (GOOD + "date: 2026-13-01\n", ":8: not YAML: month must be in 1..12"),
        (item("M", "9" * 5000), ":7: not YAML: Exceeds the limit (4300 digits)"),
        (GOOD.replace("title: t", "title: !x t"), ":1: not YAML: could not determine a construc"),
        (GOOD + "x: " + "[" * 99, ":8: not YAML: nested deeper than 64 levels"),
        (GOOD.replace("  s:", "\ts:"), ":6: not YAML: found character that cannot start any token"),
        # Conditions.
        (GOOD.replace("  condition: s\n", ""), ": Sigma rule must contain at least one condition"),
        (on("5"), ":7: 'condition' must be text, not 5"),
        (on("s and t"), ":7: Detection 't' not defined in detections"),
        (on("[s, t]"), ":7: Detection 't' not defined in detections"),
        (on("s and not 1 of filter_*"), ":7: Selector '1 of filter_*' doesn't match any detection"),
        (on("(s"), ":7: Unbalanced parentheses"),
        (on("s | count() > 5"), ":7: The pipe syntax in Sigma conditions has been deprecated"),
        (on("[s, 5]"), ":7: 'condition' must be text, not 5"),
        (on("''"), ":7: 'condition' must be text, not ''"),
        (on("s and"), ":7: 'condition' ends too soon"),
        (on("(" * 99_999), ":7: 'condition' has more than 10,000 letters"),
        (on(" or ".join(["1 of s*"] * 900)).replace("{M: 1}", str([{"M": 1}] * 99)),
         ":7: 'condition' asks for more than 50,000 values"),
        (on(str(["s"] * 9_999)), ":7: 'condition' has more than 10,000 letters"),
        (on("2 of s*"), ":7: 'condition' cannot be read from 'of' on"),
        (on("not (s or " * 40 + "s" + ")" * 40), ":7: 'condition' is nested deeper than 64 levels"),
        (on("not (s or " * 99 + "s" + ")" * 99), ":7: nested too deeply"),
        # Modifiers and values.
        (item("M|contain", "1"), ":7: Unknown modifier 'contain'"),
        (item("M|re", "'(a'"), ":7: Regular expression '(a' is invalid: missing ): (a"),
        (item("M|re", "'a(?=b)'"), ":7: Regular expression 'a(?=b)' is invalid: invalid perl"),
        (item("M|re", "'(a)\\1'"), ":7: Regular expression '(a)\\1' is invalid: invalid escape"),
        (item("M|re", "'(a{1000}){1000}'"), ":7: Regular expression '(a{1000}){1000}' is invalid"),
        (item("M|cidr", "10.0.0.0/99"), ":7: Invalid CIDR expression: '10.0.0.0/99'"),
        (item("M|cidr", "10.1.2.3/8"), ":7: Invalid CIDR expression: 10.1.2.3/8 has host bits set"),
        (item("M|lt", "'5'"), ":7: the modifier 'lt' does not take '5'"),
        (item("M|exists", "often"), ":7: the modifier 'exists' does not take 'often'"),
        (item("M|contains", "null"), ":7: the modifier 'contains' does not take null"),
        (item("M|i", "a"), ":7: the modifier 'i' does not take 'a'"),
        (item("M|gte|hour", "5"), ":7: the modifier 'hour' does not take a comparison"),
        (item("M|minute", "77"), ":7: 'minute' is between 0 and 59"),
        (item("M|hour|lt", "25"), ":7: 'hour' is between 0 and 23"),
        (item("M|lt", ".nan"), ":7: Invalid number"),
        (item("M|base64", "'a*'"), ":7: Base64 encoding of strings with wildcards is not allowed"),
        (item("M|wide", "\u00e9"), ":7: Wide modifier only allowed for ascii strings"),
        (item("M|utf16", "a"), ":7: 'utf16' without base64 or base64offset: its mark is no text"),
        (item("M|expand", "'%a%'"), ":7: '%a%' stands for nothing: say for what in [rules.expand]"),
        (item("M|expand|base64", "'%a%'"), ":7: 'base64' behind expand"),
        (item("M|fieldref", "'a*'"), ":7: Field references must not contain wildcards"),
        (item("M|windash", "'a -b -c -d -e'"), ":7: windash modifier expands at most three dash"),
        (item("M|cased|re", "a"), ":7: Regular expression modifier only applicable to unmodified"),
        (item("M", "{a: b}"), ":7: a mapping is no value"),
        (item("M", "2026-01-01"), ":7: a date is no value: write it in quotes, or elsewhere"),
        (item("M", "[]"), ":7: an empty list of values"),
        (item("'|startswith'", "a"), ":7: 'startswith' needs a field"),
        (item("M|re|startswith", "a"), ":7: 'startswith' behind re: say it in the pattern"),
        (item("M|re", "5"), ":7: the modifier 're' does not take 5: write it in quotes"),
        (item("M|base64offset|contains", "a"), ":7: too short for base64offset"),
        (item("M|base64offset", "''"), ":7: too short for base64offset"),
        (item("M|cased|fieldref", "N"), ":7: 'cased' with fieldref"),
        (item("M|hour", "1.5"), ":7: the modifier 'hour' does not take 1.5"),
        (item("M", "99999999999999999999"), ":7: M: a number beyond 2^53"),
        (item("M", "'" + "?" * 99_999 + "'"), ":7: pattern too large - compile failed in the pat"),
        (item("M|re", "'" + "a" * 99_999 + "('"), f":7: Regular expression '{'a' * 80}...' is inv"),
        (item("M|re|windash", "a"), ":7: the modifier 'windash' does not take this"),
        (GOOD.replace("{M: 1}", "2026-01-01"), ":6: a date is no value"),
        (GOOD.replace("{M: 1}", "[null]"), ":6: cannot look for null without a field"),
        (GOOD.replace("{M: 1}", "{}"), ":5: Detection is empty"),
        # Filters.
        (GOOD + "filter: {rules: any, s: {X: 1}, condition: s}\n", ":8: 'detection', 'corr"),
        (FILTER + "  rules: [null]\n  s: {a: b}\n  condition: s\n", ":4: 'rules' of a filter"),
        (FILTER + "  s: {a: b}\n  condition: s\n", ":3: Sigma filter must have a 'rules' field"),
        (FILTER + "  rules: any\n  s: {a: b}\n  condition: u\n", ":6: Detection 'u' not defined"),
        (FILTER + "  rules: any\n  s: {a|x: b}\n  condition: s\n", ":5: Unknown modifier 'x'"),
        (FILTER + "  rules: any\n  s: {a: b}\n", ":3: Sigma filter must contain exactly one cond"),
    ],
)  # fmt: skip
def test_a_fault_is_told(text: str, said: str) -> None:
    """One line, the right one, in words that name what was written."""
    rules, faults = check({"f.yml": text})
    assert rules == []
    assert [str(fault)[: len(f"f.yml{said}")] for fault in faults] == [f"f.yml{said}"]


MANY = f"""{GOOD}---
# another
title: u
id: 5a1f
level: grave
logsource: {{product: linux}}
detection:
  s:
    - M|re: '('
      M|lt: x
    - M|re: ')'
  t: {{N|nothing: 1}}
  condition: s or u
---
title: v
id: 5a1f6b0e-6c55-4d0e-8f6e-2f1f1c3b9a02
logsource: {{product: linux}}
detection: {{s: {{M: 1}}, condition: s}}
"""


def test_all_faults_of_a_document() -> None:
    """Each item by itself, where its key stands, whatever document it is in."""
    _, faults = check({"f.yml": MANY})
    assert [fault.line for fault in faults] == [16, 17, 18, 19, 20, 11, 12, 22]
    assert "Detection 'u' not defined" in str(faults[4])
    assert "Sigma rule identifier must be an UUID" in str(faults[5])
    assert "a rule needs a level" in str(faults[7])


def test_where_an_example_is_missed() -> None:
    """In its own document, whose id tells which."""
    other = GOOD.replace("9a01", "9a02") + "watcher:\n  examples:\n    match: [a]\n"
    _, faults = check(
        {"f.yml": f"{GOOD}watcher: {{examples: {{match: [{{M: 1}}]}}}}\n---\n{other}"}
    )
    assert [str(each) for each in faults] == ["f.yml:18: does not match its example 'a'"]


def test_an_empty_document_is_none() -> None:
    """Files end in --- at times."""
    rules, faults = check({"f.yml": f"---\n{GOOD}---\n---\n"})
    assert (len(rules), faults) == (1, [])


def test_a_second_rule_of_an_id() -> None:
    """The later would silently replace the earlier; it says where it stands."""
    rules, faults = check({"f.yml": f"{GOOD}---\n{GOOD}"})
    assert (rules, faults[0].line) == ([], 10)


def test_what_a_placeholder_stands_for_is_itself() -> None:
    """In a pattern, where pySigma would escape an escaped star once more."""
    texts = ("X*", "c?", "a\\b", "(", "a*b?c\\*d")
    (data,), faults = parse({"f.yml": item("M|re|expand", "'^%a%$'")}, {"a": texts})
    assert faults == []
    matches = compile_rule(data).matches
    assert all(matches(Fields({"M": text})) for text in texts)
    assert not any(matches(Fields({"M": text})) for text in ("X", "X\\", "c", "ab"))
    many = {"a": [str(number) for number in range(101)]}
    _, faults = parse({"f.yml": item("M|expand", "'%a%%a%'")}, many)
    assert [str(each) for each in faults] == [
        "f.yml:7: the placeholders stand for more than 10,000 values together"
    ]


def test_fields_of_a_filter_are_the_rules() -> None:
    """A filter speaks Sigma's names or the journal's, for rules in either."""
    rule = GOOD.replace("{product: linux}", "{product: linux, service: auditd}").replace(
        "M: 1", "exe: /a"
    )
    site = (
        FILTER
        + "  rules: any\n  f: {_HOSTNAME: laptop}\n  g: {comm: b}\n  condition: not f and not g\n"
    )
    (data,), faults = parse({"r.yml": rule, "f.yml": site})
    assert faults == []
    hit = {"_TRANSPORT": "audit", "_EXE": "/a", "_COMM": "a"}
    matches = compile_rule(data).matches
    assert matches(Fields(hit))
    assert not matches(Fields({**hit, "_HOSTNAME": "laptop"}))
    assert not matches(Fields({**hit, "_COMM": "b"}))


def test_a_filter_keeps_to_its_rules() -> None:
    """By id or log source; another rule, or one of a log it is not about, is left alone."""
    other = GOOD.replace("9a01", "9a02").replace("title: t", "title: other")
    deeper = GOOD.replace("9a01", "9a03").replace("product: linux", "product: linux, service: cron")

    def filtered(rules: str, source: str) -> list[bool]:
        site = f"title: f\nlogsource: {source}\nfilter:\n  rules: {rules}\n"
        site += "  f: {X: 1}\n  condition: not f\n"
        found, faults = parse({"a.yml": GOOD, "b.yml": other, "c.yml": deeper, "f.yml": site})
        assert faults == []
        hit = Fields({"M": "1", "X": "1", "SYSLOG_IDENTIFIER": "cron"})
        return [not compile_rule(each).matches(hit) for each in found]

    assert filtered("[5a1f6b0e-6c55-4d0e-8f6e-2f1f1c3b9a01]", "{product: linux}") == [
        True,
        False,
        False,
    ]
    assert filtered("any", "{product: linux}") == [True, True, True]
    assert filtered("any", "{product: linux, service: cron}") == [False, False, True]
    assert filtered("any", "{product: windows}") == [False, False, False]


def test_deep_but_flat() -> None:
    """Brackets and double negations that mean nothing are no depth."""
    for condition in (
        "(" * 60 + "s" + ")" * 60,
        "not " * 100 + "s",
        "s and (" * 40 + "s" + ")" * 40,
    ):
        (data,), faults = check({"f.yml": on(condition)})
        assert faults == []
        assert compile_rule(data).matches(Fields({"M": "1"}))
    (data,), faults = check({"f.yml": on("not (s or " * 30 + "s" + ")" * 30)})
    assert faults == []
    assert not compile_rule(data).matches(Fields({}))
