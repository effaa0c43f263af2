"""Which lines a journal holds at all: asked of its files' own index, before entries are read.

A journal file keeps each value once, with the list of entries that have it, and all values of a
field in one chain (systemd, docs/JOURNAL_FILE_FORMAT.md). So the texts of a million entries are
looked through without stepping over one of them: a tenth of what libsystemd takes for each. What is
found here only narrows what libsystemd is asked for; it alone orders and reads entries.

Nothing here is believed further than it holds together: where a number does not fit another, a
file is damaged or being written to in this moment, and the caller reads every entry instead.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import stat
import struct
import sys
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import compress, islice, repeat
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from watcher.rules.prefilter import Prefilter
from watcher.sources.journal_entry import FIELD_BYTES
from watcher.sources.journal_hash import jenkins64, siphash24

Matches = tuple[tuple[str, ...], ...]

MOST: Final = 64
"""Texts that are asked for at most: libsystemd looks each up at every step."""

_HEADER: Final = struct.Struct("<8s II 8x 16s 48x 12Q")
_SIGNATURE: Final = b"LPKSHHRH"
_KEYED, _COMPACT = 4, 16
_KNOWN: Final = 1 | 2 | _KEYED | 8 | _COMPACT
"""Incompatible flags known here: compressed by xz, lz4 or zstd, keyed hash, compact (v252)."""

_DATA, _FIELD, _ENTRY, _ARRAY = 1, 2, 3, 6
_OBJECT: Final = struct.Struct("<BB6xQ")
_BUCKET: Final = struct.Struct("<QQ")
_HASHED: Final = struct.Struct("<BB6xQQQ")
_DATA_OBJECT: Final = struct.Struct("<BB6xQ16x4Q")
_ARRAY_OBJECT: Final = struct.Struct("<BB6xQQ")
_FIELD_PAYLOAD, _ARRAY_PAYLOAD, _ENTRY_ITEMS = 40, 24, 64
_NEWEST: Final = struct.Struct("<32xQ")
_ZSTD: Final = 4
_BLOCK: Final = 256
"""Texts that are searched as one: nearly all hold nothing."""
_WORTH: Final = 16 << 20
"""Bytes of journal files that are worth a process of their own, which takes 4 ms."""
_AT_ONCE: Final = 4096
"""Entries whose items are held at a time."""
_SAMPLE, _TEXT = 256, 4
"""Entries that tell of all the others, and how many are read while a text is looked through."""
_DEEPEST: Final = 1024
"""Objects of one hash that are looked at: journald begins a new file at a hundred (v247)."""
_SIZES, _LARGEST = 256, _ENTRY_ITEMS + 1024 * 16
"""Sizes that entries may have, and the size of one with all the fields that journald takes."""

_MESSAGE: Final = b"MESSAGE="


class DoubtError(Exception):
    """Something in a file does not fit together, or is more than can be asked for."""


class Narrowed(NamedTuple):
    """The texts (MESSAGE) that may matter, how many entries have them, and of how many in all."""

    messages: frozenset[bytes]
    hits: int
    entries: int


def open_descriptors() -> frozenset[str]:
    """Give the descriptors this process has open, but for the one that lists them."""
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are wanted
        with contextlib.suppress(OSError):
            os.fstat(int(name))
            found.add(name)
    return frozenset(found)


def regular_files(descriptors: Collection[str]) -> list[str]:
    """Give those of this process's descriptors that are files, as names to open them by.

    So a file is found that was renamed or removed since libsystemd opened it, and no other.
    """
    names = (f"/proc/self/fd/{each}" for each in descriptors)
    return [name for name in names if _is_regular(name)]


def _is_regular(name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name).st_mode)  # noqa: PTH116 - a link to a removed file
    except OSError:  # the one that listed them
        return False


def narrowed(files: Collection[str], matches: Matches, prefilter: Prefilter) -> Narrowed | None:
    """Look through the index of `files`; None where that cannot be trusted, or does not help."""
    if prefilter.literals is None or not files or sys.byteorder != "little":
        return None
    shares = _shares(files, lambda share, read: _search(share, matches, prefilter, read))
    known = [share for share in shares if share]
    messages = frozenset[bytes]().union(*(share.messages for share in known))
    if len(known) < len(shares) or len(messages) > MOST:
        return None
    return Narrowed(
        messages, sum(share.hits for share in known), sum(share.entries for share in known)
    )


_Read = Callable[[str], contextlib.AbstractContextManager["_File"]]


def _search(
    files: Collection[str], matches: Matches, prefilter: Prefilter, read: _Read
) -> Narrowed | None:
    messages: set[bytes] = set()
    hits = entries = 0
    try:
        for file in files:
            with read(file) as opened:
                found, count = opened.search(matches, prefilter)
            messages |= found.keys()
            hits += sum(found.values())
            entries += count
            if len(messages) > MOST:
                return None
    except (DoubtError, OSError, ValueError, TypeError, LookupError, ArithmeticError, struct.error):
        return None  # numbers of a damaged file lead anywhere
    return Narrowed(frozenset(messages), hits, entries)


# --- in processes of their own

_Search = Callable[[Collection[str], _Read], Narrowed | None]


def _shares(files: Collection[str], search: _Search) -> list[Narrowed | None]:
    """Search a few files here, and many in a process or two: as many as there are cores.

    This process maps none of them: a file that is cut short while it is mapped kills who looks
    at it (SIGBUS), and that is a doubt like any other.
    """
    by_size = sorted(files, key=_size, reverse=True)
    if sum(map(_size, by_size)) < _WORTH:
        return [search(by_size, _whole)]
    shares = [by_size[::4] + by_size[3::4], by_size[1::4] + by_size[2::4]]
    if sum(map(_size, shares[1])) < _WORTH or len(os.sched_getaffinity(0)) < 2:  # noqa: PLR2004
        shares = [by_size]
    try:
        with contextlib.ExitStack() as started:
            answers = [started.enter_context(_asked(share, search)) for share in shares]
            return [_read(answer.read()) for answer in answers]
    except OSError:  # no process or descriptor to be had: libsystemd needs no more of them
        return [None]


@contextlib.contextmanager
def _asked(files: Collection[str], search: _Search) -> Iterator[BinaryIO]:
    """Have a process of its own search; what it says can be read from what this gives."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as answer:
        with os.fdopen(writing, "wb") as pipe:
            if not (child := os.fork()):
                with contextlib.suppress(BaseException):
                    pipe.write(_written(search(files, _mapped)))
                    pipe.flush()
                os._exit(0)
        try:
            yield answer
        finally:
            answer.close()  # the child must not wait to write
            with contextlib.suppress(ChildProcessError):  # where SIGCHLD was ignored before us
                os.waitpid(child, 0)


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size  # noqa: PTH116 - as in _is_regular
    except OSError:
        return 0


