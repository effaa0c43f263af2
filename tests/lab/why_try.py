"""Tries one thing in a guest, as a program would: prints the error as programs do, exits 1.

why_try.py NAME [FILE]. Needs nothing but Python's own library. Guests of the lab alone.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
BPF, KEXEC_LOAD, FINIT_MODULE = 321, 246, 313
"""Numbers of system calls on x86-64."""


def call(number: int, *arguments: object) -> None:
    """Make a system call; raises OSError."""
    if LIBC.syscall(number, *arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def bpf_map() -> None:
    """Make a map that takes half a megabyte of locked memory where that is counted."""
    call(BPF, 0, struct.pack("IIII", 2, 4, 512, 1024), 16)


def bpf_helper(helper: int) -> None:
    """Load a kprobe program that calls helper(r10 - 8, r10 - 8 or 8, 8 or 0)."""
    second, third = ((0x07, 0x02, 0, -8), (0xB7, 0x03, 0, 8)) if helper == 36 else (None, None)
    steps = [(0x7A, 0x0A, -8, 0), (0xBF, 0xA1, 0, 0), (0x07, 0x01, 0, -8)]
    if second and third:  # probe_write_user(to, from, 8)
        steps += [(0xBF, 0xA2, 0, 0), second, (0xB7, 0x01, 0, 0), third]
    else:  # probe_read_kernel(to, 8, NULL)
        steps += [(0xB7, 0x02, 0, 8), (0xB7, 0x03, 0, 0)]
    steps += [(0x85, 0, 0, helper), (0xB7, 0, 0, 0), (0x95, 0, 0, 0)]
    code = b"".join(struct.pack("<BBhi", *step) for step in steps)
    instructions = ctypes.create_string_buffer(code, len(code))
    licence, log = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(65536)
    attributes = struct.pack(
        "IIQQIIQII", 2, len(steps), ctypes.addressof(instructions), ctypes.addressof(licence), 1,
        65536, ctypes.addressof(log), 0, 0,
    )  # fmt: skip
    try:
        call(BPF, 5, attributes, len(attributes))
    finally:
        sys.stderr.write(log.value.decode(errors="replace"))


def finit_module(file: str) -> None:
    """Load a module from a file."""
    with open(file, "rb") as opened:  # noqa: PTH123
        call(FINIT_MODULE, opened.fileno(), b"", 0)


def wrmsr() -> None:
    """Write a register (the page attribute table) as it is."""
    descriptor = os.open("/dev/cpu/0/msr", os.O_RDWR)
    os.pwrite(descriptor, os.pread(descriptor, 8, 0x277), 0x277)


def hibernate() -> None:
    """Ask for hibernation, of which a guest without swap is incapable."""
    os.write(os.open("/sys/power/state", os.O_WRONLY), b"disk")


TRIES: dict[str, Callable[[str], None]] = {
    "bpf_map": lambda _: bpf_map(),
    "bpf_read": lambda _: bpf_helper(113),
    "bpf_write": lambda _: bpf_helper(36),
    "insmod": finit_module,
    "wrmsr": lambda _: wrmsr(),
    "hibernate": lambda _: hibernate(),
    "kexec_load": lambda _: call(KEXEC_LOAD, 0, 0, 0, 0),
    "ioperm": lambda _: call(173, 0x80, 1, 1),
}


if __name__ == "__main__":
    try:
        TRIES[sys.argv[1]]((*sys.argv, "")[2])
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")
