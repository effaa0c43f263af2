"""What it costs to carry events out: the encodings alone, and each sink to a real receiver."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bench.inside import Part, in_turn
from tests.bench.setting import Setting
from tests.bench.table import seconds, table
from tests.events import golden
from tests.pki import Pki
from tests.sinks.servers import until
from tests.sinks.test_receivers import CASES, Stage
from watcher.encodings import json_text, line
from watcher.encodings.brief import brief
from watcher.encodings.otlp import record, request
from watcher.sinks import file
from watcher.sinks.sink import Delivered, Parcel, Sink
from watcher.sinks.syslog_message import Form, message

TITLE = "To a SIEM: encodings and sinks"
_ENCODINGS = """\
Per event, in one process: the {count} golden events of the corpus, {size:.0f} bytes of JSON each on
average, from the parsed event to the text that is sent. The outbox's line is parsed first, once for
each sink that does not send it as it stands.
"""
_SINKS = """\
{count:,} events in batches of {batch}, from the outbox's lines to the last `Delivered`, one batch
after another as the forwarder does it, to a receiver of its own on loopback, which takes its share
of the two cores. `CPU` is ours alone, per event. `one` is a batch of a single event, the median of
{singles}. `there` is what the receiver had written of all that was sent, {receipt:g} s later at
most: UDP loses where it is faster than the receiver reads, and Tenzir passes on some 70 events a
second of what the Fluent Bit inside it took, in order and without holes. Timed {runs} times: the
median. The store's part is not in it.
"""
_MISSING = "Not on this machine, so left out: {}.\n"
_BATCH = 500
_RECEIPT_S = 4.0
_SINGLES = 50


def measure(setting: Setting) -> str:
    """Give the section of the page."""
    return "\n".join(["### Encodings\n", _encodings(setting), "### Sinks\n", _sinks(setting)])


# --- encodings


def _encodings(setting: Setting) -> str:
    events = golden() * max(1, 20 // setting.smaller)
    lines = [json_text(event) for event in events]
    parts = [Part(name, lambda work=work: _all(work, events)) for name, work in _WORKS]  # type: ignore[misc]
    parts.insert(0, Part("parse the line", lambda: _all(_parsed, lines)))
    size = statistics.mean(map(len, lines))
    rows = [
        (each.name, seconds(each.median), f"{1 / each.median:,.0f}", _bytes(each.name, events))
        for each in in_turn(parts, setting.runs)
    ]
    shown = table(("encoding", "per event", "events/s", "bytes"), rows)
    return _ENCODINGS.format(count=len(golden()), size=size) + "\n" + shown


_FORM = Form(facility="daemon", enterprise=32473, encoding="native", most=8192, pid=1)
_WORKS: list[tuple[str, Callable[[Any], object]]] = [
    ("native", lambda event: line("native", event)),
    ("ecs", lambda event: line("ecs", event)),
    ("ocsf", lambda event: line("ocsf", event)),
    ("cef", lambda event: line("cef", event)),
    ("otlp", lambda event: request([record(event)])),
    ("syslog, native", lambda event: message(_FORM, event)),
    ("syslog, shortened", lambda event: message(_FORM, brief(event))),
]


def _parsed(text: str) -> object:
    return Parcel(0, "", text).event


def _all(work: Callable[[Any], object], given: Sequence[object]) -> int:
    for each in given:
        work(each)
    return len(given)


def _bytes(name: str, events: Sequence[object]) -> str:
    work = dict(_WORKS).get(name)
    return f"{statistics.mean(len(work(each) or '') for each in events):.0f}" if work else ""  # type: ignore[arg-type]


# --- sinks


@dataclass(frozen=True)
class Rate:
    """What one sink did."""

    name: str
    per_s: float
    cpu_s: float
    single_s: float
    there: str

    @property
    def row(self) -> tuple[str, ...]:
        """Give the row of the table."""
        cpu, single = seconds(self.cpu_s), seconds(self.single_s)
        return self.name, f"{self.per_s:,.0f}", cpu, single, self.there


def _sinks(setting: Setting) -> str:
    runs, count = min(setting.runs, 3), 3_000 // setting.smaller
    rates, missing = [_to_a_file(count, runs)], []
    with tempfile.TemporaryDirectory() as place:
        pki = Pki(_folder(Path(place), "pki"))
        for name in CASES:
            print(f"  {name}      ", end="\r", file=sys.stderr, flush=True)
            try:
                rates.append(_to_receiver(name, count, runs, _folder(Path(place), name), pki))
            except pytest.skip.Exception as reason:
                missing.append(f"{name} ({reason})")
    words = _SINKS.format(
        count=count, batch=_BATCH, singles=_SINGLES, runs=runs, receipt=_RECEIPT_S
    )
    head = ("sink to receiver", "events/s", "CPU", "one", "there")
    shown = table(head, [rate.row for rate in rates])
    return "\n".join([words, shown, *([_MISSING.format("; ".join(missing))] if missing else [])])


def _folder(place: Path, name: str) -> Path:
    found = place / name
    found.mkdir()
    return found


def _to_a_file(count: int, runs: int) -> Rate:
    with tempfile.TemporaryDirectory(dir=".") as place:  # not a tmpfs: what fdatasync costs counts
        path = Path(place).absolute() / "events.jsonl"
        sink = file.open_sink(file.Options(kind="file", path=str(path), max_mb=0))
        return _rate("file", sink, count, runs, lambda: path.read_bytes().count(b"\n"))


def _to_receiver(name: str, count: int, runs: int, folder: Path, pki: Pki) -> Rate:
    stage = Stage(CASES[name], folder, pki)
    stage.start()
    try:
        sink = stage.sink(timeout_s=30)
        return _rate(_named(name), sink, count, runs, stage.server.count)
    finally:
        stage.server.stop()


def _named(name: str) -> str:
    return f"{CASES[name].kind}: {name}"


def _rate(name: str, sink: Sink, count: int, runs: int, arrived: Callable[[], int]) -> Rate:
    _timed(sink, count // 10)
    timed = [_timed(sink, count) for _ in range(runs)]
    singles = [_timed(sink, 1)[0] for _ in range(_SINGLES)]
    sink.close()
    sent = count // 10 + runs * count + _SINGLES
    with contextlib.suppress(AssertionError):
        until(lambda: arrived() >= sent, _RECEIPT_S)
    share = arrived() / sent
    return Rate(
        name,
        count / statistics.median(wall for wall, _ in timed),
        statistics.median(cpu for _, cpu in timed) / count,
        statistics.median(singles),
        "all" if share >= 1 else f"{share:.0%}",
    )


_numbers = itertools.count()


def _timed(sink: Sink, count: int) -> tuple[float, float]:
    """Deliver so many new events; give seconds of the clock and of our CPU."""
    parcels = [_parcel(event) for event in itertools.islice(itertools.cycle(golden()), count)]
    start, cpu = time.perf_counter(), time.process_time()
    for at in range(0, count, _BATCH):
        batch = parcels[at : at + _BATCH]
        if sink.deliver(batch) != [Delivered()] * len(batch):
            raise RuntimeError("not delivered")
    return time.perf_counter() - start, time.process_time() - cpu


def _parcel(event: dict[str, Any]) -> Parcel:
    number = next(_numbers)
    found = event | {"id": f"00000000-0000-4000-8000-{number:012d}"}
    return Parcel(number, found["id"], json_text(found))
