"""What real kernels do to those who read their log, beyond single denials."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.lab.kernels import kernel
from tests.lab.matrix import AT_A_TIME
from tests.lab.parts import need_lab
from tests.lab.small import CONFIDENTIALITY, INTEGRITY, UNLOCKED, Answer, Mode, boot, judged
from tests.test_corpus import events as events_of_text
from watcher.errors import SourceError
from watcher.pack import load_pack
from watcher.sources.kmsg import KmsgSource

pytestmark = pytest.mark.timeout(1200)

NOBODY: Final = 65_534
EVIL: Final = b"evil: hib\n<0>x"
BURST: Final = 10
"""Lines that the kernel's rate limit lets through in 5 s (DEFAULT_RATELIMIT_BURST, 6.1)."""

AT_BOOT: Final = 14
"""What that kernel denies itself as it boots in confidentiality mode (EXPECTED_BOOT)."""


class Scenario(NamedTuple):
    """A boot of bookworm's kernel, and what is done in it."""

    mode: Mode
    plan: tuple[str, ...]
    append: str = ""


SCENARIOS: Final = {
    "flood": Scenario(
        INTEGRITY,
        (
            "dev_mem times=25",
            "dev_mem",
            f"power_read uid={NOBODY} comm={EVIL.hex()}",
            "forge",
            f"kmsg_open uid={NOBODY}",
            "wash",
            "dev_mem",
        ),
    ),
    "noise": Scenario(CONFIDENTIALITY, ("dev_mem times=12", "kcore now times=3", "dev_mem")),
    "closed": Scenario(INTEGRITY, ("dev_mem", "kmsg_open"), "printk.devkmsg=off"),
    "malformed": Scenario(UNLOCKED, ("level",), "lockdown=please"),
}


@pytest.fixture(scope="module")
def boots() -> Iterator[dict[str, Future[list[Answer]]]]:
    """All scenarios, under way AT_A_TIME."""
    need_lab()
    debian = kernel("bookworm-6.1")
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {
            name: pool.submit(partial(boot, append=s.append), debian, s.mode, s.plan)
            for name, s in SCENARIOS.items()
        }
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def flood(boots: dict[str, Future[list[Answer]]]) -> list[Answer]:
    """The answers of the scenario that has most of it."""
    return boots["flood"].result()


def test_the_rate_limit_is_told_exactly(flood: list[Answer]) -> None:
    """25 denials are 10 lines; the next denial brings the count of the rest, and that is exact."""
    storm, after = flood[1:3]
    assert [e.kind for e in storm.events] == ["lockdown.denied"] * BURST
    assert [e.kind for e in after.events] == ["lockdown.suppressed", "lockdown.denied"]
    assert after.events[0].lockdown.suppressed == 25 - BURST
    assert len({e.id for e in (*storm.events, *after.events)}) == BURST + 2


def test_a_hostile_name_and_an_unprivileged_reader(flood: list[Answer]) -> None:
    """Anybody can put a name into a real line, newline and all: it stays a name."""
    answer = flood[3]
    assert answer.error == 0  # reading succeeds
    (event,) = answer.events
    assert (event.kind, event.lockdown.reason) == ("lockdown.denied", "hibernation")
    assert event.process.comm == EVIL.decode()
    assert event.origin.trust == "kernel"
    assert any("mislead" in warning for warning in event.warnings)


def test_a_line_that_root_forged(flood: list[Answer]) -> None:
    """What root writes to /dev/kmsg has facility 1, whatever it asked for, and is not believed."""
    (event,) = flood[4].events
    assert event.kind == "lockdown.forged"
    assert event.severity == "high"
    assert event.origin.trust == "injected"


