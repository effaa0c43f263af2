"""Guided by coverage: frames. `python -m tests.fuzz.atheris_frames [OPTION...] [CORPUS]`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["watcher.sources.frames"]):
    from tests.fuzz.checks import check_unframe

atheris.Setup(sys.argv, check_unframe)
atheris.Fuzz()
