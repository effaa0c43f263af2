"""One journald of our own for all tests that need only one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.journal.real import Journald, unlimited_kmsg


@pytest.fixture(scope="session")
def journald() -> Iterator[Journald]:
    """A private journald that reads the real /dev/kmsg."""
    with Journald() as running:
        yield running


@pytest.fixture
def to_kmsg() -> Iterator[Callable[..., None]]:
    """What writes lines to /dev/kmsg, with no rate limit."""
    with unlimited_kmsg() as write:
        yield write
