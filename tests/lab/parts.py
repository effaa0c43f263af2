"""What the lab needs of the machine; .ci/setup installs it for the group lab."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from types import MappingProxyType
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


def need_lab(more: Mapping[str, str] = MappingProxyType({})) -> None:
    """End the test where guests cannot be made or run: skipped, and in CI failed.

    `more` are tools that are needed too, with the package each comes from.
    """
    for tool, package in (*_TOOLS.items(), *more.items()):
        if not shutil.which(tool):
            missing(f"{tool} ({package})")
    if not (OVMF / "OVMF_CODE_4M.secboot.fd").exists():
        missing("UEFI firmware for QEMU (ovmf)")
