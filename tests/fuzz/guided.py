"""Coverage-guided fuzzing by atheris: one process for each target, two at a time."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.fuzz import grammar
from tests.fuzz.rule_grammar import rule_file

_SEEDS: Final = 300
_AT_ONCE: Final = 2

TARGETS: Final[dict[str, Callable[[random.Random], bytes]]] = {
    "atheris_lockdown": lambda dice: dice.choice(grammar.TEXTS)(dice),
    "atheris_frames": grammar.line,
    "atheris_kmsg": lambda dice: grammar.kmsg(dice.choice(grammar.TEXTS)(dice), dice),
    "atheris_rules": rule_file,
}


def run_all(seconds: int, folder: Path) -> Iterator[str]:
    """Run every target, `seconds` in all; say what each did and give what each found."""
    names = list(TARGETS)
    each_s = max(1, seconds * _AT_ONCE // len(names))
    for at in range(0, len(names), _AT_ONCE):
        running = [(name, _start(name, each_s, folder)) for name in names[at : at + _AT_ONCE]]
        for name, process in running:
            said, _ = process.communicate()
            yield from _outcome(name, process.returncode, said)


def _start(name: str, seconds: int, folder: Path) -> subprocess.Popen[str]:
    corpus, found = folder / name, folder / "found"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    dice = random.Random(name)
    for number in range(_SEEDS):
        (corpus / f"seed-{number}").write_bytes(TARGETS[name](dice))
    options = (f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-max_len=4096")
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            f"tests.fuzz.{name}",
            *options,
            f"-artifact_prefix={found}/",
            corpus,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _outcome(name: str, status: int, said: str) -> Iterator[str]:
    runs = re.findall(r"Done (\d+) runs in (\d+) second", said)
    covered = re.findall(r"cov: (\d+)", said)
    if runs and not status:
        print(f"{name}: {int(runs[-1][0]):,} runs in {runs[-1][1]} s, {covered[-1]} edges")
        return
    kept = re.findall(r"Test unit written to (\S+)", said)
    told = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception|ERROR)\b.*", said, re.MULTILINE)
    why = told[0] if told else said.strip()[-300:]
    yield f"{name}: status {status}: {why} (input in {kept[-1] if kept else 'none'})"
