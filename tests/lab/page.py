"""docs/lab.md: the matrix as a page for people who work on the kernel or with lockdown."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.lab.kernels import WANTED, Kernel
from tests.lab.matrix import GROUPS, Boot, Cell, Operation
from tests.lab.small import MODES, Mode
from watcher.event import Event
from watcher.lockdown import REASONS

PAGE: Final = Path(__file__).parents[2] / "docs" / "lab.md"

_HEAD: Final = """\
# What lockdown refuses, kernel by kernel

Every cell below was measured: a Debian kernel booted under QEMU, locked as the row says, and one
small program ([provoke.c](../tests/lab/provoke.c)) that tried. The raw records of the guest's
`/dev/kmsg` then went through the code that reads `/dev/kmsg` here, and gave the events.

Written by `make lab FULL=1` on {date}, from commit `{commit}`. One cell again, after all
that comes before it in the same boot, with its raw records and events (kernel, mode, operation):

    make lab
    .venv/bin/python -m tests.lab bookworm-6.1 integrity dev_mem

| kernel | release | package version | suite |
|---|---|---|---|
{kernels}

## What stands out

Each of these is held by [test_matrix.py](../tests/lab/test_matrix.py).

- **Secure Boot is not only lockdown.** IMA's policy that comes with it enforces signatures, and
  before lockdown is asked: an unsigned module is EKEYREJECTED, kexec_load EACCES, and no lockdown
  line follows, but others do.
- **A kernel signed by Debian is no signed kernel to itself.** Debian's key is not built in, so
  kexec_file_load of it is refused unless UEFI or shim brought the key.
- **Since 6.12 an ACPI table in the initrd is installed on a locked kernel**, Secure Boot or not;
  5.10 and 6.1 refuse it. It is taken in setup_arch(), and since 77b644c39d6a early LSMs start
  after that.
- **One refused BPF program is up to seven lines**: 1 to 6.1, 2 on 6.12, 7 on 7.2; the limit is 10
  lines in 5 s, for all programs together.
- **tracefs is ENOENT or EPERM**: with confidentiality from boot on there are no files, and so no
  line; where it was raised later there is both.
- **Some refusals fail nothing**: reading `/sys/power/state` and dumping IPsec states go well, with
  a line and less in the answer.

## How to read a cell

**EPERM** in bold: the call failed and a lockdown line was logged, which became an event; x2: it
was logged twice. EPERM: it failed, and lockdown said nothing. *ok* with **line**: it went well,
and a line was logged all the same. Other events stand by their kind. "not built": the kernel is
without the option it needs. Secure Boot is UEFI's own (OVMF), of two kernels, signed anew with
the test key that this firmware trusts. Modes that gave the same share a row. All calls are made
by root with all capabilities; names in `(...)` are those of the operations.
"""

_BY_ITSELF: Final = """\
Events before anything was tried; in bold the reasons of denials, which the kernel met itself
(`swapper` and `swapper/0`). In confidentiality mode 6.1 and later have more of them than the limit
lets through.
"""

_LEFT_OUT: Final = """\
## Reasons that these guests cannot reach

| reason | why not |
|---|---|
{rows}

`pciconfig_write` is no system call on x86-64, so PCI is written in its other ways.
"""

UNREACHED: Final = {
    "efi_test": "Debian builds none (CONFIG_EFI_TEST)",
    "device_tree": "powerpc only",
    "xmon_wr": "powerpc only",
    "xmon_rw": "powerpc only",
    "rtas_error_injection": "powerpc only",
    "pcmcia_cis": "no PC card here",
    "mmiotrace": "only the module testmmiotrace asks for it, which Debian does not build",
    "kgdb": "Ubuntu's 5.4 only",
    "dbg_write_kernel": "Debian builds no kgdb (CONFIG_KGDB)",
    "dbg_read_kernel": "Debian builds no kgdb (CONFIG_KGDB)",
    "xen_user_actions": "no Xen here",
    "bpf": "kernels before 5.4",
    "asus_wmi": "kernels before 5.4",
    "dtrace": "kernels before 5.4",
}


def write(boots: Sequence[Boot], absent: Iterable[str], file: Path = PAGE) -> None:
    """Write the page of these boots to `file`; `absent` are the kernels that there are not now."""
    file.write_text(page(boots, absent, datetime.now(UTC), _commit()))


def page(boots: Sequence[Boot], absent: Iterable[str], now: datetime, commit: str) -> str:
    """Give the page's text."""
    boots = sorted(boots, key=lambda boot: MODES.index(boot.mode))
    cells = [cell for boot in boots for cell in boot.cells()]
    kernels = _kernels(boots)
    rows = [_row(kernel.name, kernel.release, kernel.version) for kernel in kernels]
    rows += [_row(name, "none in the archive now", "") for name in absent]
    head = _HEAD.format(date=f"{now:%Y-%m-%d}", commit=commit, kernels="\n".join(rows))
    groups = (_group(title, group, cells, kernels) for title, group in GROUPS.items())
    return "\n".join([head, _by_itself(boots, kernels), *groups, _left_out(cells)])


def _row(name: str, release: str, version: str) -> str:
    return f"| {name} | {release} | {version} | {WANTED[name].suite.name} |"


