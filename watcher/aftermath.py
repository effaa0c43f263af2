"""What a command that ran under watch met with: reads the rest of the log, and tells."""

from __future__ import annotations

import os
import sys
import time
from typing import Final

from watcher.detect import judge
from watcher.diagnose.witnessed import Window, witnessed
from watcher.errors import SourceError
from watcher.host import KernelClock, now_us, this_host
from watcher.pages import diagnosis_page
from watcher.posture import BootLog, inspect
from watcher.provenance import trust_of
from watcher.record import Place, Record
from watcher.sinks.plain import plain
from watcher.sources.kmsg_record import parse_record, whole_line
from watcher.this_boot import journal_since, this_boot
from watcher.witness import NOT_FOUND, Seen

_JOURNAL_LAG_S: Final = 0.3
"""How long journald is given to write down what the kernel said at the very end."""


def tell(seen: Seen, *, as_json: bool) -> None:
    """Say on stderr what the kernel refused meanwhile and, if the command failed, why."""
    if not seen.started:
        why = "no such command" if seen.status == NOT_FOUND else "it cannot be executed"
        sys.stderr.write(f"lockdown-watcher: {plain(seen.command[0])}: {why}\n")
        return
    log = _of_window(seen)
    window = Window(
        command=tuple(seen.command),
        succeeded=seen.succeeded,
        names=frozenset(seen.names),
        denials=tuple(log.denials),
        signatures=tuple(log.signatures),
        suppressed=log.suppressed,
        lost=seen.lost + log.lost,
        unseen=log.unseen,
    )
    found = witnessed(window, inspect().with_log(this_boot()))
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    text = diagnosis_page.render_witnessed(found, seen, as_json=as_json)
    import click

    click.echo(text if as_json or colour else click.unstyle(text), err=True)


def _of_window(seen: Seen) -> BootLog:
    """Give what the log said meanwhile: from the ring buffer, or else from the journal."""
    if seen.unseen is None:
        log = BootLog("/dev/kmsg")
        for raw in seen.lines:
            _take(raw, log)
        return log
    time.sleep(_JOURNAL_LAG_S if not seen.succeeded else 0)
    try:
        return journal_since(seen.started_us)
    except SourceError as error:
        return BootLog(unseen=f"{seen.unseen}; {error}")


def _take(raw: bytes, log: BootLog) -> None:
    parsed = parse_record(raw)
    if parsed is None:
        return
    fields = parsed.fields()
    record = Record(
        whole_line(fields), Place("kmsg", seq=parsed.seq), trust_of(fields), fields, this_host(),
        now_us(),
    )  # fmt: skip
    if found := judge(record):
        clock = KernelClock()
        clock.look()
        log.add(found, clock.time_of(parsed.usec)[0], parsed.usec, record.text)
