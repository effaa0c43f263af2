"""Errors a person sees, split by whose fault they are; each carries its exit status.

0 is done, 1 means the answer is no or something asked for was found (design: Contract).
"""

from __future__ import annotations

from typing import ClassVar


class WatcherError(Exception):
    """One clear line for stderr: what is wrong and what to do."""

    exit_status: ClassVar[int] = 1


class UsageError(WatcherError):
    """The user's: wrong usage, config or rules."""

    exit_status = 2


class SourceError(WatcherError):
    """The machine's: a log cannot be read."""

    exit_status = 3


class StoreError(WatcherError):
    """The store's: its file cannot be used."""

    exit_status = 3
