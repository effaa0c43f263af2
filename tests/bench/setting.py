"""What all measurements share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.peers import Peers


@dataclass(frozen=True)
class Bar:
    """What was asked of a figure, and what was found."""

    what: str
    asked: str
    measured: str
    met: bool

    @property
    def row(self) -> tuple[str, ...]:
        """Give the row of the table."""
        return self.what, self.asked, self.measured, "met" if self.met else "**missed**"


@dataclass(frozen=True)
class Setting:
    """Where built files are kept, how many rounds to run, how much smaller all is (1 or 20).

    The sections put what was asked for into `bars`.
    """

    cache: Path
    peers: Peers
    runs: int
    smaller: int
    bars: list[Bar] = field(default_factory=list)

    @property
    def quick(self) -> bool:
        """Tell whether this is a try and no measurement."""
        return self.smaller > 1

    def at_most(self, what: str, ratio: float, most: float) -> None:
        """Ask that we take at most `most` times the other's time; `ratio` is what we took."""
        self.bars.append(Bar(what, f"at most {most:.3g}", f"{ratio:.2f}", ratio <= most))

    def below(self, what: str, measured: float, most: float) -> None:
        """Ask for less than `most`."""
        self.bars.append(Bar(what, f"below {most:g}", f"{measured:.1f}", measured < most))

    def at_least(self, what: str, ratio: float, least: float) -> None:
        """Ask that the other takes at least `least` times our time; `ratio` is what it took."""
        self.bars.append(Bar(what, f"at least {least:g}", f"{ratio:.1f}", ratio >= least))
