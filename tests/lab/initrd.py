"""What every guest boots from: our programs, compiled once, and modules, packed as an initramfs."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.lab.cache import LAB, once
from tests.lab.command import run
from tests.lab.kernels import Kernel, module_bytes

Entry = tuple[int, bytes]
"""A file's mode and content."""


def plain(content: bytes) -> Entry:
    """Give a file that is read."""
    return stat.S_IFREG | 0o644, content


def executable(file: Path) -> Entry:
    """Give a file that is run."""
    return stat.S_IFREG | 0o755, file.read_bytes()


def modules(kernel: Kernel, names: Iterable[str]) -> dict[str, Entry]:
    """Give modules as files, and modules/order, which has their paths, dependencies first."""
    found = kernel.module_order(names)
    order = "".join(f"/modules/{name}\n" for name in found).encode()
    files = {f"modules/{name}": plain(module_bytes(path)) for name, path in found.items()}
    return {"modules/order": plain(order), **files}


def compiled(name: str, *sources: Path, headers: Sequence[Path] = ()) -> Path:
    """Give the program made of `sources`, compiled if they or `headers` have changed."""
    texts = b"".join(file.read_bytes() for file in (*sources, *headers))
    home = LAB / "programs" / f"{name}-{hashlib.sha256(texts).hexdigest()[:16]}"
    with once(home) as part:
        if part:
            warnings = ("-Wall", "-Wextra", "-Werror")
            run("gcc", "-static", "-Os", *warnings, "-o", part / name, *sources)
    return home / name


def cpio(files: Mapping[str, Entry]) -> bytes:
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
