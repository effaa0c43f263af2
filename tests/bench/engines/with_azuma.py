"""Sigma by azuma. Usage: journalctl -o json ... | with_azuma.py RULE.yml..."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from azuma import Rule

rules = [Rule.model_validate_yaml(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]]
for line in sys.stdin:
    event = json.loads(line)
    event["SYSLOG_FACILITY"] = int(event["SYSLOG_FACILITY"])  # the rules say 0, the journal "0"
    if any(rule.match(event) for rule in rules):
        print(line, end="")
