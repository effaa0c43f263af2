"""The first bytes of a journal file, as far as following many files needs them.

Layout: systemd, docs/JOURNAL_FILE_FORMAT.md, "Header"; all numbers are little-endian.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import Final, NamedTuple

_HEADER: Final = struct.Struct("<8s II B7x 16s 16s 16s 16s 13Q")
_SIGNATURE: Final = b"LPKSHHRH"
_ARCHIVED: Final = 2


class Header(NamedTuple):
    """Which file it is, whatever its name; whether it is complete; its first entry's time."""

    file_id: str
    archived: bool
    head_us: int


def header(file: str) -> Header | None:
    """Read a file's header; None if it is no journal (yet), or no file. Raises OSError."""
    # A pipe of that name would keep whoever opens it waiting for a writer.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        raw = os.read(descriptor, _HEADER.size) if regular else b""
    finally:
        os.close(descriptor)
    if len(raw) < _HEADER.size or not raw.startswith(_SIGNATURE):
        return None
    _, _, _, state, file_id, _, _, _, *numbers = _HEADER.unpack(raw)
    return Header(file_id.hex(), state == _ARCHIVED, numbers[-1])
