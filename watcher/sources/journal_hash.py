"""The two hashes by which a journal file finds a value (docs/JOURNAL_FILE_FORMAT.md, "Hashing").

SipHash-2-4 keyed with the file's id since systemd 246, before that Jenkins' lookup3 as two halves.
"""

from __future__ import annotations

import struct
from typing import Final

_QUARTER: Final = (1 << 32) - 1
_WHOLE: Final = (1 << 64) - 1


def siphash24(data: bytes, key: bytes) -> int:
    """Give SipHash-2-4 of `data` with a key of 16 bytes (Aumasson and Bernstein, 2012)."""
    low, high = struct.unpack("<2Q", key)
    v = (
        low ^ 0x736F6D6570736575,
        high ^ 0x646F72616E646F6D,
        low ^ 0x6C7967656E657261,
        high ^ 0x7465646279746573,
    )
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for (word,) in struct.iter_unpack("<Q", padded):
        a, b, c, d = _sip_rounds((*v[:3], v[3] ^ word), 2)
        v = a ^ word, b, c, d
    a, b, c, d = _sip_rounds((v[0], v[1], v[2] ^ 255, v[3]), 4)
    return a ^ b ^ c ^ d


_State = tuple[int, int, int, int]


def _sip_rounds(v: _State, count: int) -> _State:
    a, b, c, d = v
    for _ in range(count):
        a = a + b & _WHOLE
        c = c + d & _WHOLE
        b = (b << 13 | b >> 51) & _WHOLE ^ a
        d = (d << 16 | d >> 48) & _WHOLE ^ c
        a = (a << 32 | a >> 32) & _WHOLE
        c = c + b & _WHOLE
        a = a + d & _WHOLE
        b = (b << 17 | b >> 47) & _WHOLE ^ c
        d = (d << 21 | d >> 43) & _WHOLE ^ a
        c = (c << 32 | c >> 32) & _WHOLE
    return a, b, c, d


def jenkins64(data: bytes) -> int:
    """Give both halves of lookup3 of `data` (Bob Jenkins, hashlittle2), its `c` in front."""
    a = b = c = (0xDEADBEEF + len(data)) & _QUARTER
    padded = data + bytes(-len(data) % 12)
    *blocks, last = struct.iter_unpack("<3I", padded or bytes(12))
    for x, y, z in blocks:
        a, b, c = _mixed(a + x & _QUARTER, b + y & _QUARTER, c + z & _QUARTER)
    x, y, z = last
    if data:
        b, c = _final(a + x & _QUARTER, b + y & _QUARTER, c + z & _QUARTER)
    return c << 32 | b


def _turned(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) & _QUARTER


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = (a - c & _QUARTER) ^ _turned(c, bits)
        a, b, c = b, c + b & _QUARTER, a
    return a, b, c


def _final(a: int, b: int, c: int) -> tuple[int, int]:
    """Give the last `b` and `c`; seven steps leave their names turned by one."""
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _turned(b, bits) & _QUARTER
        a, b, c = b, c, a
    return a, b
