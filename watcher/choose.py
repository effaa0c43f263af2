"""Which source to read, and why: said on stderr, for silence must never be a riddle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from watcher.errors import SourceError
from watcher.follow import Resumable, Source
from watcher.host import now_us, this_host
from watcher.rules import Pack

SourceKind = Literal["auto", "both", "journal", "kmsg"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for; `since_us` is Epoch microseconds, or "boot" or "now"."""

    kind: SourceKind = "auto"
    directory: str | None = None
    namespace: str | None = None
    since: int | Literal["boot", "now"] = "boot"
    canary: Callable[[str], object] | None = None
    """Takes the canaries that a daemon finds in the journal (watcher/health)."""


RECOVERED_US: Final = 7 * 86_400_000_000
"""How far back a journal is read that no place is known of, or no longer."""

Places = Mapping[str, str | None]


def followed(
    wish: Wish, pack: Pack, places: Places, *, recover: bool = False
) -> tuple[list[Resumable], str]:
    """Open the logs that a daemon follows, each where `places` (by name) says it stopped.

    Both where both can be read: /dev/kmsg tells first and knows who wrote a line, the journal
    knows the past. Raises SourceError if nothing can be read, or not all that was asked for.
    """
    found: list[Resumable] = []
    said: list[str] = []
    for name in wanted(wish):
        try:
            if name == "journal":
                found.append(_followed_journal(wish, pack, places.get(name), recover=recover))
            else:
                found.insert(0, followed_kmsg(pack, places.get(name), covered=bool(found)))
        except SourceError as error:
            if wish.kind != "auto" or wish.namespace:
                raise
            said.append(str(error))
    if not found:
        raise SourceError("no kernel log can be read here: " + "; ".join(said))
    names = " and ".join(each.name for each in found)
    return found, "; ".join([f"reading {names}", *said])


def wanted(wish: Wish) -> tuple[str, ...]:
    """Give the names of the logs that a daemon is to follow."""
    return ("journal",) if wish.directory or wish.namespace else _READ[wish.kind]


_READ: Final[Mapping[str, tuple[str, ...]]] = {
    # The journal is opened first: where it is read, /dev/kmsg need not tell what the ring lost.
    "auto": ("journal", "kmsg"),
    "both": ("journal", "kmsg"),
    "journal": ("journal",),
    "kmsg": ("kmsg",),
}


def _followed_journal(wish: Wish, pack: Pack, after: str | None, *, recover: bool) -> Resumable:
    from watcher.sources.journal import JournalSource, Span
    from watcher.sources.journal_entry import CANARY, MISSED
    from watcher.sources.journal_files import Where

    unseen = None if wish.namespace else _journal_unseen()
    if unseen and wish.kind == "auto":
        raise SourceError(unseen)
    since = now_us() - RECOVERED_US if recover else None
    boot = None if recover else this_host().boot_id
    # From the start of this boot; once there is a place to go on from, every boot after it.
    span = Span(after=after) if after else Span(boot_id=boot, since_us=since)
    also = (MISSED, CANARY.encode()) if wish.canary else (MISSED,)
    where = Where(namespace=wish.namespace)
    return JournalSource(pack.prefilter(*also), where, span, canary=wish.canary)


def followed_kmsg(pack: Pack, after: str | None, *, covered: bool = False) -> Resumable:
    """Open /dev/kmsg to go on `after` a place; `covered`: the journal is read too."""
    from watcher.sources.kmsg import KmsgSource

    return KmsgSource(pack.prefilter(), after=after, covered=covered)


def followed_file(pack: Pack, file: str, after: str | None, since_us: int) -> Resumable:
    """Open one journal file to go on `after` a place, or from `since_us` where none is known."""
    from watcher.sources.journal import JournalSource, Span
    from watcher.sources.journal_entry import MISSED
    from watcher.sources.journal_files import Where

    span = Span(after=after, since_us=since_us)
    return JournalSource(pack.prefilter(MISSED), Where(files=(file,)), span)


def folders(wish: Wish) -> list[Path]:
    """Give where the files of a journal lie. Raises SourceError if there is no such folder."""
    from watcher.sources.journal_files import own_folders

    asked = [Path(wish.directory)] if wish.directory else own_folders(wish.namespace)
    found = [folder for folder in asked if folder.is_dir()]
    if not found:
        raise SourceError(f"{asked[0]}: no such folder")
    return found


def journal_shows_kernel(wish: Wish) -> bool:
    """Tell whether the journal has a line of the kernel: of this boot, unless it is a folder."""
    from watcher.sources.journal_files import Where, kernel_seen

    boot = None if wish.directory else this_host().boot_id
    try:
        return kernel_seen(Where(directory=wish.directory, namespace=wish.namespace), boot)
    except (SourceError, OSError):
        return False


def live(wish: Wish, pack: Pack) -> tuple[Source, str]:
    """Open the source that fits `wish`; say which and why. Raises SourceError if none can."""
    if wish.kind == "kmsg":
        return _kmsg(wish, pack), "reading /dev/kmsg"
    if wish.kind == "journal" or wish.directory or wish.namespace:
        return _journal(wish, pack)
    unseen = _journal_unseen()
    if unseen is None:
        source, _ = _journal(wish, pack)
        return source, "reading the journal, which shows this boot's kernel lines"
    try:
        return _kmsg(wish, pack), f"reading /dev/kmsg, as {unseen}"
    except SourceError as error:
        raise SourceError(f"no kernel log can be read here: {unseen}; {error}") from error


def _journal_unseen() -> str | None:
    """Say why the journal will not do, or None if it shows lines of this boot's kernel."""
    from watcher.sources.journal_files import Where, kernel_seen

    try:
        seen = kernel_seen(Where(), this_host().boot_id)
    except SourceError as error:
        return str(error)
    return None if seen else "the journal shows no kernel line of this boot (to this user)"


def _journal(wish: Wish, pack: Pack) -> tuple[Source, str]:
    from watcher.sources.journal import JournalSource, Span
    from watcher.sources.journal_entry import MISSED
    from watcher.sources.journal_files import Where, boots

    where = Where(directory=wish.directory, namespace=wish.namespace)
    boot = this_host().boot_id if wish.since == "boot" else None
    if wish.directory and boot not in boots(where):
        boot = None  # another machine's journal: all of it
    span = Span(
        boot_id=boot,
        since_us=wish.since if isinstance(wish.since, int) else None,
        only_new=wish.since == "now",
    )
    return JournalSource(pack.prefilter(MISSED), where, span), f"reading {where}"


def _kmsg(wish: Wish, pack: Pack) -> Source:
    from watcher.sources.kmsg import KmsgSource

    return KmsgSource(pack.prefilter(), since=wish.since)
