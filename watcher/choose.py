"""Which source to read, and why: said on stderr, for silence must never be a riddle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from watcher.errors import SourceError
from watcher.feed import Source as Resumable
from watcher.follow import Source
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


RECOVERED_DAYS: Final = 7
"""How far back the journal is read again after the store was set aside."""

Places = Mapping[str, str | None]


def followed(
    wish: Wish, pack: Pack, places: Places, *, recover: bool = False
) -> tuple[list[Resumable], str]:
    """Open the logs that a daemon follows, each where `places` (by name) says it stopped.

    Both where both can be read: /dev/kmsg tells first and knows who wrote a line, the journal
    knows the past. Raises SourceError if nothing can be read, or not all that was asked for.
    """
    alone = wish.directory or wish.namespace
    wanted = ("journal",) if alone else _READ[wish.kind]
    found: list[Resumable] = []
    said: list[str] = []
    for name in wanted:
        try:
            found.append(_OPEN[name](wish, pack, places.get(name), recover=recover))
        except SourceError as error:
            if wish.kind != "auto" or alone:
                raise
            said.append(str(error))
    if not found:
        raise SourceError("no kernel log can be read here: " + "; ".join(said))
    names = " and ".join(each.name for each in found)
    return found, "; ".join([f"reading {names}", *said])


def _followed_journal(wish: Wish, pack: Pack, after: str | None, *, recover: bool) -> Resumable:
    from watcher.sources.journal import JournalSource, Span
    from watcher.sources.journal_entry import MISSED
    from watcher.sources.journal_files import Where

    unseen = None if wish.directory or wish.namespace else _journal_unseen()
    if unseen and wish.kind == "auto":
        raise SourceError(unseen)
    since = now_us() - RECOVERED_DAYS * 86_400_000_000 if recover else None
    boot = None if recover or wish.directory else this_host().boot_id
    # From the start of this boot; once there is a place to go on from, every boot after it.
    span = Span(after=after) if after else Span(boot_id=boot, since_us=since)
    where = Where(directory=wish.directory, namespace=wish.namespace)
    return JournalSource(pack.prefilter(MISSED), where, span)


def _followed_kmsg(
    wish: Wish,
    pack: Pack,
    after: str | None,
    *,
    recover: bool,  # noqa: ARG001 - as its neighbour
) -> Resumable:
    from watcher.sources.kmsg import KmsgSource

    return KmsgSource(pack.prefilter(), after=after)


_READ: Final = {
    "auto": ("kmsg", "journal"),
    "both": ("kmsg", "journal"),
    "journal": ("journal",),
    "kmsg": ("kmsg",),
}
_OPEN: Final = {"kmsg": _followed_kmsg, "journal": _followed_journal}


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
