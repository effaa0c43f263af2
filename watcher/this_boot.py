"""What the kernel log of this boot says about lockdown: the ring buffer, or else the journal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from watcher.detect import judge
from watcher.errors import SourceError
from watcher.host import now_us, this_host
from watcher.posture import BootLog
from watcher.record import Gap, Record
from watcher.rules import Prefilter

WORDS: Final = (
    b"lockdown",
    b"locked down",
    b"secure boot",
    b"secureboot",
    b" module",
    b"signature",
    b"kexec",
    b"unsigned pe",
)
"""One of these, in lower case, stands in every line that the catalogue takes for a fact here."""

PATIENCE_S: Final = 0.12
"""How long a journal is read for `status`: what locks a kernel down stands at its beginning."""


class _Source(Protocol):
    def read(self) -> Iterator[Sequence[Record | Gap]]: ...


def this_boot(patience_s: float = PATIENCE_S) -> BootLog:
    """Read this machine's log of this boot; what cannot be read is said in `unseen`."""
    ring, why_not = _ring()
    if ring and ring.complete:
        return ring
    try:
        journal = _journal(patience_s)
    except SourceError as error:
        journal, why_not = None, f"{why_not}; {error}" if why_not else str(error)
    if journal and (journal.complete or journal.announced or not ring):
        return journal
    return ring or BootLog(unseen=why_not or "no kernel log can be read")


def boot_of_tree(root: str) -> BootLog:
    """Read the log that lies in a copied tree: its journal's last boot, or var/log/dmesg."""
    for place, read in (("var/log/journal", _last_boot), ("var/log/dmesg", _text)):
        path = Path(root, place)
        if path.exists():
            try:
                return read(str(path))
            except SourceError as error:
                return BootLog(unseen=str(error))
    return BootLog(unseen="no log of a boot lies in this tree (var/log/journal, var/log/dmesg)")


def gathered(source: _Source, log: BootLog, until_s: float = float("inf")) -> BootLog:
    """Take in all that a source has, at most until that time of the monotonic clock."""
    for batch in source.read():
        for item in batch:
            take(item, log)
        if time.monotonic() > until_s:
            log.unseen = "the log is long and was read in part only"
            break
    return log


def take(item: Record | Gap, log: BootLog) -> None:
    """Take in one record or gap. A line that a process wrote is counted as forged, no more."""
    if isinstance(item, Gap):
        log.lose(item.count)
    elif found := judge(item):
        log.add(found, item.time_us, item.monotonic_us, item.text)


def _ring() -> tuple[BootLog | None, str]:
    from watcher.sources.kmsg import KmsgSource

    try:
        source = KmsgSource(Prefilter([], *WORDS))
    except SourceError as error:
        return None, str(error)
    try:
        log = gathered(source, BootLog("/dev/kmsg"))
    except SourceError as error:
        return None, str(error)
    finally:
        source.close()
    # The gap before the first line is the ring's: it forgets the oldest.
    log.complete = not log.gaps and source.next_seq > 0
    return log, ""


def _journal(patience_s: float) -> BootLog | None:
    from watcher.sources.journal_files import Where, kernel_seen

    boot = this_host().boot_id
    if not kernel_seen(Where(), boot):
        raise SourceError("the journal shows no kernel line of this boot (to this user)")
    return _boot_in(Where(), boot, time.monotonic() + patience_s)


def journal_since(since_us: int) -> BootLog:
    """Read what this machine's journal has of this boot's kernel since Epoch microseconds.

    Raises SourceError where it shows no kernel line to this user.
    """
    from watcher.sources.journal_files import Where, kernel_seen

    boot = this_host().boot_id
    if not kernel_seen(Where(), boot):
        raise SourceError("the journal shows no kernel line of this boot (to this user)")
    return _boot_in(Where(), boot, float("inf"), since_us)


def _last_boot(directory: str) -> BootLog:
    from watcher.sources.journal_files import Where, boots

    where = Where(directory=directory)
    known = boots(where)
    return (
        _boot_in(where, known[-1], float("inf")) if known else BootLog(unseen=f"{where} is empty")
    )


def _boot_in(
    where: object, boot: str | None, until_s: float, since_us: int | None = None
) -> BootLog:
    from watcher.sources.journal import JournalSource, Span
    from watcher.sources.journal_entry import MISSED

    span = Span(boot, since_us, past=True)
    source = JournalSource(Prefilter([], *WORDS, MISSED), where, span)  # type: ignore[arg-type]
    log = gathered(source, BootLog("the journal"), until_s)
    log.complete = bool(log.announced or log.secure_boot) and not log.unseen and not log.gaps
    source.close()
    return log


def _text(file: str) -> BootLog:
    from watcher.sources.text import TextSource

    text = TextSource([file], wanted=Prefilter([], *WORDS).wants, now_us=now_us)
    log = gathered(text, BootLog(file))
    log.complete = _from_the_start(file)
    return log


def _from_the_start(file: str) -> bool:
    """Tell whether a saved log begins with the boot: the kernel's clock is 0 there."""
    with Path(file).open("rb") as opened:
        head = opened.read(200)
    return b"0.000000]" in head or b",0,-;" in head
