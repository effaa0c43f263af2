"""One boot, or one cell, again: `python -m tests.lab KERNEL MODE [OPERATION...]`.

Prints for each operation the errno, the raw records of the guest's /dev/kmsg, and the events as
JSON. All that comes before it in the table is done first, in the same boot, as for the table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from tests.lab.command import LabError
from tests.lab.kernels import WANTED, kernel
from tests.lab.matrix import OPERATIONS, Cell, modes_of, provoked
from tests.lab.qemu import GuestFailed
from tests.lab.small import MODES


def main() -> int:
    """Boot once and print what came of it; 1 if that could not be done, and why."""
    args = _arguments()
    (mode,) = (m for m in MODES if _plain(m.name) == args.mode)
    asked = args.operations or [op.key for op in OPERATIONS]
    last = max(at for at, op in enumerate(OPERATIONS) if op.key in asked)
    try:
        # A cell depends on what came before it: lockdown raised, a warning that is given once.
        boot = provoked(kernel(args.kernel), mode, OPERATIONS[: last + 1])
    except (GuestFailed, LabError) as error:
        print(error, file=sys.stderr)
        return 1
    for cell in boot.cells():
        if cell.operation.key in asked:
            _show(cell)
    return 0


def _show(cell: Cell) -> None:
    print(f"{cell.operation.key}: {cell.errno} {cell.note}".rstrip())
    _indented(record.decode().rstrip("\n") for record in cell.records)
    _indented(event.json_line() for event in cell.events)


def _indented(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"    {line}")


def _plain(mode: str) -> str:
    return mode.lower().replace(" ", "")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("kernel", choices=WANTED)
    parser.add_argument("mode", type=_plain, choices=[_plain(mode.name) for mode in MODES])
    parser.add_argument("operations", nargs="*", help=", ".join(op.key for op in OPERATIONS))
    args = parser.parse_args()
    if args.mode not in (_plain(mode.name) for mode in modes_of(args.kernel)):
        parser.error(f"{args.kernel} is not booted in this mode")
    if unknown := set(args.operations) - {op.key for op in OPERATIONS}:
        parser.error(f"no such operation: {', '.join(sorted(unknown))}")
    return args


if __name__ == "__main__":
    sys.exit(main())
