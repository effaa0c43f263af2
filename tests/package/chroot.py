"""Small Debians to build and to install in: made by mmdebstrap, kept under .lab. Needs root."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from tests.lab.apt import Suite, sources
from tests.lab.cache import LAB, once
from tests.lab.command import run

_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENTER: Final = (
    'mount --bind "$1" "$2/mnt" && mount -t proc proc "$2/proc" && shift && exec chroot "$@"'
)
_ALONE: Final = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
"""In namespaces of its own: what is mounted and started ends with it, also when it is killed."""


def debian(suite: str, packages: str) -> Path:
    """Give the root of a minimal Debian of that suite with these packages (by commas).

    It is kept: change nothing in it. Raises LabError.
    """
    made = hashlib.sha256(packages.encode()).hexdigest()[:8]
    home = LAB / "package" / f"{suite}-{made}"
    with once(home) as part:
        if part:
            (part / "sources.list").write_text(sources(Suite(suite)))
            run(
                *(*_ALONE, "--mount-proc", "mmdebstrap", "--quiet", "--mode=root"),
                *("--variant=minbase", "--format=directory", f"--include={packages}"),
                *("--aptopt=Acquire::Languages none", suite),
                *(part / "root", part / "sources.list"),
                timeout_s=580,
            )
    return home / "root"


def inside(root: Path, here: Path, script: str, **environment: str) -> str:
    """Run a script in a Debian, which sees `here` as /mnt; give what it prints. Raises LabError.

    Nothing of this machine's environment is in its.
    """
    given = [f"{name}={value}" for name, value in environment.items()]
    plain = ("/usr/bin/env", "-i", _PATH, "LC_ALL=C.UTF-8", *given)
    return run(*_ALONE, "sh", "-c", _ENTER, "sh", here, root, *plain, "sh", "-ec", script)
