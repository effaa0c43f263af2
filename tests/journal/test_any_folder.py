"""Rules written for other logs run over the journal, and those that cannot say why."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import pytest

from tests.journal.real import (
    Entry,
    Journald,
    build,
    entry,
    items,
    line,
    lockdown_line,
    mark,
    records,
)
from tests.parts import missing
from tests.replay import kernel_record
from tests.test_cli import lines, run
from watcher import pack as packs
from watcher.delivery.store import Store
from watcher.detect import Detector
from watcher.rules.evaluate import Fields
from watcher.rules.parse import parse
from watcher.rules.rule import Pack, Rule, compile_rule
from watcher.sources.journal import JournalSource, Span
from watcher.sources.journal_files import Where

SIGMA: Final = Path(__file__).parents[2] / "../shared/sigma-linux/rules/linux"
DAY_US: Final = 86_400_000_000


def sigma() -> Path:
    """SigmaHQ's Linux rules, where they are."""
    if not SIGMA.is_dir():
        missing(str(SIGMA))
    return SIGMA


def audit(kind: str, message: str, *fields: tuple[str, str], at_us: int = 0) -> Entry:
    """An audit record as journald-audit.c makes one."""
    return entry(
        at_us,
        ("_TRANSPORT", "audit"),
        ("_AUDIT_TYPE_NAME", kind),
        ("_AUDIT_TYPE", "1309"),
        ("SYSLOG_FACILITY", "4"),
        ("SYSLOG_IDENTIFIER", "audit"),
        ("MESSAGE", f"{kind} {message}"),
        *fields,
    )


def program(identifier: str, message: str, *more: tuple[str, str], at_us: int = 0) -> Entry:
    """What a program said over syslog."""
    return entry(
        at_us,
        ("_TRANSPORT", "syslog"),
        ("SYSLOG_IDENTIFIER", identifier),
        ("MESSAGE", message),
        *more,
    )


