"""What a sink is: it takes a batch of events and says of each what became of it.

A sink tries once and judges nothing else. When to try again, how long to wait and what to set
aside is for the forwarder alone to decide. One more sink is one more file like its neighbours:
`Options` (pydantic) and `open_sink(options)`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from watcher.kinds import Severity


@dataclass(frozen=True)
class Parcel:
    """One event on its way out. `number` is its place in the store, `line` its JSON (schema 1)."""

    number: int
    id: str
    line: str

    @cached_property
    def event(self) -> dict[str, Any]:
        """Give the event as data."""
        found: dict[str, Any] = json.loads(self.line)
        return found


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it, as far as its protocol can tell; an event it had already counts."""


@dataclass(frozen=True, slots=True)
class Retry:
    """It may go well later: no connection, a timeout, 408, 429, 5xx, a full disk.

    `after_s` is how long the receiver asked to be left alone (Retry-After), in seconds.
    """

    reason: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never go well: 4xx, or an event that cannot be encoded."""

    reason: str


Verdict = Delivered | Retry | Refused


class Sink(Protocol):
    """Where events go. One thread calls it, and never two batches at once."""

    def deliver(self, batch: Sequence[Parcel]) -> list[Verdict]:
        """Try once to deliver; give a verdict for each event, in order.

        Raises only what is a bug; returns within the timeout of its options.
        """

    def close(self) -> None:
        """Let go of files and connections; called once, also after a failure."""


class SinkOptions(BaseModel):
    """What every sink is told in [[sink]]."""

    # A secret that somebody wrote into the config all the same must not come back in an error.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)

    kind: str
    name: str = Field(default="", description="how it is called in messages; the kind by default")
    min_severity: Severity = Field(default="informational", description="this and graver ones")
    batch: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=500, description="events in one delivery at most"
    )
    fold_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        default=0,
        description="repeats of kind, reason and program are counted and told of once in so many"
        " seconds; 0: every event is told",
    )