def test_dmesg_restrict(flood: list[Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    """With dmesg_restrict=1, Debian's default, nobody gets EPERM; we say what to do."""
    assert flood[5].error == errno.EPERM
    refused_open_is_told(monkeypatch, flood[5].error)


def test_an_announcement_fallen_out_of_the_ring(flood: list[Answer]) -> None:
    """A ring that was washed over gives a gap with the exact count, and then what is left.

    Which is a denial after a line that root forged, and so more than a denial (forged_first.yml).
    """
    washed, after = flood[6:8]
    gaps = [e for answer in (washed, after) for e in answer.events if e.kind == "watch.gap"]
    seqs = [int(r.split(b",", 2)[1]) for answer in flood for r in answer.records]
    missing = seqs[-1] + 1 - len(seqs)
    assert missing > 0
    assert [e.gap.count for e in gaps if e.gap] == [missing]
    denied, matched = (e for e in after.events if e.kind != "watch.gap")
    assert denied.kind == "lockdown.denied"
    assert [match.title for match in matched.rules] == ["A forged kernel line, and then a real one"]


def test_a_reader_that_comes_too_late(flood: list[Answer]) -> None:
    """Who first reads after that knows that he knows not: the gap is from record 0 on."""
    washed = flood[6]
    ring = Answer(washed.step, 0, "", washed.records[-50:])
    (late,) = judged([ring])
    (gap,) = late.events
    assert gap.kind == "watch.gap"
    assert gap.gap
    assert gap.gap.cause == "kmsg_overwritten_before_start"
    assert gap.gap.count == int(ring.records[0].split(b",", 2)[1])


def test_boot_noise_eats_the_budget(boots: dict[str, Future[list[Answer]]]) -> None:
    """In confidentiality mode the kernel's own tracing uses the burst up at boot.

    What went beyond it is counted by the first denial after that.
    """
    start, after = boots["noise"].result()[:2]
    logged = sum(e.kind == "lockdown.denied" for e in start.events)
    counts = [e.lockdown.suppressed or 0 for e in (*start.events, *after.events)]
    assert logged >= BURST
    assert sum(counts) > 0
    assert logged + sum(counts) == AT_BOOT


def test_a_denial_in_the_noise_is_silent(boots: dict[str, Future[list[Answer]]]) -> None:
    """Once the burst is used up, another reason leaves no line either; the next report counts it.

    12 denials of one reason are the noise: they begin a window, and 10 of them use it up.
    """
    noise, silent, after = boots["noise"].result()[1:]
    assert [e.kind for e in noise.events[-BURST:]] == ["lockdown.denied"] * BURST
    assert silent.error == errno.EPERM
    assert silent.events == []
    assert [e.kind for e in after.events] == ["lockdown.suppressed", "lockdown.denied"]
    assert after.events[0].lockdown.suppressed == 12 - BURST + 3


def test_a_closed_kmsg(
    boots: dict[str, Future[list[Answer]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With printk.devkmsg=off not even root may open /dev/kmsg; syslog(2) still gives the lines.

    What dmesg prints then gives the same events, though nobody can vouch for them.
    """
    _, denied, opened = boots["closed"].result()
    assert opened.error == errno.EPERM
    refused_open_is_told(monkeypatch, opened.error)
    text = tmp_path / "dmesg-r"
    text.write_bytes(b"\n".join(denied.records) + b"\n")
    found = events_of_text(text)
    assert [(e["kind"], e["lockdown"]["reason"], e["process"]["comm"]) for e in found] == [
        ("lockdown.enabled", None, None),
        ("lockdown.denied", "acpi_tables", "swapper"),
        ("lockdown.effect", None, None),
        ("lockdown.denied", "hibernation", "swapper/0"),
        ("lockdown.denied", "dev_mem", "dev_mem"),
    ]
    assert {e["origin"]["trust"] for e in found} == {"unverified"}


def test_a_malformed_option(boots: dict[str, Future[list[Answer]]]) -> None:
    """lockdown=please locks nothing, and that is said."""
    start, level = boots["malformed"].result()
    assert [e.message for e in start.events] == ["Malformed early option 'lockdown'"]
    assert level.note == "level: none"


def refused_open_is_told(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """What the guest's kernel answered, answered here: the source refuses and says why."""

    def refuse(*_: object) -> int:
        raise OSError(error, os.strerror(error))

    prefilter = load_pack().prefilter()
    with monkeypatch.context() as here:
        here.setattr(os, "open", refuse)
        with pytest.raises(SourceError, match="journal may still be readable"):
            KmsgSource(prefilter)
