"""Guided by coverage: rule files. `python -m tests.fuzz.atheris_rules [OPTION...] [CORPUS]`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["watcher.rules.parse"]):
    from tests.fuzz.checks import check_rules

atheris.Setup(sys.argv, check_rules)
atheris.Fuzz()
