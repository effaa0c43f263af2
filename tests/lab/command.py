"""Runs the tools that build the lab: none outlives what started it, nor its time."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_TIMEOUT_S: Final = 300


class LabError(Exception):
    """A part of the lab could not be built; the text says which, and what the tool said."""


def bound(*argv: str | Path) -> list[str]:
    """Give argv with which a program dies with the thread that starts it, however that ends.

    Whoever started it may be gone before prctl(PR_SET_PDEATHSIG): then it does not begin at all.
    """
    still_ours = '[ "$PPID" = "$0" ] && exec "$@"'
    started_by = str(os.getpid())
    return ["setpriv", "--pdeathsig", "KILL", "sh", "-c", still_ours, started_by, *map(str, argv)]


def run(*argv: str | Path, cwd: Path | None = None, timeout_s: float = _TIMEOUT_S) -> str:
    """Run a tool and give its output; raises LabError with the end of what it said.

    When its time is over, or whoever waits is interrupted, all that it started is killed too.
    """
    with subprocess.Popen(
        bound(*argv),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as tool:
        try:
            said = tool.communicate(timeout=timeout_s)
        except BaseException as error:
            os.killpg(tool.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise LabError(f"{argv[0]}: not done after {timeout_s} s") from error
            raise
    return _output(argv, tool.returncode, *said)


def _output(argv: Sequence[str | Path], status: int, stdout: str, stderr: str) -> str:
    if status:
        raise LabError(f"{argv[0]}: status {status}: {stderr.strip()[-2000:]}")
    return stdout
