"""Events on standard output, as a sink of the daemon."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, Literal

from pydantic import Field

from watcher.event_model import event_of
from watcher.sinks.encoded import deliver_encoded
from watcher.sinks.shown import Console
from watcher.sinks.sink import Delivered, Parcel, Retry, SinkOptions, Verdict


class Options(SinkOptions):
    """Events on standard output, which a container's runtime or systemd collects."""

    kind: Literal["console"]
    output: Literal["human", "json"] = Field(
        default="json", description="json: JSON Lines; human: for people"
    )


def open_sink(options: Options) -> ConsoleSink:
    """Make the sink."""
    return ConsoleSink(options, sys.stdout.fileno())


class ConsoleSink:
    """Writes batches to a descriptor, past Python's buffer: that would keep what failed."""

    def __init__(self, options: Options, fd: int) -> None:
        self._human = options.output == "human"
        self._fd = fd
        self._torn = False

    def deliver(self, batch: Sequence[Parcel]) -> list[Verdict]:
        """Write the batch; give a verdict for each event."""
        return deliver_encoded(batch, _for_people if self._human else _checked, self._send)

    def close(self) -> None:
        """The descriptor is not ours to close."""

    def _send(self, batch: Sequence[Parcel], texts: Sequence[str]) -> list[Verdict]:
        sent: list[Verdict] = []
        try:
            for parcel, text in zip(batch, texts, strict=True):
                self._write((text if self._human else f"{parcel.line}\n").encode())
                sent.append(Delivered())
        except OSError as error:
            failed = Retry(f"standard output: {error.strerror}")
            return [*sent, *[failed] * (len(batch) - len(sent))]
        return sent

    def _write(self, data: bytes) -> None:
        """Write the whole event. One that was torn before stands on a line of its own."""
        view = memoryview(b"\n" + data if self._torn else data)
        while view:
            view = view[os.write(self._fd, view) :]
            self._torn = bool(view)


def _checked(event: Mapping[str, Any]) -> str:
    """Refuse what is no event; its line goes out as it is."""
    return str(event["id"])


def _for_people(event: Mapping[str, Any]) -> str:
    text = StringIO()
    Console(text, colour=False).write(event_of(event))
    return text.getvalue()
