"""Real and hand-written lines through the whole pipeline, with the events they must give.

REFRESH=1 rewrites the golden events of the project's own corpus; look at the diff before you
commit it. The third-party lines stay where they are, beside the checkout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.parts import asked, missing
from watcher.detect import Detector
from watcher.pack import load_pack
from watcher.sources.text import TextSource

OWN = Path(__file__).parent / "corpus"
SHARED = Path(__file__).parent.parent.parent / "shared" / "corpus"
FILES = sorted(file for file in OWN.iterdir() if file.suffix != ".jsonl")


def events(file: Path) -> list[dict[str, Any]]:
    """All events of one text file, without the moment they were seen."""
    pack = load_pack()
    source = TextSource([str(file)], wanted=pack.prefilter().wants, now_us=lambda: 0)
    detector = Detector(pack)
    found = [e for batch in source.read() for item in batch for e in detector.events(item)]
    found += detector.flush()
    assert source.failures == []
    return [json.loads(event.json_line()) for event in found]


@cache
def shared(name: str) -> list[dict[str, Any]]:
    """The rows of one file of the shared corpus."""
    if not SHARED.is_dir():
        missing("the third-party corpus beside the checkout")
    return [json.loads(line) for line in (SHARED / name).read_text().splitlines()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_own_corpus(file: Path) -> None:
    """The project's own lines give exactly the events checked in beside them."""
    golden = file.with_name(f"{file.name}.jsonl")
    found = [{**e, "origin": {**e["origin"], "file": file.name}} for e in events(file)]
    text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in found)
    if asked("REFRESH"):
        golden.write_text(text)
    assert found == [json.loads(line) for line in golden.read_text().splitlines()]


def test_the_story() -> None:
    """The three lines of the story are three events that tell it."""
    enabled, denied, lifted = events(OWN / "story.txt")
    kinds = [event["kind"] for event in (enabled, denied, lifted)]
    assert kinds == ["lockdown.enabled", "lockdown.denied", "lockdown.lifted"]
    assert enabled["lockdown"]["cause"] == "efi_secure_boot"
    assert "bpf()" in enabled["advice"]
    assert denied["process"]["comm"] == "systemd"
    assert "once per boot" in denied["advice"]
    assert "silent" in denied["advice"]
    assert "gone" in lifted["advice"]
    assert lifted["severity"] == "critical"
    assert lifted["origin"]["monotonic_us"] == 58_310_913_828


def test_near_misses_of_our_own() -> None:
    """Lines that hold the words and are something else give nothing."""
    assert events(OWN / "near-misses.dmesg") == []


def of_line(line: str, folder: Path) -> list[dict[str, Any]]:
    """The events of one line as a file of its own."""
    file = folder / "line.txt"
    file.write_text(line + "\n")
    return events(file)


def test_third_party_lines(tmp_path: Path) -> None:
    """Every real line gives exactly one event with its kind, reason and process: 100 %."""
    for row in shared("lines.jsonl"):
        found = of_line(row["line"], tmp_path)
        assert [e["kind"] for e in found] == [row["kind"]], row["line"]
        (event,) = found
        assert event["process"]["comm"] == row["comm"], row["line"]
        if event["kind"] in ("lockdown.denied", "lockdown.enabled"):
            assert event["lockdown"]["text"] == row["reason_text"], row["line"]
        if event["kind"] == "lockdown.denied":
            assert event["lockdown"]["reason"], row["line"]


def test_third_party_lines_in_one_file(tmp_path: Path) -> None:
    """All of them in one file, frames mixed and unannounced, give as many events in order."""
    rows = shared("lines.jsonl")
    file = tmp_path / "all.txt"
    file.write_text("".join(row["line"] + "\n" for row in rows))
    assert [e["kind"] for e in events(file)] == [row["kind"] for row in rows]


def near_misses() -> Iterator[str]:
    """The lines of the shared near misses, without the reasons after the tab."""
    if not SHARED.is_dir():
        missing("the third-party corpus beside the checkout")
    for line in (SHARED / "near-misses.txt").read_text().splitlines():
        yield line.rpartition("\t#")[0]


def test_third_party_near_misses(tmp_path: Path) -> None:
    """No event for any of them."""
    for line in near_misses():
        assert of_line(line, tmp_path) == [], line


def test_third_party_torn_lines(tmp_path: Path) -> None:
    """Half a line never invents: what it gives is of its kind, and what is missing is null."""
    for row in shared("torn.jsonl"):
        for event in of_line(row["line"], tmp_path):
            assert event["kind"] == row["kind"], row["line"]
            assert event["process"]["comm"] in (None, row["comm"]), row["line"]
            assert event["lockdown"]["text"] in (None, row["reason_text"]) or (
                event["kind"] == "module.signature"
            ), row["line"]
            assert event["warnings"], row["line"]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("debian-5.10.262-confidentiality", {"lockdown.denied": 59, "lockdown.forged": 1}),
        ("debian-6.12.117-confidentiality", {"lockdown.suppressed": 2, "lockdown.forged": 1}),
        ("debian-6.1.192-raised-at-runtime", {"lockdown.enabled": 2, "module.signature": 1,
                                              "bpf.warning": 1, "lockdown.suppressed": 1}),
    ],
)  # fmt: skip
def test_real_kernel_logs(name: str, kinds: dict[str, int]) -> None:
    """Raw records of real locked kernels: each line is an event, the forged one too."""
    if not SHARED.is_dir():
        missing("the third-party corpus beside the checkout")
    found = [e["kind"] for e in events(SHARED / "kmsg-real" / f"{name}.kmsg")]
    assert {kind: found.count(kind) for kind in kinds} == kinds
    assert "lockdown.unknown" not in found


def test_the_hostile_names_of_a_real_kernel() -> None:
    """Names made to mislead, from a real ring buffer, come out whole."""
    if not SHARED.is_dir():
        missing("the third-party corpus beside the checkout")
    found = events(SHARED / "kmsg-real" / "debian-6.12.117-confidentiality.kmsg")
    names = {e["process"]["comm"] for e in found if e["kind"] == "lockdown.denied"}
    assert {"evil: hib\n<0>x", "a: use of kprob", "init", "swapper", "swapper/0"} == names
