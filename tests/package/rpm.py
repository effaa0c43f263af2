"""python -m tests.package.rpm [DIR]: build the RPM for this machine's python3, into DIR (dist)."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from tests.lab.cache import scratch
from tests.lab.command import LabError, run
from tests.package.parts import TREE
from tests.package.wheels import lay_out
from watcher import __version__

_PYTHON = "import sys; print('%d.%d' % sys.version_info[:2])"


def build(out: Path) -> Path:
    """Build the package into `out`; give its file. Raises LabError."""
    python = run("/usr/bin/python3", "-c", _PYTHON).strip()
    with scratch() as here:
        tree = here / "tree"
        lay_out(tree, python)
        shutil.copy(TREE / "packaging/debian/program", tree)
        version = re.sub(r"\.?(dev|a|b|rc)", r"~\1", __version__)
        made = {"_topdir": here, "upstream": version, "python": python}
        given = [word for each in made.items() for word in ("--define", " ".join(map(str, each)))]
        spec = TREE / "packaging/lockdown-watcher.spec"
        run("rpmbuild", "-bb", "--build-in-place", "--nodeps", *given, spec, cwd=tree)
        (built,) = here.glob("RPMS/*/*.rpm")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(built, out))


if __name__ == "__main__":
    try:
        print(build(Path(sys.argv[1] if sys.argv[1:] else "dist")))
    except LabError as error:
        sys.exit(f"rpm: {error}")
