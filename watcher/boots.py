"""Every boot that a journal knows, one row each, and what changed from one to the next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from watcher.lockdown.causes import CauseId
from watcher.lockdown.lines import SecureBootState
from watcher.posture import BootLog, Firmware, Kernel, PostureLevel
from watcher.posture.kernel import family_of, kept_parameters, lineage_of, version_of
from watcher.posture.standing import standing
from watcher.record import Gap, Record
from watcher.rules import Prefilter
from watcher.this_boot import WORDS, take

_MORE_WORDS: Final = (b"linux version ", b"command line: ")


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot; times are Epoch microseconds of its first and last entry in the journal.

    `level` is the least that its lines prove, None if too little of it is left to say.
    """

    id: str
    first_us: int | None
    last_us: int | None
    kernel: str | None
    level: PostureLevel | None
    cause: CauseId | None
    secure_boot: SecureBootState | None
    log: BootLog
    changes: tuple[str, ...] = ()


@dataclass
class _Telling:
    """What the lines of one boot told so far."""

    log: BootLog = field(default_factory=lambda: BootLog("the journal"))
    version_line: str = ""
    command_line: str | None = None

    def take(self, item: Record | Gap) -> None:
        """Take in one record or gap."""
        if isinstance(item, Record) and item.trust == "kernel":
            self._facts(item)
        take(item, self.log)

    def _facts(self, record: Record) -> None:
        if record.text.startswith("Linux version ") and not self.version_line:
            self.version_line = record.text[:1000]
            self.log.complete = not record.monotonic_us
        elif found := re.match(r"(?:Kernel command|Command) line: (.{0,4096})", record.text):
            self.command_line = found[1]


def boots(directory: str | None = None, namespace: str | None = None) -> list[Boot]:
    """Read a journal's boots, the oldest first. Raises SourceError where it cannot be read."""
    from watcher.sources.journal import JournalSource, Span
    from watcher.sources.journal_entry import MISSED
    from watcher.sources.journal_files import Where, stretches

    where = Where(directory, (), namespace)
    source = JournalSource(Prefilter([], *WORDS, *_MORE_WORDS, MISSED), where, Span(past=True))
    told: dict[str, _Telling] = {}
    for batch in source.read():
        for item in batch:
            told.setdefault(item.host.boot_id or "", _Telling()).take(item)
    source.close()
    rows = (_boot(*stretch, told.get(stretch[0], _Telling())) for stretch in stretches(where))
    return list(with_changes(rows))


def _boot(boot_id: str, first_us: int | None, last_us: int | None, telling: _Telling) -> Boot:
    kernel = _kernel(telling)
    log = telling.log
    firmware = Firmware(secure_boot={"enabled": True, "disabled": False}.get(log.secure_boot or ""))
    stands = standing(kernel, firmware, None, log, first_us)
    return Boot(
        boot_id, first_us, last_us, kernel.release, stands.level, stands.cause, log.secure_boot, log
    )


def _kernel(telling: _Telling) -> Kernel:
    found = re.match(r"Linux version (\S{1,200})", telling.version_line)
    release = found[1] if found else None
    version, family = version_of(release or ""), family_of(telling.version_line)
    words = None if telling.command_line is None else kept_parameters(telling.command_line)
    return Kernel(
        release, version, family, lineage_of(version, family), None, None, words
    )  # fmt: skip


# --- what changed


def with_changes(rows: Iterable[Boot]) -> Iterator[Boot]:
    """Give the boots with what changed since the one before that could tell."""
    from dataclasses import replace

    before: Boot | None = None
    for boot in rows:
        yield replace(boot, changes=tuple(_changes(before, boot))) if before else boot
        before = boot if boot.log.complete or before is None else before


def _changes(before: Boot, now: Boot) -> Iterator[str]:
    if None not in (before.secure_boot, now.secure_boot) and before.secure_boot != now.secure_boot:
        words = {"enabled": "with", "disabled": "without"}.get(
            now.secure_boot or "", "with unclear"
        )
        yield f"booted {words} Secure Boot, unlike before"
    if None not in (before.level, now.level) and before.level != now.level:
        yield f"lockdown level {now.level}, before {before.level}"
    elif now.cause and before.cause and now.cause != before.cause:
        yield f"locked down by {now.cause}, before by {before.cause}"
    if now.kernel and before.kernel and now.kernel != before.kernel:
        yield f"kernel {now.kernel}, before {before.kernel}"
    if now.log.lifted:
        yield "lockdown was lifted at run time"
    if fresh := sorted(set(now.log.reasons) - set(before.log.reasons)):
        yield f"denials not seen in the boot before: {', '.join(fresh)}"
