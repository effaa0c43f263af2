"""One boot of a small guest: a plan goes in, what the kernel answered and our events come out.

The guest sends the raw records of its /dev/kmsg; here they pass through the very code that
reads /dev/kmsg and the shipped rules.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.lab.cache import scratch
from tests.lab.kernels import Kernel, signed
from tests.lab.qemu import Guest, GuestFailed
from tests.lab.small_root import initramfs
from watcher.detect import Detector
from watcher.event import Event
from watcher.pack import load_pack
from watcher.sources.kmsg import KmsgSource

BOOT_S: Final = 90
STEP_S: Final = 60
"""What a step may take: 40 s by itself, and 5 s for the kernel's rate limit."""

DEADLINE_S: Final = 240
_PIPE_BYTES: Final = 1 << 20
_PACKETS: Final = 200
"""A pipe of that size holds 256 packets."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to boot: what stands on the kernel command line, under which firmware."""

    name: str
    append: str = ""
    secure_boot: bool = False


UNLOCKED: Final = Mode("unlocked")
INTEGRITY: Final = Mode("integrity", "lockdown=integrity")
CONFIDENTIALITY: Final = Mode("confidentiality", "lockdown=confidentiality")
SECURE_BOOT: Final = Mode("Secure Boot", secure_boot=True)
MODES: Final = (UNLOCKED, INTEGRITY, CONFIDENTIALITY, SECURE_BOOT)


@dataclass(slots=True)
class Answer:
    """What one step of a plan gave: 0 or an errno, a remark, raw records, and their events.

    `error` is -1 where the step itself failed; `note` then says how.
    """

    step: str
    error: int
    note: str
    records: list[bytes]
    events: list[Event] = field(default_factory=list)


def kernel_texts(records: Iterable[bytes]) -> list[str]:
    """Give the texts of the kernel's own records (facility 0), escaped as they came."""
    heads = (record.partition(b"\n")[0].partition(b";") for record in records)
    return [text.decode() for head, _, text in heads if int(head.split(b",")[0]) < 8]


def boot(kernel: Kernel, mode: Mode, plan: Sequence[str], *, append: str = "") -> list[Answer]:
    """Boot `kernel`, do `plan`, and give the answers: "boot" first, then one a step.

    Raises GuestFailed, with the last console lines, where the guest does not come to its end.
    """
    with scratch() as work:
        guest = Guest(
            signed(kernel) if mode.secure_boot else kernel.vmlinuz,
            initramfs(kernel, plan, work / "initrd"),
            f"lab.guest {mode.append} {append}",
            secure_boot=mode.secure_boot,
            work=work,
            deadline_s=DEADLINE_S,
        )
        with guest:
            answers = [_answer(guest.read_line(BOOT_S), "boot")]
            answers += [_answer(guest.read_line(STEP_S), step) for step in plan]
    return judged(answers)


def _answer(line: bytes, step: str) -> Answer:
    try:
        said = json.loads(line)
        records = [record.encode("latin-1") for record in said["records"]]
    except (ValueError, KeyError) as error:
        raise GuestFailed(f"step {step!r}: {error} in {line[:2000]!r}") from error
    if said["op"] != step.split(maxsplit=1)[0]:
        raise GuestFailed(f"step {step!r} was answered by {said['op']!r}")
    return Answer(step, said["errno"], said["note"].strip(), records)


def judged(answers: list[Answer]) -> list[Answer]:
    """Give each answer the events of its records."""
    pack = load_pack()
    detector = Detector(pack)
    with _kmsg() as (path, kmsg), closing(KmsgSource(pack.prefilter(), path=path)) as source:
        for answer in answers:
            for records in _batches(answer.records):
                for record in records:
                    os.write(kmsg, record)
                items = [item for batch in source.read() for item in batch]
                answer.events += [event for item in items for event in detector.events(item)]
            answer.events += detector.flush()
    return answers


def _batches(records: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(records), _PACKETS):
        yield records[start : start + _PACKETS]


@contextmanager
def _kmsg() -> Iterator[tuple[str, int]]:
    """Give a path that reads as /dev/kmsg does, record by record, and the descriptor that fills it.

    A pipe in packet mode (O_DIRECT, pipe(2)) gives each read one write, and EAGAIN at the end.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_DIRECT)
    try:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        yield f"/dev/fd/{reading}", writing
    finally:
        os.close(reading)
        os.close(writing)
