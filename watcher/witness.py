"""Runs a command untouched and keeps what the kernel logged meanwhile (`why -- CMD`).

Imports nothing but what Python has loaded anyway: until the command has ended, every
millisecond spent here would be the command's.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import time

TYPE_CHECKING = False  # typing itself would take 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, NoReturn

WORDS: Final = (
    b"ockdown", b"ocked down", b" module", b"ignature", b"kexec", b"kernel image", b"PEFILE",
    b"bpf",
)  # fmt: skip
"""One of these stands in every line that is worth a closer look later."""

READ_BYTES: Final = 16_384
MOST_LINES: Final = 2000
"""Lines kept; the kernel's own limit is ten in 5 s since 6.1, before that there is none."""

_ENVIRONMENT: Final = dict(os.environ)
"""As it was when this module was loaded, the first of all: what we set ourselves is not for it."""

_HEAD_BYTES: Final = 26
"""Priority and number stand in these; the number has 64 bits."""

_USER: Final = 8
"""From this priority on a process wrote the record (facility 1 and up)."""

_MOST_NAMES: Final = 1000
_TICKS_S: Final = (0.01, 0.02, 0.05, 0.1, 0.25)
"""How long to wait between looks; the last goes on. A short-lived child may still be missed."""

_PASSED_ON: Final = tuple(
    getattr(signal, f"SIG{name}") for name in ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM")
)
_WAITED: Final = {signal.SIGCHLD, *_PASSED_ON}
NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""What env(1) and shells give where a command cannot be started (POSIX, 2.8.2)."""


class Seen:
    """What happened: status or signal, when (monotonic and Epoch microseconds), and the lines.

    `names` are those of the command and of every descendant that was seen; `lost` counts lines
    that the ring buffer overwrote; `unseen` says why the log could not be followed, or is None.
    """

    def __init__(self, command: list[str], started_us: int = 0) -> None:
        self.command = command
        self.status = 0
        self.signal: int | None = None
        self.started_us = started_us
        self.seconds = 0.0
        self.lines: list[bytes] = []
        self.names = set[str]()
        self.lost = 0
        self.unseen: str | None = None
        self.started = True

    @property
    def succeeded(self) -> bool:
        """Tell whether it ended by itself with status 0."""
        return self.signal is None and self.status == 0


def split(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """Split `why [OPTION...] -- CMD ARG...` at the first `--`; other commands keep theirs."""
    if arguments[:1] != ["why"] or "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def run(command: list[str]) -> Seen:
    """Run it with our own tty, input and output, and give what was seen.

    Signals that others send to this process alone are passed on; those of the terminal reach
    the command by themselves, as it stays in our process group.
    """
    seen = Seen(command, started_us=time.time_ns() // 1000)
    log = _Log(seen)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
    start = time.monotonic()
    try:
        child = _spawn(command, before)
        if child is not None:
            _attend(child, seen, log)
        else:
            seen.started = False
            seen.status = NOT_FOUND if errno_of(command) == errno.ENOENT else NOT_EXECUTABLE
    finally:
        seen.seconds = time.monotonic() - start
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    log.drain()
    return seen


def errno_of(command: list[str]) -> int:
    """Tell why a command could not be started: ENOENT if there is none of that name."""
    if "/" in command[0]:
        return errno.EACCES if os.path.exists(command[0]) else errno.ENOENT  # noqa: PTH110
    paths = (os.path.join(folder, command[0]) for folder in os.get_exec_path())  # noqa: PTH118
    return errno.EACCES if any(map(os.path.exists, paths)) else errno.ENOENT


def end_as(seen: Seen, tell: Callable[[Seen], object]) -> NoReturn:
    """Tell, then end this process as the command ended: the same status, or the same signal.

    Whatever happens while telling (nobody listens, a fault of ours), that stays so.
    """
    if sys.stderr is not None:
        try:
            tell(seen)
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - the command's status must not depend on us
            sys.excepthook(*sys.exc_info())
    if seen.signal is not None:
        import resource

        # A second core file would take the place of the command's own.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if seen.signal not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(seen.signal, signal.SIG_DFL)
        os.kill(os.getpid(), seen.signal)
        os._exit(128 + seen.signal)
    os._exit(seen.status)


# --- the command


def _spawn(command: list[str], mask: set[signal.Signals] | set[int]) -> int | None:
    try:
        # Python ignores these two, and a command would inherit that.
        return os.posix_spawnp(
            command[0], command, _ENVIRONMENT,
            setsigmask=mask, setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )  # fmt: skip
    except (OSError, ValueError):
        return None


def _attend(child: int, seen: Seen, log: _Log) -> None:
    family = _Family(child, seen.names)
    ticks = iter(_TICKS_S)
    pause = next(ticks)
    while not _ended(child, seen, family):
        info = signal.sigtimedwait(_WAITED, pause)
        if info is None:
            family.look()
            log.drain()
            pause = next(ticks, pause)
        elif info.si_signo != signal.SIGCHLD and info.si_code <= 0 and info.si_pid != child:
            # Sent by a process (SI_USER and less); the terminal's own (SI_KERNEL) it has already.
            os.kill(child, info.si_signo)


def _ended(child: int, seen: Seen, family: _Family) -> bool:
    if os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        return False
    family.look()  # its name can still be read, until it is waited for
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    seen.status, seen.signal = (code, None) if code >= 0 else (0, -code)
    return True


class _Family:
    """The names of a process and of its descendants, as far as a look now and then shows them."""

    def __init__(self, pid: int, names: set[str]) -> None:
        self._pids = {pid}
        self._names = names

    def look(self) -> None:
        """Take note of everybody there now; those seen before may have new names and children."""
        waiting, met = list(self._pids), set[int]()
        while waiting and len(met) < _MOST_NAMES:
            pid = waiting.pop()
            if pid not in met:
                met.add(pid)
                waiting += self._meet(pid)
        self._pids = met

    def _meet(self, pid: int) -> list[int]:
        try:
            threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - pathlib is not loaded yet
        except OSError:
            return []
        children: list[int] = []
        for thread in threads[:_MOST_NAMES]:
            name = _read(f"/proc/{pid}/task/{thread}/comm").rstrip(b"\n")
            if len(self._names) < _MOST_NAMES:
                self._names.add(name.decode(errors="backslashreplace"))
            children += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
        return children


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, READ_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


# --- the log


class _Log:
    """/dev/kmsg from now on: raw records that may matter go into `seen`."""

    def __init__(self, seen: Seen, path: str = "/dev/kmsg") -> None:
        self._seen = seen
        self._next = -1
        self._fd = -1
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            # Where standard streams are closed this would become one of them.
            self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
            os.close(fd)
            os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            seen.unseen = f"{path}: {(error.strerror or str(error)).lower()}"

    def drain(self) -> None:
        """Take all that is there now."""
        while self._fd >= 0:
            try:
                self._take(os.read(self._fd, READ_BYTES))
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.EINVAL):  # overwritten, too long
                    return

    def _take(self, raw: bytes) -> None:
        priority, _, rest = raw[:_HEAD_BYTES].partition(b",")
        number, comma, _ = rest.partition(b",")
        if not (comma and priority.isdigit() and number.isdigit()):
            return
        sequence = int(number)
        if self._next >= 0 and sequence > self._next:
            self._seen.lost += sequence - self._next
        self._next = sequence + 1
        kernels = int(priority) < _USER and any(word in raw for word in WORDS)
        if kernels and len(self._seen.lines) < MOST_LINES:
            self._seen.lines.append(raw)
