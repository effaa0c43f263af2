"""A desktop for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.screen.desk import Desk, desk
from tests.screen.heard import Monitor


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Desk]:
    """X, a bus and a journal; no notification server yet."""
    with desk(tmp_path) as made:
        yield made


@pytest.fixture
def monitor(here: Desk) -> Monitor:
    """All notes that go over the bus."""
    return Monitor(here.environment["DBUS_SESSION_BUS_ADDRESS"])
