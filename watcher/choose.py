"""Which source to read, and why: said on stderr, for silence must never be a riddle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from watcher.errors import SourceError
from watcher.follow import Source
from watcher.host import this_host
from watcher.rules import Pack

SourceKind = Literal["auto", "journal", "kmsg"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for; `since_us` is Epoch microseconds, or "boot" or "now"."""

    kind: SourceKind = "auto"
    directory: str | None = None
    namespace: str | None = None
    since: int | Literal["boot", "now"] = "boot"


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
