"""56,477 lines in three seconds, through the real /dev/kmsg: each is read, or counted as lost."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.journal.real import (
    MISSED,
    PACK,
    Journald,
    judged,
    lockdown_line,
    mark,
    unlimited_kmsg,
)
from watcher.detect import Detector
from watcher.event import Event
from watcher.follow import Stop, follow
from watcher.record import Gap, Record
from watcher.rules import Prefilter
from watcher.sources.journal import JournalSource
from watcher.sources.journal_files import Where
from watcher.sources.kmsg import KmsgSource

LINES: Final = 56_477
SECONDS: Final = 3.0
EVERY: Final = 100
"""One line in so many reads like a denial."""

DENIALS: Final = len(range(0, LINES, EVERY))


def burst(word: str, seconds: float) -> float:
    """Write LINES lines evenly over `seconds` (0: as fast as can be); tell how long it took."""
    with unlimited_kmsg() as write:
        started = time.monotonic()
        for number in range(LINES):
            ahead = started + seconds * number / LINES - time.monotonic()
            if ahead > 0.001:
                time.sleep(ahead)
            name = f"{word} {number}"
            text = lockdown_line(name) if number % EVERY == 0 else f"br-0: {name} entered blocking"
            write(f"<5>{text}\n")
        return time.monotonic() - started


class Counted(KmsgSource):
    """A KmsgSource that remembers which gaps there were."""

    def __init__(self) -> None:
        super().__init__(PACK.prefilter(), since="now")
        self.first = self.next_seq
        self.gaps: list[Gap] = []

    def read(self) -> Iterator[list[Record | Gap]]:
        """Give what the source gives, and remember the gaps."""
        for batch in super().read():
            self.gaps += [item for item in batch if isinstance(item, Gap)]
            yield batch


def numbers(events: list[Event], word: str) -> list[int]:
    """The numbers of the denials of a burst that became events."""
    found = (re.search(rf"{word} (\d+)", event.message) for event in events)
    return [int(match[1]) for match in found if match]


@pytest.mark.parametrize("seconds", [SECONDS, 0.0], ids=["paced", "unpaced"])
def test_every_line_of_a_burst_is_read_or_counted(seconds: float) -> None:
    """The follow loop beside a burst: lines read and lines in watch.gap are all there were."""
    word = mark()
    source, events = Counted(), list[Event]()
    with Stop() as stop:

        def work() -> None:
            burst(word, seconds)
            with unlimited_kmsg() as write:
                write(f"<5>{lockdown_line(word + ' 999999')}\n")

        def seen() -> None:
            # The last line cannot be lost: nothing comes after it.
            if 999_999 in numbers(events[-2:], word):
                stop.requested = True

        writer = threading.Thread(target=work)
        writer.start()
        follow(source, Detector(PACK), events.append, drained=seen, stop=stop)
        writer.join()
    lost = sum(gap.count or 0 for gap in source.gaps)
    assert source.lines_read + lost == source.next_seq - source.first
    assert source.lines_read + lost >= LINES + 1
    told = [event.gap for event in events if event.kind == "watch.gap"]
    assert sum(gap.count or 0 for gap in told if gap) == lost
    forged = [
        event for event in events if event.kind == "lockdown.forged" and word in event.message
    ]
    seen_numbers = numbers(forged, word)
    assert seen_numbers == sorted(set(seen_numbers))
    # What is missing of the denials lies in the gaps, which hold no other lines than ours
    # but for what else the kernel said meanwhile.
    missing = DENIALS + 1 - len(forged)
    assert missing <= lost
    if not lost:
        assert missing == 0
        assert not told
    print(
        f"burst: {source.lines_read} read, {lost} lost in {len(source.gaps)}, told in {len(told)}"
    )


def test_gaps_of_a_burst_have_exact_bounds() -> None:
    """A reader held up in an unpaced burst: each gap ends where the next line read begins."""
    word = mark()
    with contextlib.closing(KmsgSource(Prefilter([None]), since="now")) as source:
        expected = source.next_seq
        found: list[Record | Gap] = []
        for _ in range(2):
            burst(word, 0.0)
            found += [item for batch in source.read() for item in batch]
        end = source.next_seq
    before: Record | None = None
    gap: Gap | None = None
    count = 0
    for item in found:
        assert item.place.seq == expected
        if isinstance(item, Gap):
            assert item.count is not None
            gap, count, expected = item, count + item.count, expected + item.count
            continue
        if gap:
            assert gap.to_us == item.time_us
            if before and before.time_us and gap.from_us:
                assert abs(gap.from_us - before.time_us) < 50_000
        before, gap, expected = item, None, expected + 1
    assert expected == end
    assert count > LINES


def test_a_gap_is_told_though_the_log_is_never_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that concern nobody do not hold back the news of a loss for ever."""
    monkeypatch.setattr("watcher.follow.HELD_S", 0.3)
    events: list[Event] = []
    source = Counted()
    burst(mark(), 0.0)
    deadline = time.monotonic() + 10
    with Stop() as stop, unlimited_kmsg() as write:

        def chatter() -> None:
            while not stop.requested and time.monotonic() < deadline:
                write("<5>nothing that matters\n")
                time.sleep(0.02)

        def told() -> None:
            stop.requested = any(e.gap for e in events) or time.monotonic() > deadline

        thread = threading.Thread(target=chatter)
        thread.start()
        follow(source, Detector(PACK), events.append, drained=told, stop=stop)
        thread.join()
    assert time.monotonic() < deadline
    assert [event.gap.count for event in events if event.gap] == [source.gaps[0].count]


