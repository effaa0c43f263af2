"""The config files themselves: which there are, their tables, and where in them a fault stands.

Apart from what the tables may hold, which takes pydantic: a command that reads rules looks here
whether there is anything to check at all.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any, Final, NamedTuple

SYSTEM: Final = Path("/etc/lockdown-watcher/config.toml")
MAX_BYTES: Final = 1 << 20


class Fault(NamedTuple):
    """What is wrong in a config file; `line` counts from 1 where it is known.

    `table` is None where the file as a whole cannot be used.
    """

    file: str
    line: int | None
    text: str
    table: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.text}"


def paths(chosen: str | None) -> tuple[bool, list[Path]]:
    """Give whether one file was named outright, and the files."""
    if chosen is None:
        chosen = os.environ.get("LOCKDOWN_WATCHER_CONFIG") or None
    if chosen is not None:
        return True, [Path(chosen)]
    own = home("XDG_CONFIG_HOME", ".config")
    return False, [SYSTEM, *([own / "config.toml"] if own else [])]


def rules_beside(chosen: str | None) -> list[Path]:
    """Give each folder of rules there is beside a config file, which itself need not exist."""
    return [*filter(Path.is_dir, (path.parent / "rules" for path in paths(chosen)[1]))]


def home(variable: str, default: str) -> Path | None:
    """Give our folder below the user's own; None for a user who has none.

    A relative path is to be ignored (XDG base directory specification).
    """
    base = os.environ.get(variable, "")
    if base.startswith("/"):
        return Path(base, "lockdown-watcher")
    own = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    return Path(own, default, "lockdown-watcher") if own.startswith("/") else None


def read_files(chosen: str | None, faults: list[Fault], *, unreadable_too: bool = False) -> Files:
    """Read the files. `unreadable_too`: go on without one that is not for this user to read."""
    read = Files()
    named, found = paths(chosen)
    for path in found:
        if named or not (unreadable_too and path.exists() and not os.access(path, os.R_OK)):
            read.add(path, faults, required=named)
    return read


class Files:
    """The texts of the files, their tables laid over each other, and where each came from."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.tables: dict[str, Any] = {}
        self._from: dict[str, str] = {}

    def add(self, path: Path, faults: list[Fault], *, required: bool) -> None:
        """Read one file; one that does not exist is a fault only if it was asked for."""
        file = str(path)
        try:
            text = _text(path)
            import tomllib  # where there is a file at all

            tables = tomllib.loads(text)
        except (FileNotFoundError, NotADirectoryError):
            if required:
                faults.append(Fault(file, None, "no such file"))
        except (OSError, ValueError) as error:
            line = re.search(r"\(at line (\d+)", str(error))
            said = getattr(error, "strerror", None) or str(error)
            faults.append(Fault(file, int(line[1]) if line else None, said))
        except RecursionError:
            faults.append(Fault(file, None, "nested too deeply"))
        else:
            self.texts[file] = text
            self.tables |= tables
            self._from |= dict.fromkeys(tables, file)

    def fault(self, table: str, keys: tuple[str | int, ...], text: str) -> Fault:
        """Make a fault about a key of a table."""
        file = self._from.get(table, "")
        return Fault(file, _line_of(self.texts.get(file, ""), table, keys), text, table)


def _text(path: Path) -> str:
    # O_NONBLOCK: a FIFO would keep its reader waiting for ever.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise ValueError("is a directory")
        if not stat.S_ISREG(mode):
            raise ValueError("is no regular file")
        if mode & stat.S_IWOTH:
            raise ValueError("anybody may write it: chmod o-w, for it decides what root runs")
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def _line_of(text: str, table: str, keys: tuple[str | int, ...]) -> int | None:
    """Find where a key stands: below the header of its table, the n-th of its kind."""
    nth = next((key for key in keys if isinstance(key, int)), 0)
    name = next((key for key in reversed(keys) if isinstance(key, str)), table)
    lines = text.splitlines()
    head = re.compile(rf"\s*\[+\s*[\"']?{re.escape(table)}[\"']?\s*\]")
    heads = [i for i, each in enumerate(lines) if head.match(each)]
    if not heads:
        bare = (each.lstrip(" \t\"'") for each in lines)
        return next((i for i, each in enumerate(bare, 1) if each.startswith(name)), None)
    start = heads[min(nth, len(heads) - 1)]
    for number, each in enumerate(lines[start + 1 :], start + 2):
        if each.lstrip().startswith("["):
            break
        if re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*[=.]", each):
            return number
    return start + 1
