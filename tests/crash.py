"""A run that dies before an SQL statement of its store: promise 1, statement by statement."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

from watcher.delivery import store as storing


def survives(statement: int, run: Callable[[], None]) -> bool:
    """Run in a child that is killed before that statement, from 1; tell whether it got to the end.

    A child that fails otherwise fails the test.
    """
    pid = os.fork()
    if not pid:
        status = 1
        try:
            _die_before(statement)
            run()
            status = 0
        finally:
            os._exit(status)
    ended = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(ended):
        return False
    assert os.WEXITSTATUS(ended) == 0
    return True


def _die_before(statement: int) -> None:
    count = 0
    real: Callable[[Path], sqlite3.Connection] = storing.connect

    def traced(_sql: str) -> None:
        nonlocal count
        count += 1
        if count == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect(path: Path) -> sqlite3.Connection:
        db = real(path)
        db.set_trace_callback(traced)
        return db

    storing.connect = connect  # the child's own; the parent's is another process
