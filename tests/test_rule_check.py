"""Rules are checked in a process of its own: the same answer, and bounds that are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.correlated import PLAIN, text
from watcher import pack, rule_check
from watcher.errors import UsageError
from watcher.rule_check import MOST_BYTES, check, check_apart

FAULTY = text("type: event_count, rules: [nob], timespan: 1m, condition: {gte: 3}")


def test_apart_it_gives_the_same() -> None:
    """Rules and faults alike, as data that a cache keeps."""
    texts = {"r.yml": PLAIN, "faulty.yml": FAULTY, "no.yml": "{", "é\n.yml": "é: \udcff"}
    rules, faults = check(texts)
    assert check_apart(texts, {}) == (json.loads(json.dumps(rules)), [*map(str, faults)])
    assert len(faults) == 3


def test_it_is_no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon reloads with its threads running, one of which may hold any lock."""
    monkeypatch.setattr("os.fork", lambda: pytest.fail("forked"))
    assert len(check_apart({"r.yml": PLAIN}, {})[0]) == 4


def test_it_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog must not have to kill the daemon for it."""
    monkeypatch.setattr(rule_check, "LONGEST_S", 0.01)
    with pytest.raises(UsageError, match=r"the rules take longer than 0.01 s to check"):
        check_apart({"r.yml": PLAIN}, {})


def test_it_takes_no_more_memory_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that is not enough, the one line says so, and the daemon has lost nothing."""
    monkeypatch.setattr(rule_check, "MOST_BYTES", 50 << 20)
    many = "---\n".join([PLAIN] * 40)
    with pytest.raises(UsageError, match="the rules could not be checked: MemoryError"):
        check_apart({f"{at}.yml": many for at in range(2)}, {})


def test_who_has_less_memory_makes_do_with_it() -> None:
    """A limit that is there already (ulimit -v) is no fault, and is not raised."""
    code = "from watcher.rule_check import check_apart; print(check_apart({}, {}))"
    less = ["prlimit", f"--as={MOST_BYTES - (100 << 20)}"]
    if os.geteuid() == 0:  # who may raise limits does
        less = ["setpriv", "--bounding-set=-sys_resource", *less]
    done = subprocess.run(
        [*less, sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("([], [])\n", "")


def test_no_process_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none can be started it is told, and nothing else."""
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(UsageError, match="no process to check the rules in: No such file"):
        check_apart({"r.yml": PLAIN}, {})


# --- some files alone

OVER_SHIPPED = """
title: Many refusals
id: 0f6d7a2e-31a5-4a44-9a5b-2f9a8a3d7c11
level: high
correlation:
    type: event_count
    rules: [ccb41177-5d39-482d-8613-518dbda2bcbb]
    group-by: [host.boot_id]
    timespan: 1m
    condition: {gte: 2}
"""


def test_a_file_may_count_rules_that_always_run(tmp_path: Path) -> None:
    """Checked or run alone, a correlation finds the shipped rules; they are counted, not told."""
    (tmp_path / "mine.yml").write_text(OVER_SHIPPED)
    texts, rules, faults = pack.check_only([tmp_path])
    assert (len(texts), faults) == (1, [])
    assert [Path(rule["file"]).name for rule in rules] == ["denied.yml", "mine.yml"]
    loaded, faults = pack.load_only([tmp_path])
    assert faults == []
    assert [(rule.title, rule.silent) for rule in loaded.rules][1] == ("Many refusals", False)
    assert loaded.rules[0].silent


def test_a_shipped_file_is_not_its_own_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by another path, a file that always runs is the same file; its faults come once."""
    monkeypatch.chdir(pack.shipped())
    texts, rules, faults = pack.check_only([Path("correlations/lift_after_sysrq.yml")])
    assert faults == []
    assert {rule["title"] for rule in rules if rule["file"] in texts} == {
        "Magic keys were pressed",
        "Lockdown was lifted after other magic keys",
    }


def test_only_its_own_faults_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with rules that always run is another check's, and silences nobody here."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "lockdown-watcher" / "rules"
    folder.mkdir(parents=True)
    (folder / "bad.yml").write_text("{")
    over = "type: event_count, rules: [x], timespan: 1m, condition: {gte: 2}"
    (folder / "count.yml").write_text(text(over))
    (tmp_path / "x.yml").write_text(PLAIN.split("---\n")[0].replace("name: a", "name: x"))
    (rule,), faults = pack.check_only([tmp_path / "x.yml"])[1:]
    assert faults == []
    assert not rule["silent"]


REFUSED = "Lockdown: insmod: /dev/mem,kmem,port is restricted; see man kernel_lockdown.7"
BY_PROGRAM = """
title: A program asks again and again
id: 0f6d7a2e-31a5-4a44-9a5b-2f9a8a3d7c12
level: high
correlation:
    type: event_count
    rules: [ee59142a-ebef-4359-8a45-8c6c4520387f]
    group-by: [process.comm]
    timespan: 1m
    condition: {gte: 2}
"""


def tried(tmp_path: Path, rule: str) -> list[dict[str, Any]]:
    """What `rules test` says of a rule, over a log of three refusals and a magic key."""
    log = tmp_path / "dmesg.txt"
    lines = [
        *(f"[{at}.000000] {REFUSED}" for at in (1, 2, 90)),
        "[95.000000] sysrq: Emergency Sync",
    ]
    log.write_text("\n".join([*lines, "[96.000000] Lifting lockdown", ""]))
    done = subprocess.run(
        [sys.executable, "-m", "watcher", "rules", "test", rule, str(log)],
        capture_output=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_correlation_is_tried_too(tmp_path: Path) -> None:
    """`rules test` tells its hits, by the day of the last match; what it counts is not listed."""
    (tmp_path / "mine.yml").write_text(BY_PROGRAM)
    (row,) = tried(tmp_path, str(tmp_path / "mine.yml"))
    assert (row["title"], row["matches"]) == ("A program asks again and again", 1)
    assert [sample["text"] for sample in row["samples"]] == [
        "2 records in 1 s of process.comm 'insmod'"
    ]


def test_a_rule_that_only_counts_is_tried_by_itself(tmp_path: Path) -> None:
    """Alone or with the correlation it is for, by name or by file: both are listed."""
    (row,) = tried(tmp_path, "Magic keys were pressed")
    assert row["matches"] == 1
    rows = tried(tmp_path, "lift_after_sysrq")
    assert {each["title"]: each["matches"] for each in rows} == {
        "Magic keys were pressed": 1,
        "Lockdown was lifted after other magic keys": 0,  # a text knows of no boot
    }
