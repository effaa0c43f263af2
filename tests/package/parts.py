"""What the package's tests need of the machine; .ci/setup installs it for the group package."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from tests.parts import missing

TREE: Final = Path(__file__).parents[2]


def need(*tools: str) -> None:
    """End the test where a tool is missing: skipped, and in CI failed."""
    for tool in tools:
        if not shutil.which(tool):
            missing(tool)
