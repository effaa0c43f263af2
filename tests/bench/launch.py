"""Run one program and tell its wall time, CPU time and peak memory; started anew for each run.

The kernel counts a child's peak memory from what its parent held, so the parent has to be small:
this file imports little, and its own size (about 8 MB) is the least that can be seen.
Usage: launch.py STDOUT-FILE PROGRAM ARG...; prints seconds, seconds, kibibytes and the status.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    target, *argv = sys.argv[1:]
    actions = [
        (os.POSIX_SPAWN_OPEN, 1, target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    start = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    code = os.waitstatus_to_exitcode(status)
    print(wall, used.ru_utime + used.ru_stime, used.ru_maxrss, code)


main()
