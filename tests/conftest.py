"""What holds for the whole suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.parts import missing

if TYPE_CHECKING:
    from tests.pki import Pki

# A machine under load is slow, not wrong.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the bursts last: they wash out of the ring what other tests look for in it."""
    items.sort(key=lambda item: item.path.name == "test_burst.py")


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates of our own for servers and clients on loopback."""
    try:
        from tests.pki import Pki
    except ImportError:
        missing("trustme")
    return Pki(tmp_path_factory.mktemp("pki"))
