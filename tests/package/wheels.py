"""The libraries that packages carry, as wheels: which they are is written down, with digests."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Final

from tests.lab.cache import LAB, once, scratch
from tests.lab.command import LabError, run
from tests.package.parts import TREE

SUMS: Final = TREE / "packaging/wheels.sha256"
GLIBC: Final = {"3.11": 36, "3.13": 41}
"""What Debian 12 and 13 have with their Python: a wheel must not ask for more (PEP 600)."""

# What every suite has new enough: what wraps a C library, and what few need.
_THEIRS: Final = (
    *("systemd-python", "pyyaml", "zstandard"),
    *("jeepney", "prometheus-client", "prometheus_client", "apprise"),
)
# Hints for type checkers, which pySigma asks for all the same.
_HINTS: Final = ("types_", "diskcache_stubs")


def wheels(python: str) -> Path:
    """Give a folder with the wheels for a Python ("3.11"). Raises LabError if one is not as known.

    One that SUMS does not know is told on stderr, and taken.
    """
    text = SUMS.read_text()
    key = hashlib.sha256("\0".join([*wanted(), *_THEIRS, text]).encode()).hexdigest()[:12]
    home = LAB / "package" / f"wheels-{python}-{key}"
    with once(home) as part:
        if part:
            known = _known(python)
            _download(python, part, known)
            _check(part, known)
    return home


def refresh() -> None:
    """Write down the newest wheels of every Python, in place of those that were."""
    with scratch() as here:
        for python in GLIBC:
            _download(python, here / python, {})
        found = {file.name: _digest(file) for file in here.glob("*/*.whl")}
    names = sorted(found, key=str.lower)
    SUMS.write_text("".join(f"{found[name]}  {name}\n" for name in names))


def own(folder: Path) -> None:
    """Build this tree's own wheel into `folder`."""
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, TREE)


def wanted() -> list[str]:
    """Give what the program asks for, with all its extras, but what the distribution has."""
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    rows = [project["dependencies"], *project["optional-dependencies"].values()]
    return [each for row in rows for each in row if not each.startswith(_THEIRS)]


def _known(python: str) -> dict[str, str]:
    """Give what is written down for a Python: digests by file name."""
    rows = [row.split() for row in SUMS.read_text().splitlines()]
    tags = (f"-cp{python.replace('.', '')}-", "-py3-", "-py2.py3-", "-abi3-")
    return {name: digest for digest, name in rows if any(tag in name for tag in tags)}


def _download(python: str, folder: Path, known: dict[str, str]) -> None:
    with scratch() as here:
        pins = here / "pins"
        pins.write_text("".join(f"{'=='.join(name.split('-')[:2])}\n" for name in known))
        tags = ["--implementation=cp", f"--python-version={python}", "--only-binary=:all:"]
        tags += [f"--platform=manylinux_2_{each}_x86_64" for each in range(GLIBC[python], 16, -1)]
        _pip("download", "--dest", folder, "-c", pins, *tags, *wanted())
    for file in folder.iterdir():
        if file.name.startswith((*_THEIRS, *_HINTS)):
            file.unlink()


def _check(folder: Path, known: dict[str, str]) -> None:
    for file in sorted(folder.iterdir()):
        if file.name not in known:
            print(f"not in {SUMS.name}: {file.name} (REFRESH=1 adds it)", file=sys.stderr)
        elif known[file.name] != _digest(file):
            raise LabError(f"{file.name} is not what {SUMS.name} says")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _pip(*argv: str | Path) -> None:
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *argv)


def lay_out(tree: Path, python: str) -> None:
    """Put what a package is built from into `tree`: the documents, units, and all wheels."""
    tree.mkdir()
    for name in ("units", "docs", "README.md", "CHANGELOG.md", "LICENSE"):
        run("cp", "-r", TREE / name, tree)
    shutil.copytree(wheels(python), tree / "wheels")
    own(tree / "wheels")
