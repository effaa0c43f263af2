"""Debian's kernels, unpacked under .lab/kernels without touching the machine's own apt.

They come from the mirror that this machine's apt already uses. What is unpacked stays until
.lab is removed, so that two runs boot the same kernel.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.apt import Apt, Suite, apt
from tests.lab.cache import LAB, once, scratch
from tests.lab.command import run

_OVMF: Final = Path("/usr/share/ovmf")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A kernel to have: the package that leads to it, and whether its suite moves on.

    `headers`: with what builds modules for it, fetched at once, for the archive moves on.
    """

    suite: Suite
    package: str = "linux-image-cloud-amd64"
    moving: bool = True
    headers: bool = False


_BOOKWORM: Final = Suite("bookworm")

WANTED: Final = {
    "bullseye-5.10": Wanted(Suite("bullseye")),
    "bookworm-6.1": Wanted(_BOOKWORM, moving=False, headers=True),
    "bookworm-6.1-amd64": Wanted(_BOOKWORM, "linux-image-amd64", moving=False),
    "bookworm-6.12": Wanted(_BOOKWORM, "linux-image-6.12-cloud-amd64", moving=False),
    "trixie-6.12": Wanted(Suite("trixie")),
    "sid-7": Wanted(Suite("sid", security=False)),
}


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel: `modules` is the root that holds lib/modules/RELEASE."""

    name: str
    release: str
    vmlinuz: Path
    modules: Path
    version: str

    def config(self, option: str) -> str:
        """Give the value of CONFIG_`option` this kernel was built with; "" if it is not set."""
        text = (self.vmlinuz.parent / f"config-{self.release}").read_text()
        found = re.search(rf"^CONFIG_{option}=(.*)$", text, re.MULTILINE)
        return found[1] if found else ""

    def module_file(self, name: str) -> Path | None:
        """Find a module by name, whatever its compression; None if this kernel has none."""
        pattern = re.sub("[-_]", "[-_]", name) + ".ko*"
        folder = self.modules / "lib" / "modules" / self.release
        return next(iter(sorted(folder.rglob(pattern))), None)

    def module_order(self, names: Iterable[str]) -> dict[str, Path]:
        """Give the modules to load, dependencies first; what is built in is left out."""
        order: dict[str, Path] = {}
        for name in names:
            if file := self.module_file(name):
                order |= self.module_order(_dependencies(module_bytes(file)))
                order.setdefault(name, file)
        return order


def kernel(name: str) -> Kernel:
    """Give a kernel of WANTED, fetched if need be.

    Raises LabError, and as NotInArchive where the archive has none now.
    """
    wanted = WANTED[name]
    home = LAB / "kernels" / (f"{name}-headers" if wanted.headers else name)
    with once(home) as part:
        if part:
            _fetch(wanted, part)
    return _unpacked(name, home)


def headers(kernel: Kernel) -> Path:
    """Give the directory for `make -C` that builds modules for `kernel`, one with headers."""
    return kernel.modules / "usr" / "src" / f"linux-headers-{kernel.release}"


def signed(kernel: Kernel) -> Path:
    """Give the kernel image signed with the snakeoil key that OVMF's test variables trust."""
    home = LAB / "signed" / f"{kernel.name}-{kernel.version}"
    with once(home) as part:
        if part:
            _sign(unsigned(kernel), part / "vmlinuz")
    return home / "vmlinuz"


def _sign(image: Path, file: Path) -> None:
    locked, certificate = _OVMF / "PkKek-1-snakeoil.key", _OVMF / "PkKek-1-snakeoil.pem"
    with scratch() as work:
        key = work / "key"
        run("openssl", "pkey", "-in", locked, "-passin", "pass:snakeoil", "-out", key)
        run("sbsign", "--key", key, "--cert", certificate, "--output", file, image)


def unsigned(kernel: Kernel) -> Path:
    """Give the kernel image without Debian's signature, as somebody would have built it."""
    home = LAB / "unsigned" / f"{kernel.name}-{kernel.version}"
    with once(home) as part:
        if part:
            shutil.copy(kernel.vmlinuz, part / "vmlinuz")
            run("sbattach", "--remove", part / "vmlinuz")
    return home / "vmlinuz"


def module_bytes(file: Path) -> bytes:
    """Read a module, unpacked if it is compressed (Debian: xz, since trixie)."""
    raw = file.read_bytes()
    return lzma.decompress(raw) if file.suffix == ".xz" else raw


def _dependencies(module: bytes) -> list[str]:
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name for name in found[1].decode().split(",") if name] if found else []


def _fetch(wanted: Wanted, root: Path) -> None:
    with apt(wanted.suite) as archive:
        names = archive.closure(wanted.package, "image|binary|modules|base")
        # What leads to them holds nothing, and mirrors have been seen to lack it.
        archive.unpack([name for name in names if _OF_A_RELEASE.search(name)], root)
        _settle(root)
        release = _release(root)
        (root / "version").write_text(archive.field(f"linux-image-{release}", "Version"))
        if wanted.headers:
            _fetch_headers(archive, release, root)


def _fetch_headers(archive: Apt, release: str, root: Path) -> None:
    names = archive.closure(f"linux-headers-{release}", "headers|kbuild|compiler")
    archive.unpack(names, root)
    _relocate(root)


_OF_A_RELEASE: Final = re.compile(r"-\d+\.\d+\.\d")


def _settle(root: Path) -> None:
    """Put files where an installed machine has them: since 7.2 they are packed otherwise."""
    if not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")
    (root / "boot").mkdir(exist_ok=True)
    for name in ("vmlinuz", "config"):
        for file in root.glob(f"usr/lib/modules/*/{name}"):
            shutil.copy(file, root / "boot" / f"{name}-{file.parent.name}")


def _release(root: Path) -> str:
    (vmlinuz,) = (root / "boot").glob("vmlinuz-*")
    return vmlinuz.name.removeprefix("vmlinuz-")


def _unpacked(name: str, root: Path) -> Kernel:
    release = _release(root)
    version = (root / "version").read_text()
    return Kernel(name, release, root / "boot" / f"vmlinuz-{release}", root, version)


def _relocate(root: Path) -> None:
    """Make headers that expect to stand under / work wherever `root` is, or is moved to."""
    for makefile in root.glob("usr/src/*/Makefile"):
        makefile.write_text(makefile.read_text().replace("/usr/src/", "../"))
    for link in root.rglob("*"):
        if link.is_symlink() and (target := link.readlink()).is_absolute():
            link.unlink()
            link.symlink_to(os.path.relpath(root / target.relative_to("/"), link.parent))
