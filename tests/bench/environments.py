"""Environments of their own in the bench's folder: one a competitor from PyPI, one for ours.

They ask for versions that this project cannot have (sigma-rule-matcher: pySigma 1), and are no
dependency of it: nothing but the bench runs them. Versions are pinned, so that figures compare.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

PINS: Final = {
    "azuma": ("azuma==0.7.3", "packaging==26.2"),  # which it imports and does not ask for
    "sigma-rule-matcher": ("sigma-rule-matcher==0.1.0", "pysigma==1.5.1"),
    "sqlite": ("pysigma-backend-sqlite==2.1.1", "pysigma==2.0.1"),
}


_ROOT: Final = Path(__file__).parent.parent.parent


def as_installed(cache: Path) -> Path | None:
    """Give our own command as pip installs it now; None if it could not.

    The environment of the tests has libraries that ours takes up where they are there, such as
    rich, and so more memory than with users.
    """
    folder = cache / "venv-ours"
    print("  installing this tree", file=sys.stderr)
    python = folder / "bin" / "python"
    made = python.exists() or _runs(sys.executable, "-m", "venv", str(folder))
    if made and _pip(python, f"{_ROOT}[fast]"):
        return python.with_name("lockdown-watcher")
    return None


def python_with(name: str, cache: Path) -> str | None:
    """Give the interpreter that has it, made at the first use; None if pip could not install it."""
    folder = cache / f"venv-{name}"
    python, made = folder / "bin" / "python", folder / "made-of"
    pins = " ".join(PINS[name])
    if not made.exists() or made.read_text(encoding="ascii") != pins:
        print(f"  installing {pins}", file=sys.stderr)
        empty = _runs(sys.executable, "-m", "venv", "--clear", str(folder))
        if not (empty and _pip(python, *PINS[name])):
            return None
        made.write_text(pins, encoding="ascii")
    return str(python)


def _pip(python: Path, *wanted: str) -> bool:
    return _runs(str(python), "-m", "pip", "install", "-q", "--no-input", *wanted)


def _runs(*argv: str) -> bool:
    told = subprocess.run(argv, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if told.returncode:
        sys.stderr.buffer.write(told.stderr[-2000:])
    return told.returncode == 0
