"""What the lab needs of the machine; .ci/setup installs it for the group lab."""

from __future__ import annotations

import shutil
from typing import Final

from tests.lab.qemu import OVMF
from tests.parts import missing

_TOOLS: Final = {
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "sbsign": "sbsigntool",
    "openssl": "openssl",
    "gcc": "gcc",
    "apt-get": "apt, for the kernels",
}


def need_lab() -> None:
    """End the test where guests cannot be made or run: skipped, and in CI failed."""
    for tool, package in _TOOLS.items():
        if not shutil.which(tool):
            missing(f"{tool} ({package})")
    if not (OVMF / "OVMF_CODE_4M.secboot.fd").exists():
        missing("UEFI firmware for QEMU (ovmf)")
