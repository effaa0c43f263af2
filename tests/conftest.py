"""What holds for the whole suite."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the bursts last: they wash out of the ring what other tests look for in it."""
    items.sort(key=lambda item: item.path.name == "test_burst.py")
