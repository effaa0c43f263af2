"""A flood of real denials: kernels up to 6.0 do not limit them, so any user can cause one."""

from __future__ import annotations

import pytest

from tests.lab.apt import NotInArchive
from tests.lab.kernels import kernel
from tests.lab.parts import need_lab
from tests.lab.small import INTEGRITY, boot
from watcher.daemon.flood import Flood

pytestmark = pytest.mark.timeout(600)

NOBODY = 65_534
TIMES = 3000
LIMIT = 100


def test_an_unprivileged_loop_is_folded_and_counted() -> None:
    """Promise 8: nobody reads /sys/power/state 3,000 times; few events, and the exact count."""
    need_lab()
    try:
        bullseye = kernel("bullseye-5.10")
    except NotInArchive as error:
        pytest.skip(str(error))
    plan = [f"power_read uid={NOBODY} times={TIMES}"]
    _, answer = boot(bullseye, INTEGRITY, plan, append="log_buf_len=4M")
    denials = [event for event in answer.events if event.kind == "lockdown.denied"]
    assert len(denials) == TIMES
    flood = Flood(LIMIT)
    kept = [each for event in denials for each in flood.passed(event)]
    kept += flood.flush()
    folds = [each.lockdown.suppressed for each in kept if each.lockdown.suppressed]
    assert len(kept) - len(folds) + sum(folds) == TIMES
    minutes = {(event.origin.monotonic_us or 0) // 60_000_000 for event in denials}
    assert len(kept) <= len(minutes) * (LIMIT + 1)
    assert len(folds) >= 1
