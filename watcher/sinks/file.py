"""A file of JSON Lines (or CEF), rotated by size; on disk before it counts as delivered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from watcher.encodings import Encoding, line
from watcher.sinks.sink import Delivered, Parcel, Refused, Retry, SinkOptions, Verdict

_TAIL: Final = 1 << 20
"""How far back the end of the last whole line is looked for; no event is as long."""


class Options(SinkOptions):
    """Events into a file."""

    kind: Literal["file"]
    path: str = Field(description="the file; its folder must exist")
    encoding: Encoding = "native"
    max_mb: Annotated[int, Field(ge=0)] = Field(
        default=100, description="rotate beyond this; 0: never, for logrotate does it"
    )
    keep: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5, description="rotated files kept: path.1 is the newest"
    )


def open_sink(options: Options) -> FileSink:
    """Make the sink; the file is opened at the first delivery."""
    return FileSink(options)


class FileSink:
    """Appends to a file; one that logrotate moved away is opened anew by its name."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._path = Path(options.path)
        self._fd: int | None = None

    def deliver(self, batch: Sequence[Parcel]) -> list[Verdict]:
        """Append the batch whole or not at all; give a verdict for each event."""
        lines: list[bytes] = []
        verdicts: list[Verdict] = []
        for parcel in batch:
            try:
                lines.append(self._line(parcel))
                verdicts.append(Delivered())
            except (ValueError, KeyError, TypeError) as error:
                verdicts.append(Refused(f"cannot be encoded: {error}"))
        try:
            self._append(b"".join(lines))
        except OSError as error:
            self.close()
            return [Retry(f"{self._path}: {error.strerror}")] * len(batch)
        return verdicts

    def _line(self, parcel: Parcel) -> bytes:
        encoding = self._options.encoding
        text = parcel.line if encoding == "native" else line(encoding, parcel.event)
        return f"{text}\n".encode()

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _append(self, data: bytes) -> None:
        fd = self._opened()
        size = os.fstat(fd).st_size
        if size and self._options.max_mb and size + len(data) > self._options.max_mb << 20:
            self._rotate()
            fd, size = self._opened(), 0
        try:
            _write_all(fd, data)
            os.fdatasync(fd)
        except OSError:
            os.ftruncate(fd, size)  # half a line would be no line; the whole batch comes again
            raise

    def _opened(self) -> int:
        if self._fd is not None and not self._is_still_there(self._fd):
            self.close()
        if self._fd is None:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self._path, flags, 0o640)
            _mend(self._fd)
        return self._fd

    def _is_still_there(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self._path.stat())
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        for number in range(self._options.keep - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            if older.exists():
                older.rename(f"{self._path}.{number + 1}")
        self._path.rename(f"{self._path}.1")


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _mend(fd: int) -> None:
    """Cut off an unfinished last line, which a kill left; its event is delivered again."""
    size = os.fstat(fd).st_size
    start = max(0, size - _TAIL)
    tail = os.pread(fd, size - start, start)
    end = tail.rfind(b"\n") + 1
    if tail and (end or start == 0):
        os.ftruncate(fd, start + end)
