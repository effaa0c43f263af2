"""The real parts: a journald of our own, this machine's /dev/kmsg, journal files of any content."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar

from tests.parts import missing
from watcher.detect import Detector
from watcher.event import Event
from watcher.host import this_host
from watcher.pack import load_pack
from watcher.record import Gap, Record

JOURNALD: Final = Path("/lib/systemd/systemd-journald")
REMOTE: Final = Path("/lib/systemd/systemd-journal-remote")
KMSG: Final = Path("/dev/kmsg")
RATE: Final = Path("/proc/sys/kernel/printk_devkmsg")

PATIENCE_S: Final = 15.0
"""How long a thing that must come is waited for; a machine under load is slow, not wrong."""

PACK: Final = load_pack()
MISSED: Final = b"missed "

T = TypeVar("T")


def need_root() -> None:
    """Skip, or fail in CI, unless this runs as root."""
    if os.geteuid() != 0:
        missing("root")


def need(program: Path) -> None:
    """Skip, or fail in CI, unless `program` is there."""
    if not program.exists():
        missing(str(program))


def until(look: Callable[[], T], what: str) -> T:
    """Give the first true answer of `look`; fails after PATIENCE_S."""
    end = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.005)
    return found


# --- sources


class Readable(Protocol):
    """What every source offers."""

    def read(self) -> Iterator[list[Record | Gap]]:
        """Give batches."""


def items(source: Readable) -> list[Record | Gap]:
    """Give all that a source has now."""
    return [item for batch in source.read() for item in batch]


def records(found: Iterable[Record | Gap]) -> list[Record]:
    """Give the records of what a source gave."""
    return [item for item in found if isinstance(item, Record)]


def gaps(found: Iterable[Record | Gap]) -> list[Gap]:
    """Give the gaps of what a source gave."""
    return [item for item in found if isinstance(item, Gap)]


def judged(found: Iterable[Record | Gap]) -> list[Event]:
    """Give the events of what a source gave, as the shipped rules make them."""
    detector = Detector(PACK)
    return [
        event for item in found for event in detector.events(item)
    ] + [*detector.flush()]  # fmt: skip


_marks = itertools.count()


def mark() -> str:
    """Give a word that stands in no log yet."""
    return f"lw{os.getpid()}n{next(_marks)}t{time.monotonic_ns()}"


# --- /dev/kmsg


@contextlib.contextmanager
def unlimited_kmsg() -> Iterator[Callable[..., None]]:
    """Lift the rate limit of /dev/kmsg; give what writes lines to it, each in one write."""
    need_root()
    if not KMSG.exists() or not RATE.exists():
        missing("/dev/kmsg")
    before = RATE.read_text("ascii")
    RATE.write_text("on\n", "ascii")
    descriptor = os.open(KMSG, os.O_WRONLY | os.O_CLOEXEC)

    def write(*lines: str | bytes) -> None:
        for line in lines:
            os.write(descriptor, line.encode() if isinstance(line, str) else line)

    try:
        yield write
    finally:
        os.close(descriptor)
        RATE.write_text(before, "ascii")


DENIED: Final = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x20000) or libc.mount(b"none", b"/", None, 0x44000, None):
    sys.exit("no mount namespace")
if libc.mount(b"debugfs", b"/mnt", b"debugfs", 0, None):
    sys.exit("no debugfs")
files = (os.path.join(top, name) for top, _, names in os.walk("/mnt") for name in names)
path = next(path for path in files if os.stat(path).st_mode & 0o777 == 0o200)
libc.prctl(15, os.fsencode(sys.argv[1]), 0, 0, 0)
try:
    os.open(path, os.O_RDONLY)
except PermissionError:
    sys.exit(7)
"""


def provoke_denial(comm: str) -> bool:
    """Make this kernel refuse debugfs to a process of that name; False if it is not locked."""
    # Opened to read only, in a mount namespace of its own: nothing changes even where it is
    # not refused.
    done = subprocess.run(
        [sys.executable, "-c", DENIED, comm], check=False, capture_output=True, text=True
    )
    if done.returncode not in (0, 7):
        missing(f"debugfs, to provoke a denial ({done.stderr.strip()[-200:]})")
    return done.returncode == 7


# --- a journald of our own


