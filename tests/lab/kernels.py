"""Debian's kernels, unpacked under .lab/kernels without touching the machine's own apt.

They come from the mirror that this machine's apt already uses. What is unpacked stays until
.lab is removed, so that two runs boot the same kernel.
"""

from __future__ import annotations

import fcntl
import lzma
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LAB: Final = Path(__file__).parents[2] / ".lab"
_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_OVMF: Final = Path("/usr/share/ovmf")
_TIMEOUT_S: Final = 600


class LabError(Exception):
    """A part of the lab could not be built; the text says which, and what the tool said."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A kernel to have: the package that leads to it, and whether its suite moves on."""

    suite: str
    package: str = "linux-image-cloud-amd64"
    moving: bool = True
    security: bool = True


WANTED: Final = {
    "bullseye-5.10": Wanted("bullseye"),
    "bookworm-6.1": Wanted("bookworm", moving=False),
    "bookworm-6.1-amd64": Wanted("bookworm", "linux-image-amd64", moving=False),
    "bookworm-6.12": Wanted("bookworm", "linux-image-6.12-cloud-amd64", moving=False),
    "trixie-6.12": Wanted("trixie"),
    "sid-7": Wanted("sid", security=False),
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


def kernel(name: str) -> Kernel | None:
    """Give a kernel of WANTED, fetched if need be; None (and a line) if its suite lacks it.

    Raises LabError where a kernel that may not be missing cannot be had.
    """
    wanted, home = WANTED[name], LAB / "kernels" / name
    try:
        with once(home) as part:
            if part:
                _fetch(wanted, part)
    except LabError as error:
        if not wanted.moving:
            raise
        print(f"lab: no kernel {name}: {error}")
        return None
    return _unpacked(name, home)


def headers(kernel: Kernel) -> Path:
    """Give the directory for `make -C` that builds modules for `kernel`, fetched if need be.

    Raises LabError; one cause is an archive that has moved on since the kernel was fetched.
    """
    wanted, home = WANTED[kernel.name], LAB / "headers" / kernel.release
    with once(home) as part:
        if part:
            with _apt(wanted) as apt:
                names = apt.closure(f"linux-headers-{kernel.release}", "headers|kbuild|compiler")
                apt.unpack(names, part)
            _relocate(part, home)
    return home / "usr" / "src" / f"linux-headers-{kernel.release}"


def signed(kernel: Kernel) -> Path:
    """Give the kernel image signed with the snakeoil key that OVMF's test variables trust."""
    home = LAB / "signed" / f"{kernel.name}-{kernel.version}"
    with once(home) as part:
        if part:
            bare = shutil.copy(unsigned(kernel), part / "bare")
            key, certificate = part / "key", _OVMF / "PkKek-1-snakeoil.pem"
            locked = _OVMF / "PkKek-1-snakeoil.key"
            run("openssl", "pkey", "-in", locked, "-passin", "pass:snakeoil", "-out", key)
            run("sbsign", "--key", key, "--cert", certificate, "--output", part / "vmlinuz", bare)
    return home / "vmlinuz"


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


def run(*argv: str | Path, cwd: Path | None = None) -> str:
    """Run a tool and give its output; raises LabError with the end of what it said."""
    try:
        done = subprocess.run(
            argv, cwd=cwd, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{argv[0]}: {error}") from error
    if done.returncode:
        raise LabError(f"{argv[0]}: status {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


@contextmanager
def once(home: Path) -> Iterator[Path | None]:
    """Give a folder to fill, that becomes `home` when all went well; None if `home` is there.

    Whoever comes second waits, also from another process.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name(f".{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.is_dir():
            yield None
            return
        part = home.with_name(f".{home.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        yield part
        part.rename(home)


def _fetch(wanted: Wanted, root: Path) -> None:
    with _apt(wanted) as apt:
        names = apt.closure(wanted.package, "image|binary|modules|base")
        # What leads to them holds nothing, and mirrors have been seen to lack it.
        apt.unpack([name for name in names if _OF_A_RELEASE.search(name)], root)
        _settle(root)
        (root / "version").write_text(apt.field(f"linux-image-{_release(root)}", "Version"))


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


@contextmanager
def _apt(wanted: Wanted) -> Iterator[_Apt]:
    with tempfile.TemporaryDirectory(prefix="lab-apt-") as state:
        yield _Apt(wanted, Path(state))


class _Apt:
    """apt with sources, lists and status of its own, all under `state`."""

    def __init__(self, wanted: Wanted, state: Path) -> None:
        for folder in ("lists/partial", "archives/partial"):
            (state / folder).mkdir(parents=True)
        self._state = state
        (state / "sources.list").write_text(sources(wanted))
        settings = {
            "Dir::Etc::SourceList": state / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": state,
            "Dir::State::status": "/dev/null",
            "Dir::Cache": state,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        self._options = [f"-o{name}={value}" for name, value in settings.items()]
        run("apt-get", *self._options, "-qq", "--error-on=any", "update")

    def field(self, package: str, name: str) -> str:
        shown = run("apt-cache", *self._options, "show", "--no-all-versions", package)
        found = re.search(rf"^{name}: (.*)$", shown, re.MULTILINE)
        return found[1] if found else ""

    def closure(self, package: str, parts: str) -> list[str]:
        """Give the packages that `package` leads to by dependencies named linux-(`parts`)-..."""
        names = [package]
        for name in names:  # grows while it runs
            depends = re.findall(rf"(?:^|, )(linux-(?:{parts})-\S+)", self.field(name, "Depends"))
            names += [found for found in depends if found not in names]
        return names

    def unpack(self, packages: list[str], root: Path) -> None:
        """Download the packages and unpack them all into `root`."""
        run("apt-get", *self._options, "-qq", "download", *packages, cwd=self._state)
        for file in sorted(self._state.glob("*.deb")):
            run("dpkg-deb", "-x", file, root)
            file.unlink()


def sources(wanted: Wanted) -> str:
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    archives = {wanted.suite: codename}
    if wanted.security:
        archives[f"{wanted.suite}-security"] = f"{codename}-security"
    mirrors = _mirrors()
    lines = [
        f"deb [arch=amd64 signed-by={_KEYRING}] {mirrors[ours]} {suite} main\n"
        for suite, ours in archives.items()
        if ours in mirrors
    ]
    if not lines:
        raise LabError(f"this machine's apt has no source for {codename}, so no mirror is known")
    return "".join(lines)


def _mirrors() -> dict[str, str]:
    """Give the mirror of each suite that this machine's own apt has configured."""
    form = "$(SITE) $(RELEASE) $(COMPONENT)"
    listed = run("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    rows = [line.split() for line in listed.splitlines()]
    return {row[1]: row[0] for row in reversed(rows) if row[2:] == ["main"]}


def _relocate(part: Path, home: Path) -> None:
    """Make headers that expect to stand under / work where they are."""
    for makefile in part.glob("usr/src/*/Makefile"):
        makefile.write_text(makefile.read_text().replace("/usr/src/", f"{home}/usr/src/"))
    for link in part.rglob("*"):
        if link.is_symlink() and (target := link.readlink()).is_absolute():
            link.unlink()
            link.symlink_to(home / target.relative_to("/"))