@pytest.mark.parametrize("seconds", [SECONDS, 0.0], ids=["paced", "unpaced"])
def test_a_real_journald_counts_what_it_misses(seconds: float) -> None:
    """Kernel entries in a real journal and its own Missed counts are together all the lines."""
    word = mark()
    entries, notes = 0, list[Gap]()
    with Journald() as journald:
        burst(word, seconds)
        with unlimited_kmsg() as write:
            write(f"<5>{word} the end\n")
        last = last_seq(f"{word} the end")
        where = Where(namespace=journald.namespace)
        source = JournalSource(Prefilter([None]), where, matches=(("_TRANSPORT=kernel",), *_MISSED))
        with contextlib.closing(source):
            ended = False
            while not ended:
                journald.sync()
                for item in (item for batch in source.read() for item in batch):
                    if isinstance(item, Gap):
                        notes.append(item)
                    elif not ended:
                        entries += 1
                        ended = item.text == f"{word} the end"
    # journald began at the boot's record 0, so the whole must come out even.
    lost = sum(note.count or 0 for note in notes)
    assert entries + lost == last + 1
    told = [event.gap for event in judged(notes)]
    assert sum(gap.count or 0 for gap in told if gap) == lost
    print(f"journald: {entries} entries, {lost} missed in {len(notes)}, told in {len(told)}")


def last_seq(text: str) -> int:
    """The sequence number of the newest record of the ring with that text."""
    with contextlib.closing(KmsgSource(Prefilter([frozenset({text})]))) as ring:
        found = [item for batch in ring.read() for item in batch if isinstance(item, Record)]
    (seq,) = (item.place.seq for item in found if item.text == text)
    assert seq is not None
    return seq


_MISSED: Final = (("_TRANSPORT=driver", "MESSAGE_ID=e9bf28e6e834481bb6f48f548ad13606"),)


def test_a_followed_journal_tells_the_whole_loss() -> None:
    """The follow loop on a real journald in a burst: forged lines and losses are both told."""
    word = mark()
    events: list[Event] = []
    with Journald() as journald:
        source = JournalSource(PACK.prefilter(MISSED), Where(namespace=journald.namespace))
        with Stop() as stop:

            def seen() -> None:
                stop.requested = 999_999 in numbers(events[-2:], word)

            def work() -> None:
                burst(word, 0.0)
                with unlimited_kmsg() as write:
                    write(f"<5>{lockdown_line(word + ' 999999')}\n")

            writer = threading.Thread(target=work)
            writer.start()
            follow(source, Detector(PACK), events.append, drained=seen, stop=stop)
            writer.join()
    forged = numbers([event for event in events if event.kind == "lockdown.forged"], word)
    assert forged == sorted(set(forged))
    lost = sum(event.gap.count or 0 for event in events if event.gap)
    assert DENIALS + 1 - len(forged) <= lost
    print(f"journal followed: {len(forged)} of {DENIALS + 1} denials, {lost} lines missed")
