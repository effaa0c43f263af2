"""Every provocation gives what it must: its errno, its event, and that event once.

The quick set is bookworm's own kernel, in each mode and under real Secure Boot. FULL=1 boots
every kernel in every mode and rewrites docs/lab.md; REFRESH=1 rewrites tests/corpus/lab-*.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import pytest

from tests.lab import corpus, page
from tests.lab.kernels import WANTED, kernel
from tests.lab.matrix import OPERATIONS, Boot, Cell, Matrix, modes_of
from tests.lab.parts import need_lab
from watcher.event import Event
from watcher.lockdown import REASONS

pytestmark = pytest.mark.timeout(600)

FULL: Final = bool(os.environ.get("FULL"))
KERNELS: Final = tuple(WANTED) if FULL else ("bookworm-6.1",)

OK: Final = "ok"
Row = tuple[str, str, str, str]


def at_integrity(refused: str, *, unlocked: str = OK) -> Row:
    """What is refused from integrity on; under Secure Boot the same."""
    return unlocked, refused, refused, refused


def at_confidentiality(refused: str, late: str = OK) -> Row:
    """What is refused in confidentiality mode alone."""
    return OK, OK, refused, late


def never(outcome: str = OK) -> Row:
    """What lockdown has nothing to say about."""
    return outcome, outcome, outcome, outcome


# The errno, then the events: for a denial its reason, for anything else its kind. The columns
# are unlocked, lockdown=integrity, lockdown=confidentiality, UEFI Secure Boot.
EXPECTED: Final[dict[str, Row]] = {
    "dev_mem": at_integrity("EPERM dev_mem"),
    "dev_port": never("ENOENT"),  # not built for clouds
    "kcore": at_confidentiality("EPERM kcore"),
    "ioperm": at_integrity("EPERM ioport"),
    "iopl": at_integrity("EPERM ioport"),
    "msr_write": at_integrity("EPERM msr"),
    "msr_ioctl": at_integrity("EPERM msr"),
    "pci_sysfs": at_integrity("EPERM pci_access"),
    "pci_proc": at_integrity("EPERM pci_access"),
    "pci_mmap": at_integrity("EPERM pci_access"),
    "tiocsserial": at_integrity("EPERM tiocsserial"),
    "efi_test": never("ENOENT"),  # not built by Debian
    "acpi_table": at_integrity("acpi_tables lockdown.effect", unlocked=""),
    # IMA's policy for Secure Boot enforces signatures, and so comes before lockdown.
    "finit_module": (
        "ok module.signature",
        "EPERM module_signature",
        "EPERM module_signature",
        "EKEYREJECTED module.signature",
    ),
    "init_module": (
        OK,  # the kernel says it once
        "EPERM module_signature",
        "EPERM module_signature",
        "EKEYREJECTED module.signature",
    ),
    "module_param": at_integrity("EPERM module_parameters"),
    "kexec_load": (OK, "EPERM kexec", "EPERM kexec", "EACCES kexec.signature"),
    "kexec_unsigned": (
        "ok kexec.signature",
        "EPERM kexec.signature kexec",
        "EPERM kexec.signature kexec",
        "ENODATA kexec.signature kexec.signature",
    ),
    # Debian's own key is not built in: it is known only where shim brought it.
    "kexec_debian": (OK, "EPERM kexec", "EPERM kexec", "ENOKEY kexec.signature"),
    "kexec_signed": (OK, "EPERM kexec", "EPERM kexec", OK),
    "power_read": at_integrity("ok hibernation"),
    "power_disk": at_integrity("ok hibernation"),
    "power_write": at_integrity("EPERM hibernation", unlocked="ENODEV"),  # there is no swap
    "snapshot": at_integrity("EPERM hibernation"),
    "bpf_map": never(),
    "bpf_read": at_confidentiality("EINVAL bpf_read_kernel"),
    "bpf_read_old": at_confidentiality("EINVAL bpf_read_kernel"),
    "bpf_read_str": at_confidentiality("EINVAL bpf_read_kernel"),
    "bpf_read_user": never(),
    "bpf_write": at_integrity("EINVAL bpf_write_user", unlocked="ok bpf.warning bpf.warning"),
    "perf_clock": never(),
    "perf_regs": at_confidentiality("EPERM perf"),
    "kprobe_perf": at_confidentiality("EPERM kprobes"),
    "kprobe_trace": at_confidentiality("ENOENT"),  # tracefs came after lockdown: it is empty
    "tracefs": at_confidentiality("ENOENT"),
    "debugfs_write": at_integrity("EPERM debugfs"),
    "debugfs_chmod": at_integrity("EPERM debugfs"),
    "debugfs_read": never(),
    "xfrm_dump": at_confidentiality("ok xfrm_secret xfrm_secret"),
    "set_none": never("EPERM"),
    "sysrq_x": never(),
    "set_integrity": ("ok lockdown.enabled", "EPERM", "EPERM", "EPERM"),
    "dev_mem_late": never("EPERM dev_mem"),
    "set_confid": (
        "ok lockdown.enabled",
        "ok lockdown.enabled",
        "EPERM",
        "ok lockdown.enabled",
    ),
    "tracefs_late": ("EPERM tracefs", "EPERM tracefs", "ENOENT", "EPERM tracefs"),
}
COLUMNS: Final = ("unlocked", "integrity", "confidentiality", "Secure Boot")


def bpf(denials: int, warnings: int) -> dict[str, Row]:
    """What BPF gives where the verifier asks for a helper's prototype that many times."""
    read = at_confidentiality("EINVAL" + " bpf_read_kernel" * denials)
    write = at_integrity(
        "EINVAL" + " bpf_write_user" * denials, unlocked=OK + " bpf.warning" * warnings
    )
    return {"bpf_read": read, "bpf_read_old": read, "bpf_read_str": read, "bpf_write": write}


