"""Reading the whole ring of /dev/kmsg."""

from __future__ import annotations

import os

from tests.bench.inside import Part, in_turn
from tests.bench.measure import Program, nothing, side_by_side
from tests.bench.setting import Setting
from tests.bench.table import alone, commands, seconds, table, verdict_of
from watcher.errors import SourceError
from watcher.pack import load_pack
from watcher.sources.kmsg import KmsgSource

TITLE = "Live: the ring of /dev/kmsg"
_WORDS = """\
In one process, per record, over the {records:,} records that this machine's ring held,
{wanted:,} of them about lockdown (those are parsed, which costs far more than to pass): the source
of `watch --source kmsg` with the shipped pack's prefilter, and the least that any Python reader
does, a loop of `os.read` (one system call a record: the kernel gives no more at a time).
"""


def measure(setting: Setting) -> str:
    """Give the section of the page."""
    try:
        records = _bare()
    except OSError as error:
        return f"Not measured here: /dev/kmsg: {error.strerror}.\n"
    parts = [Part("KmsgSource", _source), Part("bare os.read loop", _bare)]
    timed = in_turn(parts, setting.runs * 5)
    rows = [(each.name, seconds(each.median), f"{timed[0].times(each):.2f}") for each in timed]
    shown = table(("reader", "per record", "against ours"), rows)
    bare = timed[1].times(timed[0])
    setting.at_most("a record of /dev/kmsg: time against a bare loop of os.read", bare, 1 / 0.7)
    verdict = verdict_of([(timed[1].name, timed[0].times(timed[1]))])
    return "\n".join(
        [_WORDS.format(records=records, wanted=_wanted()), shown, verdict + "\n", *_dmesg(setting)]
    )


def _dmesg(setting: Setting) -> list[str]:
    if not setting.peers.available("dmesg"):
        return []
    series = side_by_side([Program("dmesg", ("dmesg",), nothing)], setting.runs, setting.cache)
    words = "`dmesg`, the whole program, which formats and prints every record:\n"
    return [words, alone(series), commands(series)]


def _source() -> int:
    try:
        source = KmsgSource(_PREFILTER)
    except SourceError as error:
        raise RuntimeError("readable a moment ago") from error
    for _ in source.read():
        pass
    source.close()
    return source.lines_read


def _wanted() -> int:
    source = KmsgSource(_PREFILTER)
    try:
        return sum(len(batch) for batch in source.read())
    finally:
        source.close()


def _bare() -> int:
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    count = 0
    try:
        while os.read(fd, 16_384):
            count += 1
    except BlockingIOError:
        pass
    finally:
        os.close(fd)
    return count


_PREFILTER = load_pack().prefilter()
