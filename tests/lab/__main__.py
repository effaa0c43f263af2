"""One boot, or one cell, again: `python -m tests.lab KERNEL MODE [OPERATION...]`.

Prints for each operation the errno, the raw records of the guest's /dev/kmsg, and the events as
JSON. MODE is unlocked, integrity, confidentiality or secureboot.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from tests.lab.kernels import WANTED, LabError, kernel
from tests.lab.matrix import OPERATIONS, modes_of, provoked
from tests.lab.qemu import GuestFailed


def main() -> int:
    """Boot once and print what came of it; 1 if that could not be done, and why."""
    args = _arguments()
    mode = next((m for m in modes_of(args.kernel) if _plain(m.name) == args.mode), None)
    try:
        found = kernel(args.kernel)
        if not found or not mode:
            print(f"the lab does not boot {args.kernel} in mode {args.mode}", file=sys.stderr)
            return 1
        operations = [op for op in OPERATIONS if op.key in (args.operations or [op.key])]
        boot = provoked(found, mode, operations)
    except (GuestFailed, LabError) as error:
        print(error, file=sys.stderr)
        return 1
    for cell in boot.cells():
        print(f"{cell.operation.key}: {cell.errno} {cell.note}".rstrip())
        _indented(record.decode().rstrip("\n") for record in cell.records)
        _indented(event.json_line() for event in cell.events)
    return 0


def _indented(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"    {line}")


def _plain(mode: str) -> str:
    return mode.lower().replace(" ", "")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("kernel", choices=WANTED)
    parser.add_argument("mode")
    parser.add_argument("operations", nargs="*", help=", ".join(op.key for op in OPERATIONS))
    args = parser.parse_args()
    if unknown := set(args.operations) - {op.key for op in OPERATIONS}:
        parser.error(f"no such operation: {', '.join(sorted(unknown))}")
    return args


if __name__ == "__main__":
    sys.exit(main())
