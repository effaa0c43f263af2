"""Real parts that a machine may lack: said and skipped for a user, a failure in CI."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(part: str) -> NoReturn:
    """End the test that needs `part`: with CI=true a missing part is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing in CI: {part}")
    pytest.skip(f"missing: {part}")


def asked(name: str) -> bool:
    """Tell whether a switch of the environment (FULL, REFRESH) is on: set, and not to 0."""
    return os.environ.get(name, "") not in ("", "0")
