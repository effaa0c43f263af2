"""Which journal files there are, which can be opened, and which boots they hold."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from systemd._reader import _Reader

from watcher.errors import SourceError
from watcher.host import this_host


@dataclass(frozen=True, slots=True)
class Where:
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


def open_reader(where: Where) -> _Reader:
    """Open a journal. Raises SourceError with what is wrong and what to do."""
    try:
        if where.directory:
            return _Reader(flags=0, path=where.directory)
        if where.files:
            return _Reader(flags=0, files=list(where.files))
        if where.namespace:
            return _Reader(flags=0, namespace=where.namespace)
        return _Reader(flags=1)  # SD_JOURNAL_LOCAL_ONLY
    except (OSError, ValueError) as error:
        raise SourceError(f"{where} cannot be opened: {why(error)}") from error


def why(error: OSError | ValueError) -> str:
    """Say in words why libsystemd refused."""
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.EBADMSG, errno.ENODATA, errno.EPROTONOSUPPORT):
        return "the file is damaged or of another version; try journalctl --verify --file"
    if code in (errno.EACCES, errno.EPERM):
        return "not permitted; run as root or join the group systemd-journal"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def damaged_files(where: Where) -> Iterator[tuple[str, str]]:
    """Give each file of the journal that libsystemd will leave out in silence, and why."""
    for file in _files(where):
        try:
            _Reader(flags=0, files=[str(file)]).close()
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.ENOENT):
                yield str(file), why(error)


def _files(where: Where) -> list[Path]:
    if where.files:
        return []
    folders = [Path(where.directory)] if where.directory else _own_folders(where.namespace)
    return sorted(
        file
        for folder in folders
        for pattern in ("*.journal", "*.journal~", "*/*.journal", "*/*.journal~")
        for file in folder.glob(pattern)
        if where.directory or file.parent == folder
    )


def _own_folders(namespace: str | None) -> list[Path]:
    name = this_host().machine_id or ""
    name = f"{name}.{namespace}" if namespace else name
    return [Path("/var/log/journal", name), Path("/run/log/journal", name)]


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


def boots(where: Where) -> list[str]:
    """Give the boot ids of a journal, the oldest first. Raises SourceError."""
    reader = open_reader(where)
    try:
        ids = [value.decode() for value in reader.query_unique("_BOOT_ID")]
        return [boot for _, boot in sorted((_first_us(reader, boot), boot) for boot in ids)]
    finally:
        reader.close()


def _first_us(reader: _Reader, boot_id: str) -> int:
    reader.flush_matches()
    reader.add_match(f"_BOOT_ID={boot_id}")
    reader.seek_head()
    return int(reader._get_realtime()) if reader._next() else 0
