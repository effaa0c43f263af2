"""`why` in real guests: it names the right cause in every cell, and blames lockdown in no other.

Each cell is one program that tries one thing, under `why --`, in a guest as locked as the row
says; some are held back by something else than lockdown. The table of cells and verdicts is
printed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.lab.captured import SCRIPT, captured, keep
from tests.lab.full_guest import FILES, FullGuest
from tests.lab.full_parts import need_full_lab
from tests.lab.kernels import Kernel, kernel, module_bytes
from tests.lab.small_root import without_signature
from tests.parts import asked
from watcher.pages.status_page import status_object
from watcher.posture import inspect
from watcher.this_boot import boot_of_tree

pytestmark = pytest.mark.timeout(900)

TRY: Final = Path(__file__).parent / "why_try.py"
NO_CAPS: Final = "setpriv --bounding-set=-sys_admin,-bpf,-perfmon,-sys_module,-sys_rawio"
NOBODY: Final = "setpriv --reuid=nobody --regid=nogroup --clear-groups"
SECCOMP: Final = (
    "systemd-run --quiet --pipe --wait -p SystemCallFilter=~bpf -p SystemCallErrorNumber=EPERM"
)


class Cell(NamedTuple):
    """What is tried, held back by what, and the answer: verdict and cause (None: it works)."""

    name: str
    tried: str
    verdict: str | None
    cause: str | None = None
    around: str = ""


LOCKED: Final = (
    Cell("unsigned module", f"insmod {FILES}/unsigned.ko", "lockdown", "lockdown"),
    Cell("MSR write", "wrmsr", "lockdown", "lockdown"),
    Cell("hibernation", "hibernate", "lockdown", "lockdown"),
    Cell("kexec_load", "kexec_load", "lockdown", "lockdown"),
    Cell("ioperm", "ioperm", "lockdown", "lockdown"),
    Cell("BPF write helper", "bpf_write", "lockdown", "lockdown"),
)
# Secure Boot brings IMA's policy, which is asked before lockdown.
BY_IMA: Final = (
    Cell("unsigned module", f"insmod {FILES}/unsigned.ko", "not_lockdown", "module_key"),
    Cell("kexec_load", "kexec_load", "not_lockdown", "image_signature"),
    *(cell for cell in LOCKED if cell.name not in {"unsigned module", "kexec_load"}),
)
OTHERS: Final = (
    Cell("BPF map", "bpf_map", None),
    Cell("no capability", "bpf_map", "not_lockdown", "capability", NO_CAPS),
    Cell("seccomp filter", "bpf_map", "not_lockdown", "seccomp", SECCOMP),
    Cell("user name space", "bpf_map", "not_lockdown", "user_namespace", "unshare -Ur"),
    Cell("ordinary user", "bpf_map", "not_lockdown", "unprivileged_bpf_disabled", NOBODY),
    Cell("no capability, module", f"insmod {FILES}/unsigned.ko", "not_lockdown", "capability",
         NO_CAPS),
)  # fmt: skip
UNLOCKED: Final = (
    Cell("unsigned module", f"insmod {FILES}/unsigned.ko", None),
    Cell("MSR write", "wrmsr", None),
    Cell("hibernation", "hibernate", "not_lockdown", "no_swap"),
    Cell("BPF write helper", "bpf_write", None),
    Cell("BPF read helper", "bpf_read", None),
)
MEMLOCK: Final = Cell(
    "MEMLOCK", "bpf_map", "not_lockdown", "memlock",
    "prlimit --memlock=65536 setpriv --bounding-set=-sys_resource,-ipc_lock",
)  # fmt: skip
READ: Final = Cell("BPF read helper", "bpf_read", "lockdown", "lockdown")
READS: Final = Cell("BPF read helper", "bpf_read", None)


class Row(NamedTuple):
    """A guest: which kernel, how locked (None: as Secure Boot has it), and what is tried."""

    kernel: str
    level: str | None
    cells: tuple[Cell, ...]


GUESTS: Final = {
    "5.10 unlocked": Row("bullseye-5.10", "none", (*UNLOCKED, *OTHERS, MEMLOCK)),
    "5.10 integrity": Row("bullseye-5.10", "integrity", (*LOCKED, READS, *OTHERS, MEMLOCK)),
    "6.1 integrity": Row("bookworm-6.1", "integrity", (*LOCKED, READS, *OTHERS)),
    "6.1 confidentiality": Row("bookworm-6.1", "confidentiality", (*LOCKED, READ, *OTHERS)),
    "6.12 confidentiality": Row("bookworm-6.12", "confidentiality", (*LOCKED, READ, *OTHERS)),
    "6.1 Secure Boot": Row("bookworm-6.1", None, (*BY_IMA, READS, *OTHERS)),
}


@pytest.fixture(params=GUESTS, scope="module")
def row(request: pytest.FixtureRequest) -> str:
    """The name of a guest."""
    return str(request.param)


@pytest.fixture(scope="module")
def guest(row: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullGuest]:
    """A guest as locked as its row says."""
    need_full_lab()
    name, level, _ = GUESTS[row]
    debian = kernel(name)
    assert debian
    work = tmp_path_factory.mktemp("why")
    append = f"lockdown={level}" if level not in {None, "none"} else ""
    with FullGuest(
        debian, work, secure_boot=level is None, append=append, files=files(debian, work)
    ) as running:
        # Debian's package of the kernel brings its configuration; the guest has but its modules.
        running.sure(f"cp {FILES}/config /boot/config-{debian.release}")
        running.sure(f"test ! -e {FILES}/msr.ko || insmod {FILES}/msr.ko")
        yield running


def files(debian: Kernel, work: Path) -> dict[str, Path]:
    """What tries, a module whose signature is cut off, and the module that makes /dev/cpu/0/msr."""
    config = debian.vmlinuz.parent / f"config-{debian.release}"
    found = {TRY.name: TRY, SCRIPT.name: SCRIPT, "config": config}
    for name, target in (("dummy", "unsigned.ko"), ("msr", "msr.ko")):
        for path in debian.module_order([name]).values():
            content = module_bytes(path)
            found[target] = work / target
            found[target].write_bytes(without_signature(content) if name == "dummy" else content)
    return found


def answer_to(guest: FullGuest, cell: Cell) -> dict[str, Any]:
    """Run a cell under `why --`; the answer is the last line of stderr."""
    command = f"lockdown-watcher why -o json -- python3 {FILES}/{TRY.name} {cell.tried}"
    answer = guest.run(f"{cell.around} {command}", 60)
    found: dict[str, Any] = json.loads(answer.stderr.splitlines()[-1])
    assert found["command"]["status"] == answer.status, answer
    return found


def test_the_right_cause_in_every_cell(
    guest: FullGuest, row: str, record_property: Callable[[str, object], None]
) -> None:
    """The verdict and the cause, cell by cell; lockdown is blamed nowhere else.

    All cells of a row leave less than ten lines, the kernel's limit in 5 s: no need to wait.
    """
    wrong = []
    for cell in GUESTS[row].cells:
        guest.run("rmmod dummy")
        found = answer_to(guest, cell)
        got = (found["verdict"], found.get("cause"))
        record_property(f"why: {row:22}{cell.name:24}", f"{got[0] or 'works':14}{got[1] or ''}")
        if got != (cell.verdict, cell.cause):
            wrong.append((cell.name, got, found))
    assert not wrong


def test_the_status_agrees(guest: FullGuest, row: str) -> None:
    """The level is what was asked for, and by it; Secure Boot asks for integrity."""
    found = json.loads(guest.sure("lockdown-watcher status -o json"))
    level = GUESTS[row].level
    assert found["level"] == (level or "integrity")
    by = "command_line" if level else "efi_secure_boot"
    assert found["cause"] == (by if level != "none" else None)
    assert found["contradictions"] == []


def test_a_captured_tree_says_the_same(guest: FullGuest, row: str, tmp_path: Path) -> None:
    """What the script copies of a guest gives elsewhere what `status` says in it.

    Such trees, of these guests, are in tests/hosts; REFRESH=1 writes them anew.
    """
    tree = captured(guest, tmp_path)
    there = json.loads(guest.sure("lockdown-watcher status -o json"))
    here = status_object(inspect(str(tree)).with_log(boot_of_tree(str(tree))))
    since = [each.pop("since") for each in (here, there)]
    times = [each and datetime.fromisoformat(each).timestamp() for each in since]
    assert times[0] == (times[1] and pytest.approx(times[1], abs=1))
    for each in here, there:
        each["settings"].pop("unprivileged_bpf_disabled")  # reading it may write to the log
    same = [name for name in there if name not in {"process", "log", "unseen"}]
    assert {name: here[name] for name in same} == {name: there[name] for name in same}
    if asked("REFRESH"):
        keep(tree, row)


def test_the_probe_agrees(guest: FullGuest, row: str) -> None:
    """The kernel's own answer: only confidentiality takes the read helper away."""
    found = json.loads(guest.sure("lockdown-watcher why --probe bpf -o json"))
    confidential = GUESTS[row].level == "confidentiality"
    assert found["verdict"] == ("lockdown" if confidential else "not_lockdown")
    assert found["confidence"] == "certain"
