"""Runs inside the full guest, as root: what the host types on ttyS0 is done, ttyS1 answers.

A line is one JSON object each way: {"command", "timeout_s"} comes, {"status", "stdout",
"stderr"} goes; status 124 is a command whose time was over, as timeout(1) has it. The first
answer, {"status": 0, "stdout": BOOT_ID, ...}, comes unasked: the guest is up.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tty
from pathlib import Path
from typing import IO


def main() -> None:
    """Answer until the guest is turned off."""
    # Not the controlling terminal: what is typed are bytes, none of them means Ctrl-C.
    lines = [os.open(path, os.O_RDWR | os.O_NOCTTY) for path in ("/dev/ttyS0", "/dev/ttyS1")]
    for line in lines:
        tty.setraw(line)
    with os.fdopen(lines[0], "rb") as orders, os.fdopen(lines[1], "wb") as answers:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        tell(answers, answer(0, boot, ""))
        for order in orders:
            tell(answers, done(**json.loads(order)))


def tell(answers: IO[bytes], line: bytes) -> None:
    """Send one answer, now."""
    answers.write(line)
    answers.flush()


def done(command: str, timeout_s: float) -> bytes:
    """Run a shell command and all it started, no longer than `timeout_s` seconds."""
    with subprocess.Popen(
        command,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",
        start_new_session=True,
    ) as shell:
        try:
            said = shell.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            return answer(124, *shell.communicate())
        return answer(shell.returncode, *said)


def answer(status: int, stdout: str, stderr: str) -> bytes:
    """Give one line for the host."""
    words = {"status": status, "stdout": stdout, "stderr": stderr}
    return json.dumps(words).encode() + b"\n"


if __name__ == "__main__":
    main()
