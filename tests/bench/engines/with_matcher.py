"""Sigma by sigma-rule-matcher. Usage: journalctl -o json ... | with_matcher.py RULE.yml..."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sigma.rule import SigmaRule
from sigma_rule_matcher import RuleMatcher

rules = [
    RuleMatcher(SigmaRule.from_yaml(Path(name).read_text(encoding="utf-8")))
    for name in sys.argv[1:]
]
for line in sys.stdin:
    event = json.loads(line)
    event["SYSLOG_FACILITY"] = int(event["SYSLOG_FACILITY"])  # the rules say 0, the journal "0"
    if any(rule.match(event) for rule in rules):
        print(line, end="")
