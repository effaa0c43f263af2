"""tests/corpus/lab-*.kmsg: what real kernels said in the lab, kept small, with golden events."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests import test_corpus
from tests.lab.matrix import Boot
from tests.lab.small import CONFIDENTIALITY, MODES
from watcher.event import Event

FOLDER: Final = Path(__file__).parents[1] / "corpus"
BOOTS: Final = (
    *(("bookworm-6.1", mode) for mode in MODES),
    ("bullseye-5.10", CONFIDENTIALITY),
    ("sid-7", CONFIDENTIALITY),
)
"""The boots it is made of, by kernel and mode."""


def write(boots: Iterable[Boot]) -> None:
    """Write, of those in BOOTS, the lines that gave an event, with their neighbours; and golden."""
    for boot in boots:
        if (boot.kernel.name, boot.mode) not in BOOTS:
            continue
        name = f"lab-{boot.kernel.name}-{boot.mode.name}".lower().replace(" ", "-")
        file = FOLDER / f"{name}.kmsg"
        file.write_bytes(b"".join(_telling(boot)))
        test_corpus.test_own_corpus(file)  # with REFRESH set it writes what it would compare


def _telling(boot: Boot) -> list[bytes]:
    records = [record for answer in boot.answers for record in answer.records]
    seqs = {_seq(event) for answer in boot.answers for event in answer.events}
    told = [int(record.split(b",", 2)[1]) in seqs for record in records]
    near = [any(told[max(0, at - 1) : at + 2]) for at in range(len(records))]
    return [record for record, kept in zip(records, near, strict=True) if kept]


def _seq(event: Event) -> int | None:
    return event.origin.seq