class Journald:
    """A journald of its own namespace, which reads the real /dev/kmsg; `stop` leaves no trace."""

    def __init__(self, settings: str = "") -> None:
        need_root()
        need(JOURNALD)
        if not this_host().machine_id:
            missing("/etc/machine-id")
        _sweep()
        self.namespace = mark()
        self._conf, self.run, self.folder, self._volatile = _places(self.namespace)
        self._conf.write_text(
            "[Journal]\nReadKMsg=yes\nStorage=persistent\nMaxRetentionSec=1day\n"
            f"RateLimitIntervalSec=0\nSyncIntervalSec=1s\n{settings}",
            "ascii",
        )
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", JOURNALD, self.namespace],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until((self.folder / "system.journal").exists, "journald to start")
            self.sync()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it by its process id and remove all it left."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _remove(self.namespace)

    def journalctl(self, *arguments: str) -> str:
        """Run journalctl on this namespace."""
        command = ["journalctl", f"--namespace={self.namespace}", "--no-pager", *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout

    def sync(self) -> None:
        """Return when all that was written before is in the files."""
        self.journalctl("--sync")

    def rotate(self) -> None:
        """Return when new files were begun."""
        self.journalctl("--rotate")

    def vacuum(self) -> None:
        """Remove all files but the one written to."""
        command = ["journalctl", "-D", str(self.folder), "--vacuum-files=1"]
        subprocess.run(command, check=True, capture_output=True)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def native(self, fields: Mapping[str, str | bytes]) -> None:
        """Send one entry in the native protocol, as any user may."""
        data = b"".join(_field(name, value) for name, value in fields.items())
        self._send("socket", data)

    def syslog(self, line: str) -> None:
        """Send one line to the syslog socket, as any user may."""
        self._send("dev-log", line.encode())

    def stdout(self, identifier: str, line: str) -> None:
        """Write one line on a stdout stream, as a service does; `<N>` sets level and facility."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            stream.connect(str(self.run / "stdout"))
            stream.sendall(f"{identifier}\n\n5\n1\n0\n0\n0\n{line}\n".encode())

    def _send(self, name: str, data: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(data, str(self.run / name))


def _places(namespace: str) -> tuple[Path, Path, Path, Path]:
    """All that a namespace leaves: its configuration, sockets, files and volatile files."""
    name = f"{this_host().machine_id}.{namespace}"
    return (
        Path("/etc/systemd", f"journald@{namespace}.conf"),
        Path("/run/systemd", f"journal.{namespace}"),
        Path("/var/log/journal", name),
        Path("/run/log/journal", name),
    )


def _remove(namespace: str) -> None:
    conf, *folders = _places(namespace)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    conf.unlink(missing_ok=True)


def _sweep() -> None:
    """Remove what test runs left that were killed; their journald ended with them."""
    for conf in Path("/etc/systemd").glob("journald@lw*n*t*.conf"):
        namespace = conf.stem.partition("@")[2]
        if not Path("/proc", namespace[2:].partition("n")[0]).exists():
            _remove(namespace)


def _field(name: str, value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    if b"\n" not in data and _is_text(data):
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"


def _is_text(data: bytes) -> bool:
    try:
        return data.decode().isprintable()
    except UnicodeDecodeError:
        return False


# --- journal files of any content

BOOT: Final = "0123456789abcdef0123456789abcdef"
BOOT_2: Final = "fedcba9876543210fedcba9876543210"
MACHINE: Final = "00112233445566778899aabbccddeeff"
START_US: Final = 1_760_000_000_000_000
BOOTED_US: Final = START_US - 100_000_000

Entry = list[tuple[str, str | bytes]]


def line(  # noqa: PLR0913 - what a kernel line has
    text: str | bytes,
    at_us: int = 0,
    *,
    boot: str = BOOT,
    facility: str = "0",
    late_us: int = 0,
    more: Iterable[tuple[str, str | bytes]] = (),
) -> Entry:
    """Give the fields of a kernel line `at_us` after START_US, which journald read later."""
    monotonic = START_US + at_us - BOOTED_US
    return [
        *_frame(START_US + at_us, monotonic, boot),
        ("_TRANSPORT", "kernel"),
        ("PRIORITY", "5"),
        ("SYSLOG_FACILITY", facility),
        ("SYSLOG_IDENTIFIER", "kernel"),
        ("_SOURCE_MONOTONIC_TIMESTAMP", str(monotonic - late_us)),
        ("MESSAGE", text),
        *more,
    ]


def entry(at_us: int = 0, *fields: tuple[str, str | bytes], boot: str = BOOT) -> Entry:
    """Give an entry of any fields `at_us` after START_US."""
    return [*_frame(START_US + at_us, START_US + at_us - BOOTED_US, boot), *fields]


def _frame(realtime: int, monotonic: int, boot: str) -> Entry:
    return [
        ("__REALTIME_TIMESTAMP", str(realtime)),
        ("__MONOTONIC_TIMESTAMP", str(monotonic)),
        ("_BOOT_ID", boot),
        ("_MACHINE_ID", MACHINE),
        ("_HOSTNAME", "tested"),
    ]


def build(target: Path, entries: Iterable[Entry], *options: str) -> Path:
    """Write a journal file through systemd-journal-remote."""
    need(REMOTE)
    text = b"".join(
        b"".join(_field(name, value) for name, value in fields) + b"\n" for fields in entries
    )
    done = subprocess.run(
        [REMOTE, *options, "-o", str(target), "-"], input=text, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return target


def lockdown_line(name: str) -> str:
    """Give a denial as the kernel words it."""
    return f"Lockdown: {name}: hibernation is restricted; see man kernel_lockdown.7"
