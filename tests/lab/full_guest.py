"""Runs the full guest: a disk that is kept between boots, and a shell in it.

Commands go in over ttyS0, where full_agent.py reads them, and answers come out over ttyS1.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from tests.lab import full_image
from tests.lab.command import run
from tests.lab.kernels import Kernel, signed
from tests.lab.qemu import Guest, GuestFailed

FILES: Final = "/run/lab"
"""Where a guest has the files that were handed to it."""

_BOOT_S: Final = 60.0  # 20 s, emulated, on a machine that does nothing else
_OFF_S: Final = 60.0
_LIFE_S: Final = 900.0
_WAIT_S: Final = 60.0  # some seconds at most, where nobody else has the processors
_SPARE_S: Final = 20.0  # for what the guest itself stops in time to be told


class Answer(NamedTuple):
    """What a command in the guest gave; status 124: it took too long and was killed."""

    status: int
    stdout: str
    stderr: str


class FullGuest:
    """A guest that is up, as a context manager: booted on entry, gone with its disk's copy on exit.

    `files` (name to file) are in the guest's FILES; `drives` are its /dev/vdc and on, the very
    files. `work` is an existing folder for this guest alone; no boot lasts longer than `life_s`
    seconds. Every method raises GuestFailed where the guest is too slow or dies.
    """

    def __init__(  # noqa: PLR0913 -- a machine has that many parts
        self,
        kernel: Kernel,
        work: Path,
        *,
        secure_boot: bool = False,
        append: str = "",
        files: Mapping[str, Path] | None = None,
        drives: Sequence[Path] = (),
        life_s: float = _LIFE_S,
    ) -> None:
        self._vmlinuz = signed(kernel) if secure_boot else kernel.vmlinuz
        self._initrd = full_image.initrd(kernel, work / "initrd")
        self._secure_boot = secure_boot
        self._append, self._life_s = append, life_s
        self._work = work
        self._drives = [work / "disk", _handed(files or {}, work / "files.tar"), *drives]
        self._running = contextlib.ExitStack()  # holds the boot that is up, if one is

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as all_of_it:
            # A copy takes a second, for the disk is mostly holes, and needs no tool.
            run("cp", "--sparse=always", "--reflink=auto", full_image.image(), self._drives[0])
            all_of_it.callback(self._drives[0].unlink)
            all_of_it.push(self._running)
            self._start()
            self._end = all_of_it.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()

    @property
    def console(self) -> list[str]:
        """All console lines of this boot so far."""
        return self._guest.console

    def run(self, command: str, timeout_s: float = _WAIT_S) -> Answer:
        """Run a shell command as root and wait until it and all it started in its group end."""
        with contextlib.suppress(BrokenPipeError):  # a guest that is off gives no answer either
            self._guest.send(json.dumps({"command": command, "timeout_s": timeout_s}))
        return self._answer(timeout_s + _SPARE_S)

    def sure(self, command: str, timeout_s: float = _WAIT_S) -> str:
        """Give what a command prints. Raises GuestFailed with what it said if it failed."""
        answer = self.run(command, timeout_s)
        if answer.status:
            raise GuestFailed(f"{command}: {answer}")
        return answer.stdout

    def wait_until(self, command: str, timeout_s: float = _WAIT_S, every_s: float = 0.05) -> str:
        """Run a command again and again until it succeeds; give what it then prints.

        The guest has one CPU: what asks systemd or the journal is not to ask all the time.
        """
        loop = f"until {command}; do sleep {every_s}; done"
        return self.sure(f"timeout {timeout_s} sh -c {shlex.quote(loop)}", timeout_s + 5)

    def wait_for_line(self, file: str, pattern: str, timeout_s: float = _WAIT_S) -> str:
        """Wait until a line of `file` matches (grep -E); give the first that does."""
        found = f"grep -m1 -E -e {shlex.quote(pattern)} {shlex.quote(file)} 2>/dev/null"
        return self.wait_until(found, timeout_s)

    def reboot(self) -> None:
        """Shut down in order and boot again, with the same disk."""
        self.power_off()
        self._start()

    def power_off(self) -> None:
        """Shut down in order, and wait until the machine is off."""
        self.sure("systemctl poweroff --no-block")
        self._guest.wait_end(_OFF_S)
        self._running.close()

    def _start(self) -> None:
        guest = Guest(
            self._vmlinuz,
            self._initrd,
            f"root=/dev/vda rw {self._append}",
            secure_boot=self._secure_boot,
            drives=self._drives,
            memory_mb=1024,
            work=self._work,
            deadline_s=self._life_s,
        )
        self._guest = self._running.enter_context(guest)
        self._answer(_BOOT_S)  # this one comes unasked: the guest is up
        self.sure(f"mkdir -p {FILES} && tar -xf /dev/vdb -C {FILES}")

    def _answer(self, timeout_s: float) -> Answer:
        return Answer(**json.loads(self._guest.read_line(timeout_s)))


def _handed(files: Mapping[str, Path], tar: Path) -> Path:
    """Put files on a drive: tar(1) reads one as well as a tape, and it needs no file system."""
    with tarfile.open(tar, "w") as archive:
        for name, file in files.items():
            archive.add(file, name)
    return tar
