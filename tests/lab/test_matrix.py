"""Every provocation gives what it must: its errno, its event, and that event once.

The quick set is bookworm's own kernel, in each mode and under real Secure Boot. FULL=1 boots
every kernel in every mode and rewrites docs/lab.md; REFRESH=1 boots what tests/corpus/lab-* is
made of and rewrites it. Both only if all that ran before has passed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from tests.lab import corpus, page
from tests.lab.expected import COLUMNS, EXCEPT, EXPECTED, EXPECTED_BOOT
from tests.lab.kernels import WANTED
from tests.lab.matrix import OPERATIONS, Boot, Cell, Matrix, modes_of
from tests.lab.parts import need_lab
from tests.lab.small import Mode, kernel_texts
from tests.parts import asked
from watcher.event import Event
from watcher.lockdown import REASONS

pytestmark = pytest.mark.timeout(1200)

FULL: Final = asked("FULL")
REFRESH: Final = asked("REFRESH")
SUPPRESSED: Final = re.compile(r"lockdown_is_locked_down: (\d+) callbacks suppressed")


def pairs() -> list[tuple[str, Mode]]:
    """The kernels and modes of this run."""
    names = WANTED if FULL else ("bookworm-6.1",)
    booted = [(name, mode) for name in names for mode in modes_of(name)]
    return list(dict.fromkeys([*booted, *(corpus.BOOTS if REFRESH else ())]))


def boots() -> list[tuple[str, str]]:
    """The kernels and modes of this run, by name."""
    return [(name, mode.name) for name, mode in pairs()]


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    """All boots of this run, under way AT_A_TIME; what has not begun at the end is not."""
    need_lab()
    with Matrix(pairs()) as running:
        yield running


@pytest.fixture
def boot(matrix: Matrix, name: str, mode: str) -> Boot:
    """One boot of the matrix, awaited."""
    found = matrix.boot(name, mode)
    if not found:  # a suite that moves: said
        pytest.skip(f"the archive has no kernel {name} now: {matrix.absent[name]}")
    return found


def outcome(cell: Cell) -> str:
    """The errno of a cell, what it gave to read, and its events, in the words of EXPECTED."""
    answered = f"({cell.note})" if cell.operation.answers else ""
    events = (said(e) for e in cell.events if e.kind != "lockdown.suppressed")  # see below
    return " ".join(filter(None, [cell.errno, answered, *events]))


def said(event: Event) -> str:
    """The reason of a denial, the kind of anything else."""
    return (event.kind == "lockdown.denied" and event.lockdown.reason) or event.kind


@pytest.mark.parametrize("key", EXPECTED)
@pytest.mark.parametrize(("name", "mode"), boots())
def test_provocation(boot: Boot, name: str, mode: str, key: str) -> None:
    """It gives the errno and exactly the events that it must, each once and in order."""
    (cell,) = [cell for cell in boot.cells() if cell.operation.key == key]
    row = EXCEPT.get(name, {}).get(key, EXPECTED[key])
    assert outcome(cell) == row[COLUMNS.index(mode)], (cell.note, cell.lines)


@pytest.mark.parametrize(("name", "mode"), boots())
def test_a_boot_by_itself(boot: Boot, name: str, mode: str) -> None:
    """Each event of a boot is there as often as it must be; what the limit cut off is counted.

    How much that is depends on how fast the machine boots, the sum of both does not.
    """
    expected = EXPECTED_BOOT[name][COLUMNS.index(mode)]
    found = Counter(said(e) for e in boot.answers[0].events if e.kind != "lockdown.suppressed")
    unlogged = expected - found
    assert not found - expected
    assert unlogged.keys() <= {"tracefs", "hibernation"}
    suppressed = [e.lockdown.suppressed or 0 for e in boot.events if e.lockdown.suppressed]
    assert unlogged.total() == sum(suppressed)


@pytest.mark.parametrize(("name", "mode"), boots())
def test_what_the_rate_limit_says(boot: Boot) -> None:
    """A count of suppressed denials is an event where the kernel says it, and nowhere else."""
    for answer in boot.answers:
        counts = [e.lockdown.suppressed for e in answer.events if e.kind == "lockdown.suppressed"]
        lines = [SUPPRESSED.fullmatch(text) for text in kernel_texts(answer.records)]
        assert counts == [int(line[1]) for line in lines if line], answer.step


@pytest.mark.parametrize(("name", "mode"), boots())
def test_announcement(boot: Boot, mode: str) -> None:
    """The announcement is the first event of a locked boot, once; an unlocked boot has none."""
    start = boot.answers[0]
    announced = [e for e in start.events if e.kind == "lockdown.enabled"]
    causes = {"unlocked": [], "Secure Boot": ["efi_secure_boot"]}.get(mode, ["command_line"])
    assert [e.lockdown.cause for e in announced] == causes
    assert start.events[: len(announced)] == announced
    states = [e.secure_boot.state for e in start.events if e.secure_boot]
    assert states == (["enabled"] if mode == "Secure Boot" else [])


@pytest.mark.parametrize(("name", "mode"), boots())
def test_every_event_is_one(boot: Boot) -> None:
    """One event a line, nothing is unknown, forged or a gap, and every denial has its process."""
    assert len({event.id for event in boot.events}) == len(boot.events)
    assert len({event.origin.seq for event in boot.events}) == len(boot.events)
    assert {e.kind for e in boot.events} <= {
        "lockdown.enabled", "lockdown.denied", "lockdown.effect", "lockdown.suppressed",
        "secureboot.state", "module.signature", "kexec.signature", "bpf.warning",
    }  # fmt: skip
    for answer in boot.answers[1:]:
        name_hex = answer.step.partition("comm=")[2]
        denials = [e for e in answer.events if e.kind == "lockdown.denied"]
        assert {e.process.comm for e in denials} <= {bytes.fromhex(name_hex).decode()}


def test_the_table_is_whole() -> None:
    """Every operation is expected something, and every reason is reached or its absence told."""
    assert set(EXPECTED) == {op.key for op in OPERATIONS}
    assert set(EXPECTED_BOOT) == set(WANTED)
    reached = {op.reason for op in OPERATIONS}
    assert set(REASONS) == reached - {None} | page.UNREACHED.keys()


def test_all_boots_end_and_are_written(matrix: Matrix, request: pytest.FixtureRequest) -> None:
    """Every guest came to its end; what was asked for is written, unless something has failed."""
    finished = matrix.finished()
    if FULL or REFRESH:
        assert not request.session.testsfailed, "something failed: nothing is written"
    if FULL:
        page.write(finished, matrix.absent)
    if REFRESH:
        corpus.write(finished)
        assert not {name for name, _ in corpus.BOOTS} & matrix.absent.keys(), matrix.absent
