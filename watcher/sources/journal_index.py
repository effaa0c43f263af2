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
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import compress, islice, repeat
from typing import Final, NamedTuple

from watcher.rules.prefilter import Prefilter
from watcher.sources.journal_entry import FIELD_BYTES

Matches = tuple[tuple[str, ...], ...]

MOST: Final = 64
"""Texts that are asked for at most: libsystemd looks each up at every step."""

_HEADER: Final = struct.Struct("<8s II 8x 64x 12Q")
_SIGNATURE: Final = b"LPKSHHRH"
_KEYED, _COMPACT = 4, 16
_KNOWN: Final = 1 | 2 | _KEYED | 8 | _COMPACT
"""Incompatible flags known here: compressed by xz, lz4 or zstd, keyed hash, compact (v254)."""

_DATA, _FIELD, _ENTRY, _ARRAY = 1, 2, 3, 6
_OBJECT: Final = struct.Struct("<BB6xQ")
_FIELD_OBJECT: Final = struct.Struct("<BB6xQ8xQQ")
_DATA_OBJECT: Final = struct.Struct("<BB6xQ16x4Q")
_ARRAY_OBJECT: Final = struct.Struct("<BB6xQQ")
_FIELD_PAYLOAD, _ARRAY_PAYLOAD, _ENTRY_ITEMS = 40, 24, 64
_ZSTD: Final = 4
_BLOCK: Final = 256
"""Texts that are searched as one: nearly all hold nothing."""
_WORTH: Final = 16 << 20
"""Bytes of journal files that are worth a process of their own, which takes 4 ms."""
_AT_ONCE: Final = 4096
"""Entries whose items are held at a time."""

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
    if prefilter.literals is None or not files:
        return None
    shares = _shares(files, lambda share: _search(share, matches, prefilter))
    known = [share for share in shares if share]
    messages = frozenset[bytes]().union(*(share.messages for share in known))
    if len(known) < len(shares) or len(messages) > MOST:
        return None
    return Narrowed(
        messages, sum(share.hits for share in known), sum(share.entries for share in known)
    )


def _search(files: Collection[str], matches: Matches, prefilter: Prefilter) -> Narrowed | None:
    messages: set[bytes] = set()
    hits = entries = 0
    try:
        for file in files:
            with _opened(file) as opened:
                found, count = opened.search(matches, prefilter)
            messages |= found.keys()
            hits += sum(found.values())
            entries += count
            if len(messages) > MOST:
                return None
    except (DoubtError, OSError, ValueError, TypeError, LookupError, OverflowError, struct.error):
        return None  # numbers of a damaged file lead anywhere
    return Narrowed(frozenset(messages), hits, entries)


_Search = Callable[[Collection[str]], Narrowed | None]


def _shares(files: Collection[str], search: _Search) -> list[Narrowed | None]:
    """Let a second process have half of the work, where there is enough and a core for it."""
    by_size = sorted(files, key=_size, reverse=True)
    halves = by_size[::4] + by_size[3::4], by_size[1::4] + by_size[2::4]
    if sum(map(_size, halves[1])) < _WORTH or len(os.sched_getaffinity(0)) < 2:  # noqa: PLR2004
        return [search(files)]
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException), os.fdopen(writing, "wb") as pipe:
            pipe.write(_written(search(halves[1])))
        os._exit(0)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:  # closed first: the child must not wait to write
            own = search(halves[0])
            return [own, _read(pipe.read())]
    finally:
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
    except (ValueError, TypeError):  # it doubts, or was killed: by a file cut short under it
        return None
    return Narrowed(frozenset(text.encode("latin-1") for text in texts), hits, entries)


@contextlib.contextmanager
def _opened(file: str) -> Iterator[_File]:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        bytes_ = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
    with bytes_:
        yield _File(bytes_)


_Value = tuple[int, int, int, int, int, int]
"""A DATA object: its place, flags and size; its first entry, the list of others, how many in all.

A bare tuple, for there are as many as lines.
"""


