"""What the full guest needs of the machine, beyond what the lab needs anyway."""

from __future__ import annotations

import os
from typing import Final

from tests.lab.parts import need_lab
from tests.parts import missing

_TOOLS: Final = {
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "unshare": "util-linux",
    "make": "make, for the module that speaks as the kernel",
}


def need_full_lab() -> None:
    """End the test where the full guest cannot be built: skipped, and in CI failed."""
    need_lab(_TOOLS)
    if os.geteuid() != 0:
        missing("root, to make a Debian's root directory")
