"""Ask the kernel itself whether BPF works: three harmless calls, and the verifier's answer.

Only when asked, for a kernel that refuses writes a line to its log. Nothing is attached, so no
program ever runs; all is gone when the process that asks, a child of its own, ends.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import struct
from typing import Final

from watcher.diagnose.probed import Step
from watcher.errors import SourceError
from watcher.posture.kernel import version_of

_CALL: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
"""Numbers of bpf(2)."""

_MAP_CREATE, _PROG_LOAD = 0, 5
_ARRAY, _SOCKET_FILTER, _KPROBE = 2, 1, 2
_LOG_BYTES: Final = 16_384
_EXIT: Final = b"\xb7" + bytes(7) + b"\x95" + bytes(7)
"""r0 = 0; exit"""


def probe_bpf() -> list[Step]:
    """Make a map, load a trivial program, and one that would read kernel memory.

    Raises SourceError on machines whose number for bpf(2) is not known here.
    """
    if platform.machine() not in _CALL:
        raise SourceError(f"probing BPF is not known for {platform.machine()}")
    here, there = os.pipe()
    child = os.fork()  # a seccomp filter may kill whoever calls bpf(2)
    if child == 0:
        os.write(there, json.dumps(_ask()).encode())
        os._exit(0)
    os.close(there)
    with os.fdopen(here, "rb") as answers:
        said = answers.read(1 << 20)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        return [Step("any bpf() call", "SIGSYS" if status == -31 else f"signal {-status}", "")]  # noqa: PLR2004
    return [Step(*row) for row in json.loads(said)]


def _ask() -> list[tuple[str, str | None, str]]:
    attributes = struct.pack("IIII", _ARRAY, 4, 8, 1)
    rows = [("make a map", *_bpf(_MAP_CREATE, attributes))]
    rows.append(("load a trivial program", *_load(_SOCKET_FILTER, _EXIT)))
    rows.append(("load a tracing program", *_load(_KPROBE, _EXIT)))
    helper = 113 if version_of(platform.release()) >= (5, 5) else 4
    rows.append(("load one that reads kernel memory", *_load(_KPROBE, _reading(helper))))
    return rows


def _reading(helper: int) -> bytes:
    """probe_read(r10 - 8, 8, NULL): it would fail at run time, but it never runs."""
    steps = (
        (0x7A, 0x0A, -8, 0),  # *(u64 *)(r10 - 8) = 0
        (0xBF, 0xA1, 0, 0),  # r1 = r10
        (0x07, 0x01, 0, -8),  # r1 += -8
        (0xB7, 0x02, 0, 8),  # r2 = 8
        (0xB7, 0x03, 0, 0),  # r3 = 0
        (0x85, 0x00, 0, helper),  # call
    )
    return b"".join(struct.pack("<BBhi", *step) for step in steps) + _EXIT


def _load(kind: int, instructions: bytes) -> tuple[str | None, str]:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(_LOG_BYTES)
    version = (*version_of(platform.release()), 0, 0, 0)
    attributes = struct.pack(
        "IIQQIIQII", kind, len(instructions) // 8, ctypes.addressof(code),
        ctypes.addressof(licence), 1, _LOG_BYTES, ctypes.addressof(log),
        (version[0] << 16) + (version[1] << 8) + min(version[2], 255), 0,
    )  # fmt: skip
    failed, _ = _bpf(_PROG_LOAD, attributes)
    return failed, log.value.decode(errors="replace").strip()


def _bpf(command: int, attributes: bytes) -> tuple[str | None, str]:
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, 128)
    if libc.syscall(_CALL[platform.machine()], command, buffer, len(attributes)) >= 0:
        return None, ""
    code = ctypes.get_errno()
    return errno.errorcode.get(code, str(code)), ""
