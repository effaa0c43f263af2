"""What all measurements share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.bench.peers import Peers


@dataclass(frozen=True)
class Setting:
    """Where built files are kept, how many rounds to run, how much smaller all is (1 or 20)."""

    cache: Path
    peers: Peers
    runs: int
    smaller: int

    @property
    def quick(self) -> bool:
        """Tell whether this is a try and no measurement."""
        return self.smaller > 1