ENTRIES: Final = (
    line(lockdown_line("evil")),
    program("sshd-session", "fatal: Corrupted MAC on input. [preauth]"),
    program("editor", "Corrupted MAC on input"),
    program("editor", lockdown_line("quoted")),
    program("x", "started", ("_EXE", "/usr/bin/nohup"), ("_CMDLINE", "nohup sleep 1")),
    audit(
        "EXECVE",
        'argc=3 a0="wget" a1=2D2D706F73742D66696C653D6120622E747874 a2="evil"',
        ("_AUDIT_FIELD_A0", '"wget"'),
        ("_AUDIT_FIELD_A1", "2D2D706F73742D66696C653D6120622E747874"),
    ),
    audit(
        "SYSCALL",
        "arch=c000003e syscall=59 euid=33",
        ("_AUDIT_FIELD_ARCH", "c000003e"),
        ("_AUDIT_FIELD_SYSCALL", "59"),
        ("_EUID", "33"),
    ),
    audit(
        "SYSCALL",
        "arch=c00000b7 syscall=59 euid=33",
        ("_AUDIT_FIELD_ARCH", "c00000b7"),
        ("_AUDIT_FIELD_SYSCALL", "59"),
        ("_EUID", "33"),
    ),
    audit(
        "PATH",
        'item=1 name="/etc/cron.d/evil" nametype=CREATE',
        ("_AUDIT_FIELD_NAME", "/etc/cron.d/evil"),
        ("_AUDIT_FIELD_NAMETYPE", "CREATE"),
    ),
    entry(0, ("_TRANSPORT", "journal"), ("_EXE", "/usr/bin/nohup")),
    line("Lifting lockdown"),
    program("sshd-session", "Corrupted MAC on input", at_us=2 * DAY_US),
)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal file with an entry of each kind."""
    return build(tmp_path / "all.journal", ENTRIES)


def rule(text: str) -> Rule:
    """One rule, from its text."""
    (data,), faults = parse({"r.yml": text})
    assert faults == []
    return compile_rule(data)


HEAD = "title: t\nid: 5a1f6b0e-6c55-4d0e-8f6e-2f1f1c3b9a01\nlevel: low\n"


def test_sigmahq_loads_whole() -> None:
    """All 210 rules load; those that can match nothing here are named, each with its reason."""
    done = run("rules", "check", str(sigma()))
    assert done.returncode == 0
    assert done.stdout.decode().startswith("210 rules, 0 faults, 15 of them can match nothing")
    told = done.stderr.decode().splitlines()
    assert len(told) == 15
    assert all("can match nothing here: it " in each for each in told)
    parent = next(each for each in told if "java_children" in each)
    assert parent.endswith("it needs ParentImage, which no journal entry has")
    wget = next(each for each in told if "wget_download_file" in each)
    assert wget.endswith(
        "it asks one entry for _AUDIT_FIELD_NAME, _AUDIT_FIELD_NAMETYPE and _EXE,"
        " which are never in one"
    )


def test_sigmahq_over_a_journal(journal: Path) -> None:
    """`rules test FOLDER`: sshd, processes and audit records are found, and only those."""
    done = run("rules", "test", str(sigma()), str(journal))
    assert done.returncode == 0, done.stderr
    rows = {Path(row["file"]).stem: row for row in lines(done.stdout)}
    assert len(rows) == 210
    found = {name: row["matches"] for name, row in rows.items() if row["matches"]}
    assert found == {
        "lnx_sshd_susp_ssh": 2,  # not what the editor said
        "proc_creation_lnx_nohup": 2,  # one entry has no MESSAGE
        "lnx_auditd_data_exfil_wget": 1,  # quoted and in hexadecimal
        "lnx_auditd_web_rce": 1,  # 59 is execve on one of the two machines
        "file_event_lnx_susp_cron_file_created": 1,
    }
    sshd = rows["lnx_sshd_susp_ssh"]
    assert sshd["days"] == {"2025-10-09": 1, "2025-10-11": 1}
    assert sshd["samples"][0] == {
        "time": "2025-10-09T08:53:20.000000Z",
        "host": "tested",
        "identifier": "sshd-session",
        "text": "fatal: Corrupted MAC on input. [preauth]",
    }
    assert rows["proc_creation_lnx_susp_java_children"]["why_not"] == (
        "can match nothing here: it needs ParentImage, which no journal entry has"
    )


def test_for_people(journal: Path) -> None:
    """On a terminal the days are bars, and a sum ends it."""
    rules = sigma() / "builtin/sshd"
    out = run("rules", "test", str(rules), str(journal), "-o", "human").stdout.decode()
    assert "2  Suspicious OpenSSH Daemon Error  (medium, lnx_sshd_susp_ssh.yml)" in out
    assert f"    2025-10-11  {'#' * 40}  1" in out
    assert out.endswith("matches: 2, by 1 of 1 rules, in 4 entries\n")


def test_since_and_samples(journal: Path) -> None:
    """The span and the number of samples are the user's."""
    rules = str(sigma() / "builtin/sshd")
    (row,) = lines(
        run("rules", "test", rules, str(journal), "--since", "2025-10-10", "--samples", "0").stdout
    )
    assert (row["matches"], row["samples"]) == (1, [])


def test_a_log_that_is_not_here(tmp_path: Path) -> None:
    """A rule whose log has no entry in this journal says so, instead of a mere nought."""
    build(tmp_path / "few.journal", [program("editor", "hello")])
    done = run("rules", "test", str(sigma()), "--journal-dir", str(tmp_path))
    why = {Path(row["file"]).stem: row["why_not"] for row in lines(done.stdout)}
    assert why["lnx_auditd_web_rce"] == "it reads audit records, of which this journal has none"
    assert why["lnx_sshd_susp_ssh"] == (
        "it reads the log of sshd, sshd-auth, sshd-session, which wrote nothing to this journal"
    )
    assert why["lnx_shellshock"] is None


def test_scan_with_rules_of_ones_own(journal: Path) -> None:
    """`scan --rules FOLDER` makes events; a program that quotes the kernel forges nothing."""
    done = run("scan", "--rules", str(sigma()), str(journal))
    events = lines(done.stdout)
    assert done.returncode == 0, done.stderr
    assert {event["kind"] for event in events} == {"rule.match"}
    assert len(events) == 7
    (sshd, *_) = [event for event in events if "Corrupted" in event["message"]]
    assert (sshd["severity"], sshd["title"]) == ("medium", "Suspicious OpenSSH Daemon Error")