def _commit() -> str:
    argv = ["git", "describe", "--always", "--dirty"]
    here = Path(__file__).parent
    done = subprocess.run(argv, cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _kernels(boots: Iterable[Boot]) -> list[Kernel]:
    found = {boot.kernel.name: boot.kernel for boot in boots}
    return [found[name] for name in WANTED if name in found]


def _table(*rows: Sequence[str]) -> list[str]:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return [head, "|---" * len(rows[0]) + "|", *body, ""]


# --- what a boot alone gives


def _by_itself(boots: Sequence[Boot], kernels: Sequence[Kernel]) -> str:
    found = {(boot.kernel.name, boot.mode): _at_boot(boot) for boot in boots}
    rows = [[k.name, *(found.get((k.name, mode), "") for mode in MODES)] for k in kernels]
    head = ["kernel", *(mode.name for mode in MODES)]
    return "\n".join(["## A boot by itself", "", _BY_ITSELF, *_table(head, *rows)])


def _at_boot(boot: Boot) -> str:
    counts = Counter(_name(event) for event in boot.answers[0].events)
    return ", ".join(f"{name}{_times(count)}" for name, count in counts.items()) or "no event"


def _name(event: Event) -> str:
    """Give what an event is called in a cell: the reason of a denial, else its kind."""
    if event.kind == "lockdown.denied":
        return f"**{event.lockdown.reason}**"
    return event.kind


def _times(count: int) -> str:
    return f" x{count}" if count > 1 else ""


# --- a group of operations


def _group(
    title: str, group: Iterable[Operation], cells: Sequence[Cell], kernels: Sequence[Kernel]
) -> str:
    rows: list[list[str]] = []
    ours: list[Cell] = []
    for op in group:
        of_op = [cell for cell in cells if cell.operation == op]
        rows += _rows(op, of_op, kernels)
        ours += of_op
    table = _table(["operation", "mode", *(kernel.name for kernel in kernels)], *rows)
    lines = _table(["line", "event"], *_lines(ours))
    return "\n".join([f"## {title}", "", *table, *lines])


def _rows(op: Operation, cells: Iterable[Cell], kernels: Sequence[Kernel]) -> Iterator[list[str]]:
    what = f"{op.what} (`{op.key}`)"
    for modes, shown in _merged(cells):
        named = "all modes" if len(modes) == len(MODES) else ", ".join(m.name for m in modes)
        yield [what, named, *(shown.get(kernel.name, "") for kernel in kernels)]
        what = ""


def _merged(cells: Iterable[Cell]) -> list[tuple[list[Mode], dict[str, str]]]:
    """Put modes together that gave the same wherever both were tried."""
    by_mode: dict[Mode, dict[str, str]] = {}
    for cell in cells:
        by_mode.setdefault(cell.mode, {})[cell.kernel.name] = _shown(cell)
    merged: list[tuple[list[Mode], dict[str, str]]] = []
    for mode, shown in by_mode.items():
        for modes, other in reversed(merged):
            if all(other.get(kernel, text) == text for kernel, text in shown.items()):
                modes.append(mode)
                break
        else:
            merged.append(([mode], shown))
    return merged


def _shown(cell: Cell) -> str:
    if not cell.built and not cell.events:
        return "not built"
    kinds = Counter(event.kind for event in cell.events)
    denials = kinds.pop("lockdown.denied", 0)
    kinds.pop("lockdown.suppressed", 0)
    said = cell.errno
    if denials:
        said = f"**{said}**" if cell.error else f"{said} **line**".strip()
    others = (f"{kind}{_times(count)}" for kind, count in kinds.items())
    answered = cell.note if cell.operation.answers else ""
    return ", ".join(filter(None, [said + _times(denials), answered, *others]))


# --- its lines


def _lines(cells: Iterable[Cell]) -> list[list[str]]:
    """Give each line once, whoever caused it, with its event; without one only if it tells."""
    found: dict[str, str] = {}
    for cell in cells:
        events = {event.message: event for event in cell.events}
        for line in cell.lines:
            event = events.get(line)
            if event or _TELLING.match(line):
                found.setdefault(_anonymous(line, cell), _described(event))
    return [[f"`{line}`", event] for line, event in sorted(found.items())] or [["none", ""]]


_TELLING: Final = re.compile("msr: Write|ACPI: Table Upgrade|sysrq: HELP")
_LONGEST: Final = 120


def _anonymous(line: str, cell: Cell) -> str:
    line = line.replace(f": {cell.operation.key}:", ": COMM:").replace(" MSR 0xc0000103", " MSR N")
    line = re.sub(rf"\b{cell.operation.key}( \(pid: \d+\)|\[\d+\])", "COMM[PID]", line)
    line = re.sub(r"\b\d+(?= callbacks)", "N", line)
    line = re.sub(r"(?<=COMM\[PID\])[.,].*", "", line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _described(event: Event | None) -> str:
    if not event:
        return "no event"
    reason = f" `{event.lockdown.reason}`" if event.lockdown.reason else ""
    return f"{event.kind}{reason}, {event.severity}"


def _left_out(cells: Iterable[Cell]) -> str:
    reached = {event.lockdown.reason for cell in cells for event in cell.events}
    rows = (
        f"| {reason.what} (`{reason.id}`) | {UNREACHED.get(reason.id, 'see the tables above')} |"
        for reason in REASONS.values()
        if reason.id not in reached
    )
    return _LEFT_OUT.format(rows="\n".join(rows))
