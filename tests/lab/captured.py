"""tests/hosts/lab-*: trees that capture.sh made in real guests, as a person would on a machine."""

from __future__ import annotations

import base64
import io
import re
import shutil
import tarfile
from pathlib import Path
from typing import Final

from tests.lab.full_guest import FILES, FullGuest
from watcher.posture.kernel import OPTIONS

HOSTS: Final = Path(__file__).parents[1] / "hosts"
SCRIPT: Final = HOSTS / "capture.sh"


def captured(guest: FullGuest, folder: Path) -> Path:
    """Run the script in a guest that was handed it; give the tree, copied into `folder`."""
    guest.sure(f"sh {FILES}/{SCRIPT.name} /run/tree")
    packed = base64.b64decode(guest.sure("tar -C /run/tree -czf - root | base64"))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "root"


def keep(tree: Path, row: str) -> None:
    """Check a tree in, under a name made of its row; expected.json beside it is by hand.

    Of the kernel's configuration, 200 kB, only what `status` reads.
    """
    home = HOSTS / f"lab-{row.lower().replace(' ', '-')}" / "root"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(tree, home)
    for config in home.glob("boot/config-*"):
        lines = config.read_text().splitlines(keepends=True)
        config.write_text("".join(line for line in lines if _OPTION.findall(line)[:1] in _READ))


_OPTION: Final = re.compile(r"\bCONFIG_(\w+)")
_READ: Final = [[name] for name in sorted(OPTIONS)]
