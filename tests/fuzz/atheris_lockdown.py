"""Guided by coverage: a text. `python -m tests.fuzz.atheris_lockdown [OPTION...] [CORPUS]`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["watcher.lockdown"]):
    from tests.fuzz.checks import check_recognise

atheris.Setup(sys.argv, check_recognise)
atheris.Fuzz()
