"""Which journal files there are, which can be opened, and which boots they hold."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from systemd._reader import _Reader

from watcher.errors import SourceError
from watcher.host import this_host


class Where(NamedTuple):
    """Which journal: this machine's unless one of these is given."""

    directory: str | None = None
    files: tuple[str, ...] = ()
    namespace: str | None = None

    def __str__(self) -> str:
        if self.directory:
            return f"the journal in {self.directory}"
        if self.files:
            return ", ".join(self.files)
        return f"the journal namespace {self.namespace}" if self.namespace else "the journal"


DAMAGED: Final = "the file is damaged or of another version; try journalctl --verify --file"


def open_reader(where: Where) -> _Reader:
    """Open a journal. Raises SourceError with what is wrong and what to do."""
    try:
        if where.directory:
            return _Reader(flags=0, path=where.directory)
        if where.files:
            return _Reader(flags=0, files=list(where.files))
        if where.namespace:
            if not any(folder.is_dir() for folder in own_folders(where.namespace)):
                raise SourceError(f"{where} is not on this machine: see /var/log/journal")
            return _Reader(flags=0, namespace=where.namespace)
        return _Reader(flags=1)  # SD_JOURNAL_LOCAL_ONLY
    except (OSError, ValueError) as error:
        raise SourceError(f"{where} cannot be opened: {why(error)}") from error


def values(where: Where, name: str) -> frozenset[str]:
    """Give every value that a field has anywhere in a journal, in lower case."""
    reader = open_reader(where)
    try:
        return frozenset(
            each.decode(errors="backslashreplace").lower() for each in reader.query_unique(name)
        )
    finally:
        reader.close()


def why(error: OSError | ValueError) -> str:
    """Say in words why libsystemd refused."""
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.EBADMSG, errno.ENODATA, errno.EPROTONOSUPPORT):
        return DAMAGED
    if code in (errno.EACCES, errno.EPERM):
        return "not permitted; run as root or join the group systemd-journal"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def left_out(where: Where) -> list[tuple[str, str, str]]:
    """Give each file of the journal that libsystemd leaves out in silence, the cause and why.

    Raises SourceError if that is one asked for by name, or if none at all may be read.
    """
    files = _files(where)
    found = [(str(file), *trouble) for file in files if (trouble := _trouble(str(file)))]
    none = [cause for _, cause, _ in found] == [_NOT_PERMITTED] * len(files)
    if found and (none or where.files):
        what = found[0][0] if where.files else where
        raise SourceError(f"{what} cannot be read: {found[0][2]}")
    return found


_NOT_PERMITTED: Final = "journal_not_permitted"


def _trouble(file: str) -> tuple[str, str] | None:
    try:
        return None if _ends_well(file) else ("journal_damaged", DAMAGED)
    except OSError as error:
        if error.errno == errno.ENOENT:  # just removed, as old files are
            return None
        forbidden = error.errno in (errno.EACCES, errno.EPERM)
        return _NOT_PERMITTED if forbidden else "journal_damaged", why(error)


def _ends_well(file: str) -> bool:
    """Tell whether the last entry is there, if the file's header tells of one."""
    reader = _Reader(flags=0, files=[file])
    try:
        end = reader._get_end()
        reader.seek_tail()
        return bool(reader._previous()) or not end
    finally:
        reader.close()


def broken_off(
    where: Where, add_matches: Callable[[Any], None]
) -> Iterator[tuple[str, int | None, int]]:
    """Give the files in which a walk over the matches breaks off before its end.

    With each, when the last entry before was written and when the last of the file.
    """
    for file in map(str, _files(where)):
        try:
            found = _end_of_walk(file, add_matches)
        except OSError:  # archived or removed just now
            continue
        if found:
            yield file, *found


def _end_of_walk(file: str, add_matches: Callable[[Any], None]) -> tuple[int | None, int] | None:
    reader = _Reader(flags=0, files=[file])
    try:
        end, last = int(reader._get_end()), None
        add_matches(reader)
        reader.seek_head()
        while reader._next():
            last = int(reader._get_realtime())
        # The reader has closed a file that breaks off, so none is left.
        return None if reader.get_usage() else (last, end)
    finally:
        reader.close()


def _files(where: Where) -> list[Path]:
    if where.files:
        return [Path(file) for file in where.files]
    folders = [Path(where.directory)] if where.directory else own_folders(where.namespace)
    return sorted(
        file
        for folder in folders
        for pattern in ("*.journal", "*.journal~", "*/*.journal", "*/*.journal~")
        for file in folder.glob(pattern)
        if where.directory or file.parent == folder
    )


def own_folders(namespace: str | None) -> list[Path]:
    """Give where this machine's journal lies, lasting and volatile."""
    name = this_host().machine_id or ""
    name = f"{name}.{namespace}" if namespace else name
    return [Path("/var/log/journal", name), Path("/run/log/journal", name)]


def follows(where: Where, cursor: str) -> bool | None:
    """Tell whether the oldest entry of all is the very next after `cursor`, or not even that.

    None: it is numbered by another journald, so that nobody can know.
    """
    reader = open_reader(where)
    try:
        reader.seek_head()
        if not reader._next():
            return True
        (log, oldest), (log_before, before) = map(_numbered, (reader._get_cursor(), cursor))
        return oldest <= before + 1 if log == log_before else None
    finally:
        reader.close()


def _numbered(cursor: str) -> tuple[str, int]:
    """Give the id of the numbering and the number of an entry (sd_journal_get_cursor)."""
    parts = _parts(cursor)
    return parts["s"], int(parts["i"], 16)


def written_us(cursor: str) -> int:
    """Give when an entry was written (Epoch microseconds), by the wall clock of then."""
    return int(_parts(cursor)["t"], 16)


def _parts(cursor: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in cursor.split(";"))


def kernel_seen(where: Where, boot_id: str | None) -> bool:
    """Tell whether this journal shows any line of the kernel, of one boot if that is given.

    Raises SourceError where it cannot be opened.
    """
    reader = open_reader(where)
    try:
        reader.add_match("_TRANSPORT=kernel")
        if boot_id:
            reader.add_match(f"_BOOT_ID={boot_id}")
        reader.seek_head()
        return bool(reader._next())
    finally:
        reader.close()


def stretches(where: Where) -> list[tuple[str, int, int]]:
    """Give each boot's id and the Epoch microseconds of its first and last entry, in order.

    Raises SourceError.
    """
    ids = boots(where)
    reader = open_reader(where)
    try:
        return [(boot, _first_us(reader, boot), _last_us(reader)) for boot in ids]
    except OSError as error:
        raise SourceError(f"{where} cannot be read: {why(error)}") from error
    finally:
        reader.close()


def boots(where: Where) -> list[str]:
    """Give the boot ids of a journal, the oldest first. Raises SourceError."""
    reader = open_reader(where)
    try:
        ids = [value.decode("ascii", "replace") for value in reader.query_unique("_BOOT_ID")]
        return [boot for _, boot in sorted((_first_us(reader, boot), boot) for boot in ids)]
    except OSError as error:
        raise SourceError(f"{where} cannot be read: {why(error)}") from error
    finally:
        reader.close()


def _first_us(reader: _Reader, boot_id: str) -> int:
    reader.flush_matches()
    reader.add_match(f"_BOOT_ID={boot_id}")
    reader.seek_head()
    return int(reader._get_realtime()) if reader._next() else 0


def _last_us(reader: _Reader) -> int:
    """Give the time of the last entry that the matches let through."""
    reader.seek_tail()
    return int(reader._get_realtime()) if reader._previous() else 0