def test_a_shipped_rule_by_any_name(journal: Path) -> None:
    """`rules test` takes an id, a title, a file's name, in any case."""
    shipped = packs.load_pack().rules
    lifted = next(rule for rule in shipped if rule.kind == "lockdown.lifted")
    for name in (lifted.id, lifted.title.upper(), "lifted", "lifted.yml"):
        (row,) = lines(run("rules", "test", name, str(journal)).stdout)
        assert (row["id"], row["matches"]) == (lifted.id, 1)
    wrong = run("rules", "test", "no-such-rule")
    assert wrong.returncode == 2
    assert b"no rule 'no-such-rule'" in wrong.stderr


def test_single_faults_do_not_stop_a_folder(journal: Path, tmp_path: Path) -> None:
    """What is wrong with one foreign rule is told, the others run; nothing left is an error."""
    (tmp_path / "bad.yml").write_text("title: x\n")
    (tmp_path / "good.yml").write_text(
        HEAD + "logsource: {product: linux}\ndetection: {k: [Corrupted], condition: k}\n"
    )
    done = run("scan", "--rules", str(tmp_path), str(journal))
    assert done.returncode == 0
    assert len(lines(done.stdout)) == 3
    assert b"bad.yml" in done.stderr
    (tmp_path / "good.yml").unlink()
    assert run("scan", "--rules", str(tmp_path), str(journal)).returncode == 2


@pytest.mark.parametrize(
    ("detection", "why"),
    [
        ("s: {_TRANSPORT: kernel, _CMDLINE: x}", "which are never in one"),
        ("s: {lower: x}", "needs lower, which no journal entry has"),
        ("s: {lower: null, MESSAGE: x}", None),
        ("s: {MESSAGE: x}\n  f: {lower: x}\n  condition: s and not f", None),
        ("s: {_TRANSPORT: audit, _AUDIT_TYPE_NAME: PATH, _EXE: x}", "which are never in one"),
        ("s: {_TRANSPORT: audit, _AUDIT_TYPE_NAME: SYSCALL, _EXE: x}", None),
        ("s: {ANY_NAME: x}", None),
    ],
)
def test_what_can_never_match(detection: str, why: str | None) -> None:
    """Only what no journal entry can have is said never to match."""
    condition = "" if "condition" in detection else "  condition: s\n"
    text = f"{HEAD}logsource: {{product: linux}}\ndetection:\n  {detection}\n{condition}"
    said = rule(text).never
    assert (said is None) if why is None else (said and said.endswith(why))


def test_another_systems_rule_is_named() -> None:
    """A rule about Windows loads and says that it is about Windows."""
    text = HEAD + "logsource: {product: windows}\ndetection: {s: {Image: x}, condition: s}\n"
    assert rule(text).never == "is about windows"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("wget", '"wget"'),
        ("wget", "WGET"),
        ("a b", "612042"),
        ("'a?c'", "610a63"),
        ("'*é*'", "C3A9"),
    ],
)
def test_audit_texts_as_the_kernel_writes_them(value: str, field: str) -> None:
    """Quoted, bare or hexadecimal in either case, an argument is the same argument."""
    text = f"{HEAD}logsource: {{product: linux, service: auditd}}\n"
    each = rule(f"{text}detection: {{s: {{a1: {value}}}, condition: s}}\n")
    assert each.matches(Fields({"_TRANSPORT": "audit", "_AUDIT_FIELD_A1": field}))
    assert not each.matches(Fields({"_TRANSPORT": "audit", "_AUDIT_FIELD_A1": f"0{field}"}))


def test_a_rule_for_the_journal_is_left_alone() -> None:
    """What names a field of the journal gets no condition and no mapping."""
    text = f"{HEAD}logsource: {{product: linux, service: sshd}}\n"
    each = rule(f"{text}detection: {{s: {{_COMM: x, User: y}}, condition: s}}\n")
    assert each.matches(Fields({"_COMM": "x", "User": "y"}))


