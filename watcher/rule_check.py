"""Check rules: parse them with pySigma and hold them against their examples, here or apart.

pySigma costs 12 MB that never come back, so what runs on has it done in another process. That is a
program of its own, not a fork: a daemon reloads while the threads of its sinks run, and a forked
copy of a lock that one of them holds is never let go.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from watcher.errors import UsageError
from watcher.rules.rule import RuleData, beneath, compile_rule, counted

if TYPE_CHECKING:
    from watcher.rules.faults import Fault

Texts = dict[str, str]
"""Rule files by name."""

Expand = Mapping[str, tuple[str, ...]]
"""What %name% stands for in rules, from [rules.expand]."""

LONGEST_S: Final = 90.0
"""What a check apart may take: the service's watchdog waits for 120 s. 10,000 rules took 25."""

MOST_BYTES: Final = 1 << 30
"""The address space a check apart may have. 10,000 rules took 0.16 GB."""

_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[1:]; from watcher.rule_check import answer; answer()"
)


def check(
    texts: Texts, expand: Expand | None = None, beside: Texts | None = None
) -> tuple[list[RuleData], list[Fault]]:
    """Parse rules and hold them against their examples; give those that run and every fault.

    Correlations may count rules of `beside` too; of those nothing else is given.
    """
    from watcher.examples import faults as missed
    from watcher.rules.faults import Fault, document_of, line_of_key
    from watcher.rules.parse import parse
    from watcher.sequences import misses

    with _quiet():
        rules, faults = parse({**(beside or {}), **texts}, expand or {}, texts.keys())
    for rule in rules:
        if rule["file"] in texts and not rule["correlation"]:
            line = line_of_key(document_of(texts[rule["file"]], rule["id"]), "examples")
            faults += [Fault(rule["file"], text, line) for text in missed(compile_rule(rule))]
    faults += [Fault(file, text) for file, text in misses(rules)]
    by_id = {rule["id"]: rule for rule in rules}
    running = {each: rule for each, rule in by_id.items() if rule["status"] != "deprecated"}
    asked = [each for each, rule in running.items() if rule["file"] in texts]
    counts = counted(running.values())
    wanted = {*asked, *(inner for each in asked for inner in beneath(each, counts))}
    return (
        [rule for each, rule in running.items() if each in wanted],
        [fault for fault in faults if fault.file in texts],
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what pySigma's re2 writes to stderr by itself about a bad pattern: it is told once."""
    kept, silence = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silence)


def check_apart(texts: Texts, expand: Expand) -> tuple[list[RuleData], list[str]]:
    """Do what `check` does, in a process of its own; faults are told as text.

    Raises UsageError where that process takes too long, or too much memory.
    """
    import subprocess

    # Isolated (-I), as the installed program is, with the very libraries that this process has.
    command = [sys.executable, "-I", "-c", _PROGRAM, *sys.path]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and a text of ours
            command,
            input=json.dumps([MOST_BYTES, texts, expand]),
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"the rules take longer than {LONGEST_S:g} s to check") from None
    except OSError as error:
        raise UsageError(f"no process to check the rules in: {error.strerror}") from error
    if done.returncode:
        why = (done.stderr.splitlines() or [f"its process ended with {done.returncode}"])[-1]
        raise UsageError(f"the rules could not be checked: {why}")
    rules, faults = json.loads(done.stdout)
    return rules, faults


def answer() -> None:
    """Be that process: read texts from stdin, write rules and faults to stdout."""
    import resource

    gc.disable()  # as in __main__: it ends before there is rubbish worth collecting
    most, texts, expand = json.load(sys.stdin)
    with contextlib.suppress(ValueError):  # who started this has set a lower one
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    rules, faults = check(texts, expand)
    json.dump([rules, [*map(str, faults)]], sys.stdout)
