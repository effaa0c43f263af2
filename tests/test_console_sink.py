"""The console sink: each event once, whole, whatever the other end does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.replay import events, parcels
from watcher.sinks.console import ConsoleSink, Options, open_sink
from watcher.sinks.sink import Delivered, Parcel, Refused, Retry


def opened(fd: int, output: str = "json") -> ConsoleSink:
    """Make the sink on a descriptor."""
    return ConsoleSink(Options.model_validate({"kind": "console", "output": output}), fd)


def test_lines_go_out_as_they_are(tmp_path: Path) -> None:
    """JSON Lines, byte for byte those of the store."""
    sent = parcels(events(3))
    with (tmp_path / "out").open("wb") as out:
        assert opened(out.fileno()).deliver(sent) == [Delivered()] * 3
    assert (tmp_path / "out").read_text() == "".join(f"{each.line}\n" for each in sent)


def test_for_people(tmp_path: Path) -> None:
    """A headline and its advice."""
    with (tmp_path / "out").open("wb") as out:
        assert opened(out.fileno(), "human").deliver(parcels(events(2))) == [Delivered()] * 2
    assert (tmp_path / "out").read_text().count("Hibernation") >= 2


def test_a_full_disk_keeps_nothing_back() -> None:
    """What could not be written is not written later besides."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        sink = opened(full.fileno())
        for _ in range(3):
            [verdict] = sink.deliver(parcels(events(1)))
            assert verdict == Retry("standard output: No space left on device")


@pytest.mark.parametrize("size", [0, 10_000])
def test_a_pipe_nobody_empties(size: int) -> None:
    """What it took is delivered; what it took half of stands alone and comes again, once.

    Of lines up to PIPE_BUF a pipe takes all or nothing (pipe(7)); longer ones are torn.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    sent = [Parcel(n, str(n), json.dumps({"id": str(n), "pad": "x" * size})) for n in range(5000)]
    sent = sent[: 50 if size else 5000]
    sink, left, got, tries = opened(writing), sent, b"", 0
    while left:
        verdicts = sink.deliver(left)
        done = verdicts.count(Delivered())
        assert all(isinstance(each, Retry) for each in verdicts[done:])
        left, tries = left[done:], tries + 1
        got += os.read(reading, 1 << 20)
    os.close(reading)
    os.close(writing)
    lines = got.decode().splitlines()
    assert tries > 1
    assert [each for each in lines if whole(each)] == [each.line for each in sent]
    assert any(not whole(each) for each in lines) == bool(size)


def whole(line: str) -> bool:
    """Tell whether a line is one whole object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@pytest.mark.parametrize("output", ["json", "human"])
def test_what_cannot_be_read_is_refused_alone(output: str, tmp_path: Path) -> None:
    """A damaged event stops no other."""
    first, last = parcels(events(2))
    bad = [Parcel(9, "x", each) for each in ("no json", "[]", '{"schema": 2}')]
    with (tmp_path / "out").open("wb") as out:
        verdicts = opened(out.fileno(), output).deliver([first, *bad, last])
    assert [type(each) for each in verdicts] == [Delivered, *[Refused] * 3, Delivered]


def test_it_is_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """As configured."""
    assert sys.stdout.fileno() >= 0
    open_sink(Options(kind="console")).deliver(parcels(events(1)))
    assert capfd.readouterr().out.count("\n") == 1