def test_hits_by_rule(tmp_path: Path) -> None:
    """`rules list` counts what the daemon recorded; without a store it says none."""
    detector = Detector(packs.load_pack())
    text = [lockdown_line("a"), lockdown_line("b"), "Lifting lockdown"]
    found = [
        event for each in text for event in detector.events(kernel_record(each, text.index(each)))
    ]
    env = {"XDG_STATE_HOME": str(tmp_path)}
    rows = lines(run("rules", "list", env=env).stdout)
    assert {row["hits"] for row in rows} == {None}
    with Store(tmp_path / "lockdown-watcher") as store:
        store.commit(found, {}, 1)
    rows = lines(run("rules", "list", env=env).stdout)
    counted = {Path(row["file"]).stem: row["hits"] for row in rows if row["hits"]}
    assert sum(counted.values()) == 3
    assert counted["lifted"] == 1
    people = run("rules", "list", "-o", "human", env=env).stdout.decode().splitlines()
    assert people[0].startswith("HITS")


def test_own_events_are_not_judged_again(tmp_path: Path) -> None:
    """An event in the journal that a rule's words match makes no event, or it would go for ever.

    Only what journald says of the writer hides an entry, never what the writer says.
    """
    told = ("LOCKDOWN_EVENT_ID", "1")
    entries = [
        program(
            "lockdown-watcher", "Corrupted", told, ("_SYSTEMD_UNIT", "lockdown-watcher.service")
        ),
        program("lockdown-watcher", "Corrupted", told, ("_SYSTEMD_UNIT", "evil.service")),
        program("lockdown-watcher", "Corrupted", ("_SYSTEMD_UNIT", "lockdown-watcher.service")),
    ]
    file = build(tmp_path / "own.journal", entries)
    (tmp_path / "r.yml").write_text(
        HEAD + "logsource: {product: linux}\ndetection: {k: [corrupted], condition: k}\n"
    )
    assert len(lines(run("scan", "--rules", str(tmp_path / "r.yml"), str(file)).stdout)) == 2


def test_live_and_after_a_reload(journald: Journald) -> None:
    """New rules about a program are served at once, with a real journald.

    They also see what came since the last entry that the old rules had read: nothing is skipped.
    """
    shipped = packs.load_pack()
    word = mark()
    text = (
        f"detection: {{s: {{SYSLOG_IDENTIFIER: lwprog, MESSAGE|contains: {word}}}, condition: s}}"
    )
    own = rule(f"{HEAD}logsource: {{product: linux}}\n{text}\n")
    source = JournalSource(
        shipped.prefilter(*JournalSource.also),
        Where(namespace=journald.namespace),
        Span(only_new=True),
    )
    with contextlib.closing(source):
        journald.syslog(f"<13>lwprog: {word} before")
        journald.sync()
        assert records(items(source)) == []
        pack = Pack((*shipped.rules, own))
        source.use(pack.prefilter(*source.also))
        journald.syslog(f"<13>lwprog: {word} after")
        journald.syslog(f"<13>other: {word} after")
        journald.sync()
        found = [each for each in records(items(source)) if word in each.text]
        assert [each.text for each in found] == [f"{word} before", f"{word} after"]
        assert all(pack.matching(each, None) == [own] for each in found)


def test_a_foreign_rules_words_move_no_cursor(journal: Path, tmp_path: Path) -> None:
    """Titles and file names of rules are shown, never obeyed, by a terminal."""
    title = '"a\\e[2Jb"'
    (tmp_path / "r\x1b[1m.yml").write_text(
        HEAD.replace("title: t", f"title: {title}")
        + "logsource: {product: linux}\ndetection: {k: [Corrupted], condition: k}\n"
    )
    env = {"LOCKDOWN_WATCHER_CONFIG": str(tmp_path / "c.toml")}
    (tmp_path / "c.toml").write_text(f'[rules]\nfolders = ["{tmp_path}"]\n')
    shown = (
        run("rules", "test", str(tmp_path), str(journal), "-o", "human").stdout
        + run("rules", "list", "-o", "human", env=env).stdout
        + run("rules", "check", str(tmp_path)).stdout
    )
    assert shown.count(b"a\\x1b[2Jb") == 2
    assert b"\x1b" not in shown
