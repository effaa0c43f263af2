"""Reads small files below a root, and remembers what could not be read and why."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

MOST_BYTES: Final = 1 << 20
"""Bytes read of one file; the largest of them, a kernel's configuration, has a fourth of it."""

HERE: Final = "/"


class Unseen(NamedTuple):
    """Something that could not be read: what it would have told, where, and why not."""

    what: str
    where: str
    why: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.what, self.where, self.why)))


class Tree:
    """The files below `root`. Nothing here raises, writes or waits."""

    def __init__(self, root: str = HERE) -> None:
        self.root = Path(root)
        self.unseen: list[Unseen] = []

    @property
    def is_this_machine(self) -> bool:
        """Tell whether this is the running system and no copy of another."""
        return self.root.resolve() == Path(HERE)

    def data(self, path: str, what: str | None = None) -> bytes | None:
        """Give a file's bytes, or None; `what` names what is then unseen, if that is a loss."""
        try:
            return _bytes(self._inside(path))
        except FileNotFoundError:
            self.miss(what, path, "there is no such file")
        except OSError as error:
            self.miss(what, path, (error.strerror or str(error)).lower())
        return None

    def text(self, path: str, what: str | None = None) -> str | None:
        """Give a file as text without the white space around it, or None."""
        data = self.data(path, what)
        return None if data is None else data.decode(errors="replace").strip()

    def number(self, path: str) -> int | None:
        """Give a file that holds one number, or None."""
        text = self.text(path)
        return int(text) if text and text.lstrip("-").isdecimal() and len(text) < 20 else None  # noqa: PLR2004

    def names(self, path: str) -> list[str] | None:
        """Give the names in a folder, sorted, or None."""
        try:
            return sorted(os.listdir(self._inside(path)))  # noqa: PTH208 - names are wanted
        except OSError:
            return None

    def has(self, path: str) -> bool:
        """Tell whether there is such a file or folder."""
        try:
            return self._inside(path).exists()
        except OSError:
            return False

    def miss(self, what: str | None, path: str, why: str) -> None:
        """Take note of something unseen, once."""
        lost = Unseen(what or "", f"/{path}", why)
        if what and lost not in self.unseen:
            self.unseen.append(lost)

    def _inside(self, path: str) -> Path:
        """Give the real path; an absolute link in a copied tree would lead to this machine."""
        whole = self.root / path
        real_root = self.root.resolve()
        if real_root != Path(HERE) and not whole.resolve().is_relative_to(real_root):
            raise PermissionError(1, "it points out of the tree")
        return whole


def _bytes(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(22, "it is no regular file")
        parts = []
        left = MOST_BYTES
        while left > 0 and (part := os.read(descriptor, left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)
