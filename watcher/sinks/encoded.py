"""Encode a batch before it is sent: an event that cannot be encoded is refused alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from watcher.encodings import Event
from watcher.sinks.sink import Parcel, Refused, Verdict

_T = TypeVar("_T")

CANNOT = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
)
"""What comes of data that is no event of schema 1: of a damaged store, or of a later version's."""


def deliver_encoded(
    batch: Sequence[Parcel],
    encode: Callable[[Event], _T],
    send: Callable[[Sequence[Parcel], Sequence[_T]], list[Verdict]],
) -> list[Verdict]:
    """Encode each event and send together what could be; give a verdict for each, in order."""
    made: list[_T] = []
    sent: list[Parcel] = []
    refused: dict[int, Refused] = {}
    for at, parcel in enumerate(batch):
        try:
            made.append(encode(parcel.event))
            sent.append(parcel)
        except CANNOT as error:
            said = str(error) if isinstance(error, ValueError) else repr(error)
            refused[at] = Refused(f"cannot be encoded: {said}")
    answers = iter(send(sent, made) if sent else ())
    return [refused.get(at) or next(answers) for at in range(len(batch))]