class _File:
    def __init__(self, content: mmap.mmap) -> None:
        self._bytes = content
        signature, _, incompatible, *numbers = _HEADER.unpack_from(content)
        if signature != _SIGNATURE or incompatible & ~_KNOWN:
            raise DoubtError
        self._compact = bool(incompatible & _COMPACT)
        self._payload = 72 if self._compact else 64
        *_, table, size, _, _, self._entries, _, _, self._array = numbers
        self._fields = dict(self._read_fields(table, size))

    def search(self, matches: Matches, prefilter: Prefilter) -> tuple[dict[bytes, int], int]:
        """Give the texts that may matter, each with its number of entries, and that of all.

        Of all that is, which the matches let through.
        """
        let_through = self._let_through(matches)
        if not self._are_entries(let_through):
            raise DoubtError
        values = self._all_texts(len(let_through))
        if values is None:
            values = self._texts_of(let_through)
        found = {}
        for value in self._likely(values, prefilter):
            hits = _in_both(self._entries_of(value), let_through)
            if hits and prefilter.wants(text := self._text(value)):
                found[text] = hits
        return found, len(let_through)

    # --- fields and their values

    def _read_fields(self, table: int, size: int) -> Iterator[tuple[bytes, int]]:
        """Give each field's name with its newest value's place."""
        for head, _ in struct.iter_unpack("<QQ", self._bytes[table : table + size]):
            at = head
            while at:
                kind, _, length, following, newest = _FIELD_OBJECT.unpack_from(self._bytes, at)
                if kind != _FIELD or (following and following <= at):
                    raise DoubtError
                name = self._bytes[at + _FIELD_PAYLOAD : at + length]
                self._check_name(name, newest)
                yield name, newest
                at = following

    def _check_name(self, name: bytes, newest: int) -> None:
        """Doubt a field whose newest value is not of its name: the true one would look absent."""
        begin = newest + self._payload
        packed = self._bytes[newest + 1]
        if not newest or not (packed or self._bytes[begin : begin + len(name) + 1] == name + b"="):
            raise DoubtError

    def _chain(self, field: bytes) -> Iterator[_Value]:
        """Give each value of a field, the newest first."""
        at, unpack, least = self._fields.get(field, 0), _DATA_OBJECT.unpack_from, self._payload
        while at:
            kind, flags, size, following, first, array, count = unpack(self._bytes, at)
            # Each new value is put before the others, so the chain leads back in the file.
            if kind != _DATA or following >= at or size < least or not count:
                raise DoubtError
            yield at, flags, size, first, array, count
            at = following

    # --- texts

    def _all_texts(self, most: int) -> list[_Value] | None:
        """Give every text, by their chain; None if there are far more than `most`.

        Or if some entry has no text, or two, or is only half written: then their number is off.
        """
        found = list(islice(self._chain(b"MESSAGE"), most + _BLOCK))
        return found if sum(value[-1] for value in found) == self._entries else None

    def _texts_of(self, places: list[int]) -> list[_Value]:
        """Give the texts of some entries, each of which must have one."""
        sizes = [size for _, _, size in map(_OBJECT.unpack_from, repeat(self._bytes), places)]
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
                content[at + 1] and self._unpacked(self._value(at)).startswith(_MESSAGE)
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
        at, flags, size, *_ = value
        data = self._unpacked(value) if flags else self._bytes[at + self._payload : at + size]
        # Longer ones libsystemd cuts, and would not find again by the part.
        if not data.startswith(_MESSAGE) or (flags and len(data) >= FIELD_BYTES):
            raise DoubtError
        return data[len(_MESSAGE) :]

    def _unpacked(self, value: _Value) -> bytes:
        at, flags, size, *_ = value
        if flags != _ZSTD:  # xz, lz4: of old journals; a kernel line is hardly ever that long
            raise DoubtError
        import zstandard

        data = self._bytes[at + self._payload : at + size]
        try:
            with zstandard.ZstdDecompressor().stream_reader(data) as reader:
                return reader.read(FIELD_BYTES)
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
        for value in self._chain(match.partition(b"=")[0]):
            at, flags, size, *_ = value
            if not flags and self._bytes[at + self._payload : at + size] == match:
                return self._entries_of(value)
        return []

    def _entries_of(self, value: _Value) -> list[int]:
        return self._listed(*value[-3:])

    def _listed(self, first: int, array: int, count: int) -> list[int]:
        """Read a list of entries, which must be in order and as long as it says."""
        found = [first] if first else []
        width: int = 4 if self._compact else 8
        while array and len(found) < count:
            kind, _, size, following = _ARRAY_OBJECT.unpack_from(self._bytes, array)
            if kind != _ARRAY or (following and following <= array):
                raise DoubtError
            most = min((size - _ARRAY_PAYLOAD) // width, count - len(found))
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
