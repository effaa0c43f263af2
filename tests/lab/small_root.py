"""The small guest's root: our one program as init, what it provokes with, and its plan."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.lab.cache import LAB, once
from tests.lab.command import run
from tests.lab.kernels import Kernel, module_bytes, signed, unsigned

MODULES: Final = ("msr", "efivarfs", "efi_test", "xfrm_user", "ah4")
"""Loaded where a kernel has them: what some provocations need to be there at all."""

UNSIGNED_MODULE: Final = "dummy"

_SOURCES: Final = ("provoke.c", "devices.c", "system.c", "tracing.c")
_SIGNATURE_MARK: Final = b"~Module signature appended~\n"


def initramfs(kernel: Kernel, plan: Sequence[str], file: Path) -> Path:
    """Write the initramfs for one boot of `kernel` that does `plan`, line by line, to `file`."""
    modules = kernel.module_order(MODULES)
    entries = {
        "init": (stat.S_IFREG | 0o755, program().read_bytes()),
        "plan": _plain("".join(f"{line}\n" for line in plan).encode()),
        "modules/order": _plain("".join(f"/modules/{name}\n" for name in modules).encode()),
        **{f"modules/{name}": _plain(module_bytes(path)) for name, path in modules.items()},
        **_images(kernel),
    }
    file.write_bytes(cpio(_TABLE) + cpio(entries))
    return file


def program() -> Path:
    """Give the program that provokes, compiled if its sources have changed."""
    here = Path(__file__).parent
    sources = [here / name for name in (*_SOURCES, "provoke.h")]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    home = LAB / "provoke" / digest[:16]
    with once(home) as part:
        if part:
            warnings = ("-Wall", "-Wextra", "-Werror")
            run("gcc", "-static", "-Os", *warnings, "-o", part / "provoke", *sources[:-1])
    return home / "provoke"


def _images(kernel: Kernel) -> dict[str, tuple[int, bytes]]:
    images = {
        "images/vmlinuz": _plain(kernel.vmlinuz.read_bytes()),
        "images/vmlinuz.signed": _plain(signed(kernel).read_bytes()),
        "images/vmlinuz.unsigned": _plain(unsigned(kernel).read_bytes()),
    }
    if module := kernel.module_file(UNSIGNED_MODULE):
        images["images/module.ko"] = _plain(without_signature(module_bytes(module)))
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


def _plain(content: bytes) -> tuple[int, bytes]:
    return stat.S_IFREG | 0o644, content


def _acpi_table() -> bytes:
    """Give an ACPI table (SSDT) that holds nothing: the header alone, with a true checksum."""
    head = b"SSDT" + (36).to_bytes(4, "little") + b"\2" + b"\0" + b"LABLABLOCKDOWN  "[:14]
    table = bytearray(head + (1).to_bytes(4, "little") + b"LAB " + (1).to_bytes(4, "little"))
    table[9] = -sum(table) % 256
    return bytes(table)


_TABLE: Final = {"kernel/firmware/acpi/lab.aml": _plain(_acpi_table())}
"""What the kernel takes as an upgrade of the firmware's tables, first in the initrd."""


def cpio(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Pack files by path, mode and content, and the folders above them (newc, as initrds are)."""
    folders = {str(folder) for path in files for folder in Path(path).parents} - {"."}
    entries = [(folder, stat.S_IFDIR | 0o755, b"") for folder in sorted(folders)]
    entries += [(path, mode, content) for path, (mode, content) in files.items()]
    packed = b"".join(_entry(*entry, number) for number, entry in enumerate(entries, 1))
    return _padded(packed + _entry("TRAILER!!!", 0, b"", 0), 512)


def _entry(path: str, mode: int, content: bytes, number: int) -> bytes:
    name = path.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    return _padded(head, 4) + _padded(content, 4)


def _padded(data: bytes, to: int) -> bytes:
    return data + bytes(-len(data) % to)
