"""Make a failing input small: remove pieces, halves first, single bytes last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

BUDGET_S: Final = 30.0
Fails = Callable[[bytes], bool]


def smallest(data: bytes, fails: Fails, budget_s: float = BUDGET_S) -> bytes:
    """Give the smallest input found that still fails."""
    deadline = time.monotonic() + budget_s
    size = max(1, len(data) // 2)
    while time.monotonic() < deadline:
        shorter = _without_pieces(data, size, fails, deadline)
        if size == 1 and len(shorter) == len(data):
            break
        data, size = shorter, max(1, size // 2)
    return data


def _without_pieces(data: bytes, size: int, fails: Fails, deadline: float) -> bytes:
    at = 0
    while at < len(data) and time.monotonic() < deadline:
        tried = data[:at] + data[at + size :]
        if fails(tried):
            data = tried
        else:
            at += size
    return data
