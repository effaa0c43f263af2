"""python -m tests.package.deb SUITE [DIR]: build the Debian package for a suite, into DIR (dist).

It is built in a chroot of that suite, by the suite's own debhelper, and looked at by its lintian.
REFRESH=1 takes the newest libraries and writes them down. Needs root.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from tests.lab.cache import scratch
from tests.lab.command import LabError, run
from tests.package.chroot import debian, inside
from tests.package.parts import TREE
from tests.package.wheels import lay_out, refresh
from tests.parts import asked
from watcher import __version__

PYTHON: Final = {"bookworm": "3.11", "trixie": "3.13"}
_RELEASE: Final = {"bookworm": "deb12", "trixie": "deb13"}
_TOOLS: Final = "debhelper,fakeroot,lintian,python3,python3-systemd,python3-yaml,python3-zstandard"
_MAKER: Final = "The lockdown-watcher maintainers <maintainers@lockdown-watcher.invalid>"
_BUILD: Final = """\
cd /mnt/lockdown-watcher
dpkg-buildpackage -us -uc -b -d >../log 2>&1 || { tail -30 ../log >&2; exit 1; }
"""
_LINTIAN: Final = "lintian --allow-root --fail-on none --tag-display-limit 0 /mnt/*.deb"


def build(suite: str, out: Path) -> Path:
    """Build the package into `out`; give its file. Raises LabError."""
    with scratch() as here:
        tree = here / "lockdown-watcher"
        lay_out(tree, PYTHON[suite])
        shutil.copytree(TREE / "packaging/debian", tree / "debian")
        (tree / "debian/changelog").write_text(_changelog(suite))
        inside(debian(suite, _TOOLS), here, _BUILD, SOURCE_DATE_EPOCH=_epoch())
        (built,) = here.glob("*.deb")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(built, out))


def lintian(suite: str, package: Path) -> str:
    """Give what the suite's lintian says of a package: errors and warnings, a line each."""
    with scratch() as here:
        shutil.copy(package, here)
        return inside(debian(suite, _TOOLS), here, _LINTIAN)


def _changelog(suite: str) -> str:
    """Give the packaging's own changelog; what changed in the program stands in CHANGELOG.md."""
    version = re.sub(r"\.?(dev|a|b|rc)", r"~\1", __version__)
    head = f"lockdown-watcher ({version}-1+{_RELEASE[suite]}) {suite}; urgency=medium"
    day = run("date", "-u", "-R", f"-d@{_epoch()}").strip()
    return f"{head}\n\n  * Built for {suite}.\n\n -- {_MAKER}  {day}\n"


def _epoch() -> str:
    """Give the time of the build: the same from the same commit."""
    commit = ("git", "-c", f"safe.directory={TREE}", "-C", TREE, "log", "-1", "--format=%ct")
    return os.environ.get("SOURCE_DATE_EPOCH") or run(*commit).strip()


def main(suite: str, folder: str = "dist") -> None:
    """Build, say what lintian says, and print the file's name."""
    if suite not in PYTHON:
        sys.exit(f"deb: SUITE is one of {', '.join(PYTHON)}, not {suite!r}")
    if os.geteuid() != 0:
        sys.exit("deb: needs root, to make and enter a chroot")
    try:
        if asked("REFRESH"):
            refresh()
        file = build(suite, Path(folder))
        said = lintian(suite, file)
    except LabError as error:
        sys.exit(f"deb: {error}")
    sys.stderr.write(said)
    print(file)


if __name__ == "__main__":
    main(*sys.argv[1:])
