"""Guided by coverage: kmsg records. `python -m tests.fuzz.atheris_kmsg [OPTION...] [CORPUS]`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["watcher.sources.kmsg_record"]):
    from tests.fuzz.checks import check_kmsg

atheris.Setup(sys.argv, check_kmsg)
atheris.Fuzz()
