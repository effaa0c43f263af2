"""Memory stays bounded on a line that never ends, fed through a pipe to the real program."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

from tests.bench.measure import LAUNCH

LINE_MB: Final = 200
BOUND_MB: Final = 30
_PIECES: Final = (
    b"a",
    b"Lockdown: ",
    b'{"MESSAGE": "',
    b"__CURSOR=1\nMESSAGE\n" + b"\xff\xff\xff\x2f\0\0\0\0",
    b"\0",
)
"""How the endless line begins; it goes on with the last byte of it."""


def growths() -> list[tuple[bytes, float]]:
    """Give how much more memory than an empty input each endless line took, in MB."""
    floor = _peak_mb(b"", 0)
    return [(piece, _peak_mb(piece, LINE_MB) - floor) for piece in _PIECES]


def _peak_mb(head: bytes, megabytes: int) -> float:
    """Run scan on standard input; give its peak RSS. Raises RuntimeError if it fails."""
    # A child's peak counts from what its parent held, so one that holds little is between.
    launch = [sys.executable, "-I", "-S", str(LAUNCH), os.devnull]
    scan = [sys.executable, "-m", "watcher", "scan", "-", "-o", "json"]
    with subprocess.Popen(
        [*launch, *scan], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        block = head[-1:] * (1 << 20)
        process.stdin.write(head)
        for _ in range(megabytes):
            process.stdin.write(block)
        process.stdin.close()
        _, _, peak_kib, status = process.stdout.read().split()
    if status != b"0":
        raise RuntimeError(f"scan ended with {status.decode()}")
    return int(peak_kib) / 1024