# Since 77b644c39d6a (6.12) early LSMs start after setup_arch(), which takes the table: it is
# installed, locked down or not.
SINCE_6_12: Final = {"acpi_table": never("")}

# Where other kernels differ from bookworm's.
EXCEPT: Final[dict[str, dict[str, Row]]] = {
    "bullseye-5.10": {"xfrm_dump": never()},
    "bookworm-6.1-amd64": {"dev_port": at_integrity("EPERM dev_mem")},
    "bookworm-6.12": bpf(2, 3) | SINCE_6_12,
    "trixie-6.12": bpf(2, 3) | SINCE_6_12,
    "sid-7": bpf(7, 0) | SINCE_6_12,
}


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    """All boots of this run, under way two at a time; the page and the corpus when asked for."""
    need_lab()
    kernels = [found for name in KERNELS if (found := kernel(name))]
    with Matrix(kernels) as running:
        yield running
        boots = running.finished()
    if FULL:
        page.write(boots)
    if os.environ.get("REFRESH"):
        corpus.write(boot for boot in boots if (boot.kernel.name, boot.mode.name) in CORPUS)


CORPUS: Final = {
    *(("bookworm-6.1", mode) for mode in COLUMNS),
    ("bullseye-5.10", "confidentiality"),
    ("sid-7", "confidentiality"),
}


def outcome(cell: Cell) -> str:
    """The errno of a cell and its events, in the words of EXPECTED."""
    return " ".join(filter(None, [cell.errno, *(said(event) for event in cell.events)]))


def said(event: Event) -> str:
    """The reason of a denial, the kind of anything else; nothing for the rate limit's report.

    Which of the denials at boot were over the limit is another test's matter.
    """
    if event.kind == "lockdown.suppressed":
        return ""
    return (event.kind == "lockdown.denied" and event.lockdown.reason) or event.kind


def boots() -> list[tuple[str, str]]:
    """The kernels and modes of this run, by name."""
    return [(name, mode.name) for name in KERNELS for mode in modes_of(name)]


@pytest.fixture
def boot(matrix: Matrix, name: str, mode: str) -> Boot:
    """One boot of the matrix, awaited."""
    found = matrix.boot(name, mode)
    if not found:
        pytest.skip(f"the archive has no kernel {name} now")  # a suite that moves: said
    return found


@pytest.mark.parametrize("key", EXPECTED)
@pytest.mark.parametrize(("name", "mode"), boots())
def test_provocation(boot: Boot, name: str, mode: str, key: str) -> None:
    """It gives the errno and exactly the events that it must, each once and in order."""
    (cell,) = [cell for cell in boot.cells() if cell.operation.key == key]
    row = EXCEPT.get(name, {}).get(key, EXPECTED[key])
    assert outcome(cell) == row[COLUMNS.index(mode)], (cell.note, cell.lines)


@pytest.mark.parametrize(("name", "mode"), boots())
def test_announcement(boot: Boot, mode: str) -> None:
    """The announcement is the first event of a locked boot, once; an unlocked boot has none."""
    start = boot.answers[0]
    announced = [e for e in start.events if e.kind == "lockdown.enabled"]
    causes = {"unlocked": [], "Secure Boot": ["efi_secure_boot"]}.get(mode, ["command_line"])
    assert [e.lockdown.cause for e in announced] == causes
    assert start.events[: len(announced)] == announced


@pytest.mark.parametrize(("name", "mode"), boots())
def test_every_event_is_one(boot: Boot) -> None:
    """No id comes twice, nothing is unknown, forged or a gap, and every denial has its process."""
    events = [event for answer in boot.answers for event in answer.events]
    assert len({event.id for event in events}) == len(events)
    assert {e.kind for e in events} <= {
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
    reached = {op.reason for op in OPERATIONS}
    assert set(REASONS) == reached - {None} | page.UNREACHED.keys()