def _written(found: Narrowed | None) -> bytes:
    texts = [text.decode("latin-1") for text in found.messages] if found else []
    return json.dumps([texts, found.hits, found.entries] if found else None).encode()


def _read(said: bytes) -> Narrowed | None:
    try:
        texts, hits, entries = json.loads(said)
    except (ValueError, TypeError):  # it doubts, or was killed
        return None
    return Narrowed(frozenset(text.encode("latin-1") for text in texts), hits, entries)


@contextlib.contextmanager
def _whole(file: str) -> Iterator[_File]:
    yield _File(Path(file).read_bytes())


@contextlib.contextmanager
def _mapped(file: str) -> Iterator[_File]:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
    with content:
        yield _File(content)


_Value = tuple[int, int, int, int, int, int]
"""A DATA object: its place, flags and size; its first entry, the list of others, how many in all.

A bare tuple, for there are as many as lines.
"""


class _File:
    def __init__(self, content: bytes | mmap.mmap) -> None:
        self._bytes = content
        signature, _, incompatible, file_id, *numbers = _HEADER.unpack_from(content)
        self._compact = bool(incompatible & _COMPACT)
        self._payload = 72 if self._compact else 64
        self._hash = partial(siphash24, key=file_id) if incompatible & _KEYED else jenkins64
        _, _, *tables, _, _, self._entries, _, _, self._array = numbers
        self._data_table, self._field_table = tables[:2], tables[2:]
        self._most = len(content) // _ENTRY_ITEMS  # entries that a file can have
        if signature != _SIGNATURE or incompatible & ~_KNOWN:
            raise DoubtError

    def search(self, matches: Matches, prefilter: Prefilter) -> tuple[dict[bytes, int], int]:
        """Give the texts that may matter, each with its number of entries, and that of all.

        Of all that is, which the matches let through.
        """
        let_through = self._let_through(matches)
        if not self._are_entries(let_through):
            raise DoubtError
        if self._are_unlike(let_through):
            raise DoubtError
        values = self._all_texts(len(let_through)) if let_through else []
        if values is None:
            values = self._texts_of(let_through)
        if sum(value[-1] for value in values) > self._most:
            raise DoubtError
        found = {}
        for value in self._likely(values, prefilter):
            hits = _in_both(self._entries_of(value), let_through)
            if hits and prefilter.wants(text := self._text(value)):
                found[text] = hits
        return found, len(let_through)

    # --- values by their hash, as libsystemd finds them, and all of MESSAGE

    def _hashed(self, table: list[int], wanted: bytes, kind: int) -> Iterator[int]:
        """Give the places of the objects that have the hash of `wanted`."""
        begin, size = table
        hash_ = self._hash(wanted)
        at, _ = _BUCKET.unpack_from(self._bytes, begin + hash_ % (size // 16) * 16)
        for _ in range(_DEEPEST):
            if not at:
                return
            found, _, _, its, following = _HASHED.unpack_from(self._bytes, at)
            if found != kind or (following and following <= at):
                raise DoubtError
            if its == hash_:
                yield at
            at = following
        raise DoubtError

    def _newest_text(self) -> int:
        for at in self._hashed(self._field_table, b"MESSAGE", _FIELD):
            _, _, size = _OBJECT.unpack_from(self._bytes, at)
            if self._bytes[at + _FIELD_PAYLOAD : at + size] == b"MESSAGE":
                (newest,) = _NEWEST.unpack_from(self._bytes, at)
                return int(newest)
        return 0

    def _chain(self, at: int) -> Iterator[_Value]:
        """Give the value at `at` and all older ones of its field, the newest first."""
        unpack, least = _DATA_OBJECT.unpack_from, self._payload
        while at:
            kind, flags, size, following, first, array, count = unpack(self._bytes, at)
            # Each new value is put before the others, so the chain leads back in the file.
            if kind != _DATA or following >= at or size < least or not count:
                raise DoubtError
            yield at, flags, size, first, array, count
            at = following

    # --- texts

    def _are_unlike(self, places: list[int]) -> bool:
        """Tell by a sample whether texts are nearly as many as entries, which are then read sooner.

        A text that is in n entries is the n-th part of a text for each of them.
        """
        if len(places) < _AT_ONCE:
            return False
        sample = places[:: len(places) // _SAMPLE]
        return sum(1 / value[-1] for value in self._texts_of(sample)) * _TEXT > len(sample)

    def _all_texts(self, most: int) -> list[_Value] | None:
        """Give every text, by their chain; None if there are far more than `most`.

        Or if some entry has no text, or two, or is only half written: then their number is off.
        """
        newest = self._newest_text()
        if newest and not any(self._are_texts([newest])):
            raise DoubtError
        found = list(islice(self._chain(newest), most + _BLOCK))
        return found if sum(value[-1] for value in found) == self._entries else None

    def _texts_of(self, places: list[int]) -> list[_Value]:
        """Give the texts of some entries, each of which must have one."""
        sizes = [size for _, _, size in map(_OBJECT.unpack_from, repeat(self._bytes), places)]
        if len(set(sizes)) > _SIZES or max(sizes, default=0) > _LARGEST:
            raise DoubtError
        texts: set[int] = set()
        for size in set(sizes):
            these = list(compress(places, map(size.__eq__, sizes)))
            for begin in range(0, len(these), _AT_ONCE):
                part = these[begin : begin + _AT_ONCE]
                items = list(map(self._items(size), repeat(self._bytes), part))
                texts.update(self._are_texts(set().union(*items) - texts))
                if any(map(texts.isdisjoint, items)):
                    raise DoubtError
        return list(map(self._value, texts))

    def _items(self, size: int) -> Callable[..., tuple[int, ...]]:
        item = "I" if self._compact else "Q8x"
        count = (size - _ENTRY_ITEMS) // (4 if self._compact else 16)
        return struct.Struct(f"<{_ENTRY_ITEMS}x" + item * count).unpack_from

    def _are_texts(self, places: Iterable[int]) -> Iterator[int]:
        content, begin, end = self._bytes, self._payload, self._payload + len(_MESSAGE)
        for at in places:
            if content[at + begin : at + end] == _MESSAGE or (
                content[at + 1] and self._unpacked(self._value(at), len(_MESSAGE)) == _MESSAGE
            ):
                yield at

    def _value(self, at: int) -> _Value:
        kind, flags, size, _, first, array, count = _DATA_OBJECT.unpack_from(self._bytes, at)
        if kind != _DATA or size < self._payload:
            raise DoubtError
        return at, flags, size, first, array, count

    def _likely(self, values: list[_Value], prefilter: Prefilter) -> Iterator[_Value]:
        """Give the values worth a look by themselves: those that hold a literal, those packed."""
        skip, content = self._payload + len(_MESSAGE), self._bytes
        for begin in range(0, len(values), _BLOCK):
            block = values[begin : begin + _BLOCK]
            # No literal holds a line feed, so none is found across two texts.
            texts = [content[at + skip : at + size] for at, _, size, *_ in block]
            hit = prefilter.may(b"\n".join(texts).lower())
            for value, text in zip(block, texts, strict=True) if hit else ():
                if not value[1] and prefilter.wants(text):
                    yield value
            yield from (value for value in block if value[1])

    def _text(self, value: _Value) -> bytes:
        data, flags = self._payload_of(value, FIELD_BYTES), value[1]
        # Longer ones libsystemd cuts, and would not find again by the part.
        if not data.startswith(_MESSAGE) or (flags and len(data) >= FIELD_BYTES):
            raise DoubtError
        return data[len(_MESSAGE) :]

    def _payload_of(self, value: _Value, most: int) -> bytes:
        """Give a value with its name, if it is packed no more than its first `most` bytes."""
        at, flags, size, *_ = value
        return self._unpacked(value, most) if flags else self._bytes[at + self._payload : at + size]

    def _unpacked(self, value: _Value, most: int) -> bytes:
        at, flags, size, *_ = value
        if flags != _ZSTD:  # xz, lz4: of old journals; a kernel line is hardly ever that long
            raise DoubtError
        import zstandard

        data = self._bytes[at + self._payload : at + size]
        try:
            with zstandard.ZstdDecompressor().stream_reader(data) as reader:
                return reader.read(most)
        except zstandard.ZstdError as error:
            raise DoubtError from error

    # --- entries

    def _let_through(self, matches: Matches) -> list[int]:
        """Give the places of the entries that one of the matches lets through, in order."""
        if not matches:
            return self._listed(0, self._array, self._entries)
        found = [each for each in map(self._all_of, matches) if each]
        if len(found) < 2 or all(each == found[0] for each in found[1:]):  # noqa: PLR2004
            return found[0] if found else []
        return sorted(set().union(*found))

    def _all_of(self, alternative: Sequence[str]) -> list[int]:
        lists = [self._having(match.encode()) for match in alternative]
        if len(lists) == 1:
            return lists[0]
        return sorted(set(lists[0]).intersection(*lists[1:]))

    def _having(self, match: bytes) -> list[int]:
        for at in self._hashed(self._data_table, match, _DATA):
            value = self._value(at)
            if self._payload_of(value, len(match) + 1) == match:
                return self._entries_of(value)
        return []

    def _entries_of(self, value: _Value) -> list[int]:
        return self._listed(*value[-3:])

    def _listed(self, first: int, array: int, count: int) -> list[int]:
        """Read a list of entries, which must be in order and as long as it says."""
        if count > self._most:
            raise DoubtError
        found = [first] if first else []
        width: int = 4 if self._compact else 8
        while array and len(found) < count:
            kind, _, size, following = _ARRAY_OBJECT.unpack_from(self._bytes, array)
            most = min((size - _ARRAY_PAYLOAD) // width, count - len(found))
            # None is empty, or going through them might take for ever.
            if kind != _ARRAY or most < 1 or (following and following <= array):
                raise DoubtError
            begin = array + _ARRAY_PAYLOAD
            listed = memoryview(self._bytes[begin : begin + most * width])
            found += listed.cast("I") if self._compact else listed.cast("Q")
            array = following
        if len(found) != count or found != sorted(found):
            raise DoubtError
        return found

    def _are_entries(self, places: list[int]) -> bool:
        """Tell whether each place has an entry object: libsystemd breaks off where not."""
        with memoryview(self._bytes)[: len(self._bytes) & ~7] as whole, whole.cast("Q") as words:
            heads = set(map(words.__getitem__, [place >> 3 for place in places]))
        return heads <= {_ENTRY}


def _in_both(some: list[int], places: list[int]) -> int:
    """Count the places that are in both lists, of which the first is mostly short."""
    if len(some) > len(places) // 8:
        return len(set(places).intersection(some))
    ats = ((bisect_left(places, place), place) for place in some)
    return sum(at < len(places) and places[at] == place for at, place in ats)
