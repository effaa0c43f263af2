"""Text files as blocks of whole lines, unpacked on the way, in bounded memory."""

from __future__ import annotations

import bz2
import codecs
import errno
import io
import lzma
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple, Protocol

MAX_HELD: Final = 1 << 20
"""Bytes kept of one line; a JSON entry of 64 KiB text as an array of numbers fits."""
_CHUNK: Final = 1 << 17
_PACKED_CHUNK: Final = 1 << 10
"""Packed bytes unpacked at a time: the worst packer makes 32 MiB of 1 KiB (zstd, zeros)."""
_XZ_MEMORY: Final = 256 << 20
_JOURNAL: Final = b"LPKSHHRH"


class Failure(NamedTuple):
    """A file that could not be read, or not to its end; `reason` says what to do."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


class DamagedError(Exception):
    """A packed file is damaged or cut off."""


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def is_journal_file(path: str) -> bool:
    """Tell whether `path` is a journal file; False where it cannot be read at all."""
    try:
        # A pipe would lose what is read from it here.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - no Path needed for this
            return False
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(len(_JOURNAL)) == _JOURNAL
    except (OSError, ValueError):
        return False


def open_text(file: str) -> BinaryIO:
    """Open `file`, "-" for standard input. Raises OSError, or ValueError for an odd name."""
    if file == "-":
        if sys.stdin is None:
            raise OSError(errno.EBADF, "standard input is closed")
        return getattr(sys.stdin, "buffer", io.BytesIO())
    return open(file, "rb")  # noqa: PTH123 - the caller closes it


def modified_us(stream: BinaryIO) -> int | None:
    """Give when a regular file was last written, in Epoch microseconds."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns // 1000 if stat.S_ISREG(status.st_mode) else None


def why(error: OSError | ValueError, file: str) -> str:
    """Say what is wrong with a file and what to do."""
    known = {
        errno.ENOENT: "no such file: check the name",
        errno.EISDIR: f"is a directory: name the files in it, or use --journal-dir {file} if"
        " it holds journal files",
        errno.EACCES: "permission denied: run as root, or join the group that owns it"
        " (often adm or systemd-journal)",
    }
    number = getattr(error, "errno", None)
    if number in known:
        return known[number]
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


# --- unpacking


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """Give the bytes of a file, unpacked if gzip, xz, zstd or bzip2 made it.

    Raises OSError, and DamagedError after all that could be unpacked.
    """
    head = stream.read(6)
    for magic, name, engine in _PACKERS:
        if head.startswith(magic):
            yield from _unpacked(head, stream, name, engine)
            return
    plain = _plain(head, stream)
    yield from _recoded(plain) if _is_utf16(head) else plain


def _plain(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    if head:
        yield head
    # A pipe gives what it has, so that lines are not held back until a chunk is full.
    read = getattr(stream, "read1", stream.read)
    while data := read(_CHUNK):
        yield data


def _is_utf16(head: bytes) -> bool:
    """Tell whether PowerShell's `>` wrote this: a byte order mark and a letter of two bytes."""
    return (head[:2] == codecs.BOM_UTF16_LE and head[3:4] == b"\0") or (
        head[:2] == codecs.BOM_UTF16_BE and head[2:3] == b"\0"
    )


def _recoded(data: Iterator[bytes]) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
    for chunk in data:
        yield decoder.decode(chunk).encode(errors="backslashreplace")


def _unpacked(
    head: bytes, stream: BinaryIO, name: str, engine: Callable[[], _Unpacker]
) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    try:
        for data in _inflated(head, stream, engine):
            held.append(data)
            size += len(data)
            if size >= _CHUNK:
                yield b"".join(held)
                held, size = [], 0
    except ImportError as error:
        message = f"is packed with {name}, for which the Python package zstandard is missing"
        raise DamagedError(f"{message}: install it, or unpack the file first") from error
    except _damage() as error:
        yield b"".join(held)
        raise DamagedError(
            f"damaged {name} data ({error}): what came before was read; get a whole copy,"
            f" or check it with {name} -t"
        ) from error
    yield b"".join(held)


def _inflated(head: bytes, stream: BinaryIO, engine: Callable[[], _Unpacker]) -> Iterator[bytes]:
    data = head
    unpacker = engine()
    while data:
        yield unpacker.decompress(data)
        if not unpacker.eof:
            data = stream.read(_PACKED_CHUNK)
            continue
        # Another member may follow, or padding (xz pads with zeros, tapes do).
        data = (unpacker.unused_data or b"").lstrip(b"\0") or stream.read(_PACKED_CHUNK)
        if data := data.lstrip(b"\0"):
            unpacker = engine()
    if not unpacker.eof:
        raise EOFError("it ends too early")


def _gzip() -> _Unpacker:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)


def _xz() -> _Unpacker:
    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)


def _zstd() -> _Unpacker:
    import zstandard  # few files need it

    unpacker: _Unpacker = zstandard.ZstdDecompressor().decompressobj()
    return unpacker


def _damage() -> tuple[type[Exception], ...]:
    zstandard = sys.modules.get("zstandard")
    known = (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)
    return (*known, zstandard.ZstdError) if zstandard else known


_PACKERS: Final = (
    (b"\x1f\x8b", "gzip", _gzip),
    (b"\xfd7zXZ\0", "xz", _xz),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd),
    (b"BZh", "bzip2", bz2.BZ2Decompressor),
)


# --- lines


def blocks(data: Iterator[bytes]) -> Iterator[tuple[bytes, int]]:
    """Give whole lines, many at a time, without the last newline.

    A line longer than MAX_HELD comes alone, with the number of bytes dropped at its end.
    """
    tail = _Tail()
    for chunk in data:
        if tail.dropped:
            end = chunk.find(b"\n")
            if end < 0:
                tail.dropped += len(chunk)
                continue
            tail.dropped += end
            yield tail.take()
            chunk = chunk[end + 1 :]  # noqa: PLW2901
        last = chunk.rfind(b"\n")
        if last >= 0:
            held, _ = tail.take()
            yield held + chunk[:last], 0
        tail.hold(chunk[last + 1 :])
    if tail.size:
        yield tail.take()


class _Tail:
    """The beginning of a line whose end has not been read."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0
        self.dropped = 0

    def hold(self, piece: bytes) -> None:
        kept = piece[: MAX_HELD - self.size]
        self.dropped += len(piece) - len(kept)
        if kept:
            self._pieces.append(kept)
            self.size += len(kept)

    def take(self) -> tuple[bytes, int]:
        taken = b"".join(self._pieces), self.dropped
        self._pieces, self.size, self.dropped = [], 0, 0
        return taken
