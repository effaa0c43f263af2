"""A QEMU guest with two serial lines: a console to talk with, a channel for raw data.

ttyS0 is the console, read and written here; what the guest writes to ttyS1 comes out as lines
of bytes. Everything ends: every wait has a limit, a panic ends the guest, and the guest dies
with the thread that started it (PR_SET_PDEATHSIG), however that ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self, TypeVar

from tests.lab.command import bound

OVMF: Final = Path("/usr/share/OVMF")
_LAST_LINES: Final = 40
_MOST_BYTES: Final = 32 << 20
"""A guest that says more than this on one line is out of its mind, and heard no further."""

_ESCAPES: Final = re.compile(rb"^(?:\x1b\[[=\d;]*[A-Za-z])+")
"""OVMF clears the screen on every serial line, the channel too."""

_PANIC: Final = re.compile(r"Kernel panic - not syncing.*")
_T = TypeVar("_T")


class GuestFailed(Exception):  # noqa: N818 -- it says what happened
    """A guest did not do what was waited for; the text ends with its last console lines."""


class Guest:
    """One boot of `vmlinuz`, as a context manager: started on entry, dead and reaped on exit.

    `append` is the kernel command line, to which the console and panic=-1 are added. `work` is
    an existing folder for this guest alone. No wait goes on beyond `deadline_s` seconds after
    the start. To be entered, used and left in one thread.
    """

    def __init__(  # noqa: PLR0913 -- a machine has that many parts
        self,
        vmlinuz: Path,
        initrd: Path,
        append: str,
        *,
        secure_boot: bool = False,
        drives: Sequence[Path] = (),
        memory_mb: int = 512,
        work: Path,
        deadline_s: float = 120,
    ) -> None:
        append = f"console=ttyS0 panic=-1 {append}"
        self._boot = ["-kernel", str(vmlinuz), "-initrd", str(initrd), "-append", append]
        self._drives = [f"if=virtio,format=raw,cache=unsafe,file={drive}" for drive in drives]
        self._memory_mb = memory_mb
        self._secure_boot = secure_boot
        self._work = work
        self._deadline_s = deadline_s
        self._changed = threading.Condition()
        self._looked_at = 0
        self._taken = 0

    def __enter__(self) -> Self:
        self._deadline = time.monotonic() + self._deadline_s
        channel, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                bound(*self._command(theirs)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs],
            )
        except BaseException:
            os.close(channel)
            raise
        finally:
            os.close(theirs)
        assert self._process.stdout
        assert self._process.stdin
        self._keyboard = self._process.stdin
        self._console = _Ear(os.dup(self._process.stdout.fileno()), self._changed)
        self._channel = _Ear(channel, self._changed)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # words for a guest that is off
            self._keyboard.close()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        self._console.join()
        self._channel.join()

    @property
    def console(self) -> list[str]:
        """All console lines so far, the last perhaps unfinished; QEMU's own errors too."""
        return self._text().splitlines()

    @property
    def channel(self) -> list[bytes]:
        """All whole lines of raw data that came over ttyS1 so far."""
        return self._channel.lines

    @property
    def pid(self) -> int:
        """The process number of QEMU."""
        return self._process.pid

    def wait_for(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Wait until the console says `pattern`, after where the last such wait ended."""
        wanted = re.compile(pattern)

        def said() -> re.Match[str] | None:
            return wanted.search(self._text(), self._looked_at)

        match = self._wait(said, f"the console did not say {pattern!r}", timeout_s)
        self._looked_at = match.end()
        return match

    def read_line(self, timeout_s: float) -> bytes:
        """Wait for the next line of JSON on the channel, and give it.

        UEFI takes every serial line for a console: what its kernel stub says there is passed over.
        """

        def heard() -> list[bytes]:
            return self.channel[self._taken : self._taken + 1]

        line = b""
        while not line.startswith(b"{"):
            (line,) = self._wait(heard, "the channel gave no line", timeout_s)
            self._taken += 1
        return line

    def wait_end(self, timeout_s: float) -> None:
        """Wait until the guest is off, of its own will; a panic is none."""

        def off() -> bool:
            return self._is_off() and not self._panic()

        self._wait(off, "the guest did not end", timeout_s)

    def send(self, line: str) -> None:
        """Type a line on the guest's console."""
        self._keyboard.write(line.encode() + b"\n")
        self._keyboard.flush()

    def _wait(self, ready: Callable[[], _T | None], what: str, timeout_s: float) -> _T:
        until = min(time.monotonic() + timeout_s, self._deadline)
        with self._changed:
            while not (found := ready()):
                left = until - time.monotonic()
                over = self._panic() or ("QEMU has ended" if self._is_off() else "")
                if over or left <= 0:
                    raise self._failed(f"{what}: {over or 'its time is over'}")
                self._changed.wait(left)
        return found

    def _failed(self, what: str) -> GuestFailed:
        return GuestFailed("\n".join([what, *self.console[-_LAST_LINES:]]))

    def _text(self) -> str:
        return self._console.heard.decode(errors="replace").replace("\r", "")

    def _panic(self) -> str:
        found = _PANIC.search(self._text())
        return found[0] if found else ""

    def _is_off(self) -> bool:
        return self._console.ended and self._channel.ended

    def _command(self, channel_fd: int) -> list[str]:
        return [
            "qemu-system-x86_64",
            *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none"),
            # Emulated: that is to be had on every machine, and lasts as long on each.
            *("-accel", "tcg", "-cpu", "max", "-m", str(self._memory_mb)),
            *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
            *("-chardev", f"file,id=channel,path=/dev/fd/{channel_fd}"),
            *("-serial", "chardev:channel"),
            *(part for drive in self._drives for part in ("-drive", drive)),
            *(self._firmware() if self._secure_boot else ("-machine", "q35")),
            *self._boot,
        ]

    def _firmware(self) -> list[str]:
        """Give OVMF with Secure Boot on: it starts only what the snakeoil key has signed."""
        variables = shutil.copy(OVMF / "OVMF_VARS_4M.snakeoil.fd", self._work / "vars.fd")
        code = OVMF / "OVMF_CODE_4M.secboot.fd"
        return [
            *("-machine", "q35,smm=on"),
            *("-global", "driver=cfi.pflash01,property=secure,value=on"),
            *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
            *("-drive", f"if=pflash,format=raw,unit=1,file={variables}"),
        ]


class _Ear(threading.Thread):
    """Hears all that comes out of one descriptor, which it owns, and tells `changed`."""

    def __init__(self, fd: int, changed: threading.Condition) -> None:
        super().__init__(daemon=True)
        self.heard = bytearray()
        self.lines: list[bytes] = []
        self.ended = False
        self._fd = fd
        self._changed = changed
        self.start()

    def run(self) -> None:
        unfinished = b""
        while len(self.heard) < _MOST_BYTES and (part := os.read(self._fd, 65_536)):
            *lines, unfinished = (unfinished + part).split(b"\n")
            with self._changed:
                self.heard += part
                self.lines += (_ESCAPES.sub(b"", line).rstrip(b"\r") for line in lines)
                self._changed.notify_all()
        os.close(self._fd)
        with self._changed:
            self.ended = True
            self._changed.notify_all()
