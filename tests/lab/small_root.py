"""The small guest's root: our one program as init, what it provokes with, and its plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.lab.initrd import Entry, compiled, cpio, executable, modules, plain
from tests.lab.kernels import Kernel, module_bytes, signed, unsigned

MODULES: Final = ("msr", "efivarfs", "efi_test", "xfrm_user", "ah4")
"""Loaded where a kernel has them: what some provocations need to be there at all."""

UNSIGNED_MODULE: Final = "dummy"

_SOURCES: Final = ("provoke.c", "devices.c", "system.c", "tracing.c")
_SIGNATURE_MARK: Final = b"~Module signature appended~\n"


def initramfs(kernel: Kernel, plan: Sequence[str], file: Path) -> Path:
    """Write the initramfs for one boot of `kernel` that does `plan`, line by line, to `file`."""
    entries = {
        "init": executable(program()),
        "plan": plain("".join(f"{line}\n" for line in plan).encode()),
        **modules(kernel, MODULES),
        **_images(kernel),
    }
    file.write_bytes(cpio(_TABLE) + cpio(entries))
    return file


def program() -> Path:
    """Give the program that provokes, compiled if its sources have changed."""
    here = Path(__file__).parent
    return compiled("provoke", *(here / name for name in _SOURCES), headers=[here / "provoke.h"])


def _images(kernel: Kernel) -> dict[str, Entry]:
    images = {
        "images/vmlinuz": plain(kernel.vmlinuz.read_bytes()),
        "images/vmlinuz.signed": plain(signed(kernel).read_bytes()),
        "images/vmlinuz.unsigned": plain(unsigned(kernel).read_bytes()),
    }
    if module := kernel.module_file(UNSIGNED_MODULE):
        images["images/module.ko"] = plain(without_signature(module_bytes(module)))
    return images


def without_signature(module: bytes) -> bytes:
    """Cut off the signature that is appended to a module (linux/module_signature.h).

    At the very end stands a mark, before it 12 bytes that end in the signature's length.
    """
    if not module.endswith(_SIGNATURE_MARK):
        return module
    end = len(module) - len(_SIGNATURE_MARK)
    signature = int.from_bytes(module[end - 4 : end], "big")
    return module[: end - 12 - signature]


def _acpi_table() -> bytes:
    """Give an ACPI table (SSDT) that holds nothing: the header alone, with a true checksum."""
    head = b"SSDT" + (36).to_bytes(4, "little") + b"\2" + b"\0" + b"LABLABLOCKDOWN  "[:14]
    table = bytearray(head + (1).to_bytes(4, "little") + b"LAB " + (1).to_bytes(4, "little"))
    table[9] = -sum(table) % 256
    return bytes(table)


_TABLE: Final = {"kernel/firmware/acpi/lab.aml": plain(_acpi_table())}
"""What the kernel takes as an upgrade of the firmware's tables, first in the initrd."""
