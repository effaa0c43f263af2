"""Builds the full guest: Debian 12 with systemd as PID 1, and the watcher from this tree's wheel.

Three steps, each kept under .lab and made anew only when what it is made of has changed: Debian
(`_debian`), the wheels the watcher needs (`_dependencies`), and the disk (`image`). Nothing is
mounted by us. Packages for later parts go into PACKAGES; files, into a guest's `files`.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Final

from tests.lab.apt import Suite, sources
from tests.lab.cache import LAB, forget, once
from tests.lab.command import run
from tests.lab.initrd import compiled, cpio, executable, modules, plain
from tests.lab.kernels import Kernel

PACKAGES: Final = (
    "systemd", "systemd-sysv", "dbus", "kmod", "python3",
    "python3-systemd",  # systemd-python, as Debian compiles it against its own libsystemd
    "python3-venv",
    "libpam-systemd", "dbus-user-session", "python3-jeepney",  # a user's session, and its notes
    "python3-yaml", "python3-zstandard",  # the Debian package's, beside what it carries itself
    "rsyslog", "fail2ban",  # what the service's cost at rest is set beside; masked until then
)  # fmt: skip
SUITE: Final = "bookworm"
PYTHON: Final = "3.11"
"""What /usr/bin/python3 is in SUITE: the wheels are for this one, whatever runs the lab."""

_PLATFORMS: Final = tuple(f"manylinux_2_{glibc}_x86_64" for glibc in (34, 31, 28, 27, 24, 17))
_MODULES: Final = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "efivarfs")
_DISK: Final = "1500M"  # of which only what is written takes room
_HOME: Final = "/opt/lockdown-watcher"
_TREE: Final = Path(__file__).parents[2]
_HERE: Final = Path(__file__).parent
_AGENT: Final = _HERE / "full_agent.py"

# No logins: ttyS0 is the agent's. No timers: nothing runs but what a test has started.
_MASKED: Final = (
    "getty.target", "timers.target", "e2scrub_reap.service",
    "rsyslog.service", "syslog.socket", "fail2ban.service",
)  # fmt: skip
_UNIT: Final = """\
[Unit]
Description=The lab's hand in this guest
After=multi-user.target

[Service]
ExecStart=/usr/bin/python3 /opt/lab/full_agent.py
Type=exec
StandardError=journal+console
KillMode=process

[Install]
WantedBy=default.target
"""


def image() -> Path:
    """Give the disk (ext4, no partitions) of a guest with this tree's watcher; copy, then use.

    Raises LabError.
    """
    home = LAB / "full" / f"disk-{_key(*_product(), _HERE / 'full_image.py', _AGENT)}"
    with once(home) as part:
        if part:
            _make_disk(part)
    return home / "disk"


def initrd(kernel: Kernel, file: Path) -> Path:
    """Write the initramfs with which `kernel` finds the disk, as /dev/vda, to `file`."""
    entries = {
        "init": executable(compiled("init", _HERE / "full_init.c")),
        "dev/.keep": plain(b""),
        "root/.keep": plain(b""),
        **modules(kernel, _MODULES),
    }
    file.write_bytes(cpio(entries))
    return file


def _make_disk(part: Path) -> None:
    forget(part.parent, "disk")
    root = part / "root"
    run("cp", "-a", "--reflink=auto", _debian() / "root", root)
    _settle(root)
    _install(root, _dependencies())
    run("mkfs.ext4", "-q", "-m", "0", "-d", root, part / "disk", _DISK)
    shutil.rmtree(root)


# --- Debian


def _debian() -> Path:
    home = LAB / "full" / f"debian-{_digest(*map(str, _mmdebstrap(Path(), Path())))}"
    with once(home) as part:
        if part:
            (part / "sources.list").write_text(sources(Suite(SUITE)))
            run(*_mmdebstrap(part / "root", part / "sources.list"))
    return home


def _mmdebstrap(root: Path, sources_list: Path) -> list[str | Path]:
    # In namespaces of its own: what it mounts and starts ends with it, also when it is killed.
    return [
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory"),
        f"--include={','.join(PACKAGES)}",
        "--aptopt=Acquire::Languages none",
        *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")),
        *(SUITE, root, sources_list),
    ]


def _settle(root: Path) -> None:
    """Make it a machine that has been up before: a name, an id, no first-boot questions."""
    _write(root / "etc/hostname", "lab\n")
    _write(root / "etc/machine-id", hashlib.md5(b"lab").hexdigest() + "\n")
    (root / "var/log/journal").mkdir(exist_ok=True)  # so that journald keeps its files
    shutil.copy(_AGENT, _folder(root / "opt/lab"))
    units = root / "etc/systemd/system"
    _write(units / "lab-agent.service", _UNIT)
    for name in _MASKED:
        (units / name).symlink_to("/dev/null")
    wants = _folder(units / "default.target.wants")
    (wants / "lab-agent.service").symlink_to("../lab-agent.service")


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)  # it may be a link to somewhere outside
    path.write_text(text)


# --- the watcher


def _install(root: Path, wheels: Path) -> None:
    """Install as a user would: pip, a venv, a console script, byte code and all."""
    here = root / "wheels"
    shutil.copytree(wheels, here)
    # What builds it is here (group lab): a changed tree needs no network.
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", here, _TREE)
    _inside(root, "python3", "-m", "venv", "--system-site-packages", _HOME)
    pip = f"{_HOME}/bin/pip"
    _inside(root, pip, "install", "-q", "--no-index", "--find-links=/wheels", "lockdown-watcher")
    (root / "usr/local/bin/lockdown-watcher").symlink_to(f"{_HOME}/bin/lockdown-watcher")
    shutil.rmtree(here)


def _inside(root: Path, *argv: str) -> None:
    # env -i: this machine's settings (an index, no byte code) are not the guest's.
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    run("chroot", root, "/usr/bin/env", "-i", path, "LANG=C.UTF-8", "HOME=/root", *argv)


def _dependencies() -> Path:
    """Download the wheels of what the watcher needs, all but what Debian's Python brings."""
    project = tomllib.loads((_TREE / "pyproject.toml").read_text())["project"]
    wanted = [line for line in project["dependencies"] if not line.startswith("systemd-python")]
    home = LAB / "full" / f"wheels-{_digest(PYTHON, *_PLATFORMS, *wanted)}"
    with once(home) as part:
        if part:
            platforms = [f"--platform={platform}" for platform in _PLATFORMS]
            version = ("--implementation=cp", f"--python-version={PYTHON}", "--only-binary=:all:")
            _pip("download", "--dest", part, *version, *platforms, *wanted)
    return home


def _pip(*argv: str | Path) -> None:
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *argv)


def _product() -> list[Path]:
    """Give every file that the wheel is made of."""
    folders = (_TREE / "watcher", _TREE / "rules", _TREE / "units")
    files = [file for folder in folders for file in folder.rglob("*")]
    kept = [file for file in files if file.is_file() and "__pycache__" not in file.parts]
    return [*sorted(kept), _TREE / "pyproject.toml", _TREE / "README.md"]


def _key(*files: Path) -> str:
    """Give what names a thing made of these files: their names and what is in them."""
    texts = [(str(file.relative_to(_TREE)), file.read_bytes().hex()) for file in files]
    return _digest(*(part for text in texts for part in text))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
