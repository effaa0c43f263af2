"""A file of JSON Lines (or CEF), rotated by size; on disk before it counts as delivered."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from watcher.encodings import Encoding, Event, line
from watcher.errors import UsageError
from watcher.sinks.encoded import deliver_encoded
from watcher.sinks.sink import Delivered, Parcel, Retry, SinkOptions, Verdict

_TAIL: Final = 1 << 20
"""How far back the end of the last whole line is looked for; no event is as long."""

_BEGINNINGS: Final = (b'{"schema":', b'{"@timestamp":', b'{"time":', b"CEF:")
"""Of a line of ours: native, ecs, ocsf, cef. What begins otherwise somebody else wrote."""


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise ValueError("must be an absolute path")
    return path


class Options(SinkOptions):
    """Events into a file."""

    kind: Literal["file"]
    path: Annotated[str, AfterValidator(_absolute)] = Field(
        description="the file; its folder must exist"
    )
    encoding: Encoding = "native"
    max_mb: Annotated[int, Field(ge=0)] = Field(
        default=100, description="rotate beyond this; 0: never, for logrotate does it"
    )
    keep: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5, description="rotated files kept: path.1 is the newest"
    )


def open_sink(options: Options) -> FileSink:
    """Make the sink; the file is opened at the first delivery.

    Raises UsageError where it cannot be a file of ours.
    """
    try:
        _look(Path(options.path))
    except OSError as error:
        raise UsageError(f"path {error.filename or options.path}: {error.strerror}") from None
    return FileSink(options)


class FileSink:
    """Appends to a file; one that logrotate moved away is opened anew by its name."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._path = Path(options.path)
        self._fd: int | None = None

    def deliver(self, batch: Sequence[Parcel]) -> list[Verdict]:
        """Append the batch whole or not at all; give a verdict for each event."""
        return deliver_encoded(batch, self._line, self._send)

    def _line(self, event: Event) -> str:
        if self._options.encoding == "native":
            dict(event)  # what is no object is refused here too; what is one is sent as it stands
            return ""
        return line(self._options.encoding, event)

    def _send(self, batch: Sequence[Parcel], lines: Sequence[str]) -> list[Verdict]:
        if self._options.encoding == "native":
            lines = [parcel.line for parcel in batch]
        try:
            self._append("".join(f"{text}\n" for text in lines).encode())
        except OSError as error:
            self.close()
            return [Retry(f"{self._path}: {error.strerror}")] * len(batch)
        return [Delivered()] * len(batch)

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
            _judge(self._fd)
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


def _look(path: Path) -> None:
    """Raise OSError where no file of ours can be; what this user may not see is not judged.

    A device is not opened: a watchdog would begin to count.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EINVAL, "is no regular file")
        with path.open("rb") as file:
            _judge(file.fileno())
    except FileNotFoundError:
        path.parent.stat()
    except PermissionError:
        pass


def _judge(fd: int) -> None:
    """Raise OSError unless the file is empty or begins as ours do: a wrong path harms nobody."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "is no regular file")
    if not _is_ours(os.pread(fd, 16, 0)):
        raise OSError(errno.EEXIST, "is not a file of ours: nothing is written to it")


def _is_ours(piece: bytes) -> bool:
    return any(piece.startswith(each[: len(piece)]) for each in _BEGINNINGS)


def _mend(fd: int) -> None:
    """Cut off an unfinished last line, which a kill left; its event is delivered again.

    What another program left, or a power cut (zeros), is not cut: it gets a line of its own.
    """
    size = os.fstat(fd).st_size
    start = max(0, size - _TAIL)
    tail = os.pread(fd, size - start, start)
    end = tail.rfind(b"\n") + 1
    if not (left_over := tail[end:]):
        return
    if _is_ours(left_over) and (end or start == 0):
        os.ftruncate(fd, start + end)
    else:
        _write_all(fd, b"\n")
