"""More frames, and messages that do not keep to one line: what a reviewer found."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parts import missing
from tests.test_corpus import events as events_of
from tests.test_text import (
    BPF,
    ENTRIES,
    EVIL,
    NOW_US,
    REMOTE,
    SHORT,
    entry,
    journal,
    journalctl,
    read,
)
from watcher.lockdown import recognise
from watcher.record import Gap, Place, Record
from watcher.sources.claims import record_of_frame
from watcher.sources.frames import unframe
from watcher.sources.stamps import Moment, moment_of
from watcher.sources.text import TextSource

__all__ = ["journal", "read"]
Read = Callable[[bytes | str], list[Record]]
M = "Lockdown: systemd-logind: hibernation is restricted; see man kernel_lockdown.7"
TRACEFS = "Lockdown: b: use of tracefs is restricted; see man kernel_lockdown.7"


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


Kinds = Callable[[bytes | str], list[tuple[str, str | None]]]


@pytest.fixture
def kinds(tmp_path: Path) -> Kinds:
    """Give kind and process name of the events of a text, by the shipped rules."""

    def _kinds(text: bytes | str) -> list[tuple[str, str | None]]:
        path = tmp_path / "log.txt"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return [(event["kind"], event["process"]["comm"]) for event in events_of(path)]

    return _kinds


LINES = """\
web.1.abc123@node1    | [    2.198433] {M}
#5 12.34 [    2.198433] {M}
\x1b_bk;t=1690000000000\x07[    2.198433] {M}
{noformat}[    2.198433] {M}{noformat}
{code}[    2.198433] {M}{code}
{code:java}{M}{code}
1. `[    2.198433] {M}`
<td>12</td><td>[    2.198433] {M}</td>
<td class="line-number">12</td><td>[    2.198433] {M}</td>
Sep 27 14:02:11 [kernel] [    2.198433] {M}
Sep 27 14:02:11 [kernel] {M}
2019-09-27T14:02:11.12345 kern.notice: [    2.198433] {M}
2019-09-27T14:02:11.12345 kern.notice: {M}
[Fri Sep 27 14:02:11 2019][    T1] {M}
[Fri Sep 27 14:02:11 2019][    2.198433] {M}
"[    2.198433] {M}",
'[    2.198433] {M}',
C:\\logs\\boot.txt:12:[    2.198433] {M}
L12: [    2.198433] {M}
&#91;    2.198433&#93; {M}
[&nbsp;&nbsp;&nbsp; 2.198433] {M}
[    2.198433]&nbsp;{M}
[\xa0\xa0\xa0 2.198433]\xa0{M}
Sep\xa027\xa014:02:11\xa0host\xa0kernel:\xa0{M}
Sep &nbsp;7 14:02:11 host kernel: {M}
Jan  1 00:00:10 (none) user.info kernel: [    0.003028] {M}
kern.log:2024-06-11T15:36:29.08+02:00 host kernel: {M}
12:2024-06-11T15:36:29.08+02:00 host kernel: {M}
journal.txt:févr. 09 12:28:50 host kernel: {M}
dmesg.txt:kern  :notice: [ 1.0] {M}
dmesg.txt:[Mon Sep 29 21:40:55 2025] {M}
kmsg.txt:5,416,44747398,-;{M}
dmesg.txt:{M}
12:{M}
(standard input):12:[ 1.0] {M}
a.log-[ 1.0] {M}
2025-02-09T12:28:50.123456Z 01O [   12.3] {M}
2025-02-09T12:28:50.123456Z 01O+{M}
[ 2월 9 12:28] {M}
[ 2月  9 12:28] {M}
[Mon Sep 29 21:40:55 2025]{M}
debian login: [ 12.3] {M}
root@host:~# [ 12.3] {M}
/ # [ 12.3] {M}
(initramfs) [ 12.3] {M}
[  OK  ] Started foo.[ 12.3] {M}
:[ 1.0] {M}
JD> [ 1.0] {M}
Feb 09 12:28:50 host  kernel: {M}
Feb 09 12:28:50 host\tkernel: {M}
9 Feb 12:28:50 host kernel: {M}
[  123.456789][T1:C0] {M}
Feb 09 12:28:50 host kernel: message repeated 3 times: [ {M}]
6.12.0,5,416,44747398,-;{M}
120 <5>1 2024-06-11T15:36:29.08+02:00 host kernel - - - {M}
[code]{M}[/code]
&lt;5&gt;[ 1.0] {M}
&quot;{M}&quot;
"{M}"
+[ 1.0] {M}""".splitlines()


@pytest.mark.parametrize("line", LINES)
def test_more_frames_go(line: str) -> None:
    """grep, prompts, serial consoles, job logs, odd syslog daemons and pasted markup."""
    record = record_of_frame(unframe(line.replace("{M}", M)), Place("text"), Moment(), 0)
    assert (record.text, record.trust) == (M, "unverified")
    assert record.fields["_TRANSPORT"] == "kernel"


@pytest.mark.parametrize(
    "line", ["<bob> {M}", "<bob> Lifting lockdown", "x: {M}", "a b # {M}", "x: [ 1.0] {M}"]
)
def test_words_before_a_message_are_no_frame(line: str) -> None:
    """A nickname in a chat is no HTML tag, and a prompt is one only before a kernel stamp."""
    assert recognise(unframe(line.replace("{M}", M)).text) is None


def test_twelve_hours_and_audit_logs_of_grep() -> None:
    """PM is the afternoon; the file name before an audit record goes."""
    stamp = unframe(f"Feb 09 03:05:07 PM host kernel: {M}").stamp
    assert moment_of(stamp, NOW_US).time_us == 1_770_649_507_000_000
    framed = unframe("/var/log/audit/audit.log:type=AVC msg=audit(1597817908.123:456): avc:  x")
    assert (framed.identifier, framed.text[:9]) == ("audit", "type=AVC ")


@pytest.mark.parametrize("before", ["", "Feb 09 12:28:50 host kernel: "])
def test_a_program_after_a_kernel_stamp_makes_no_claim(before: str) -> None:
    """systemd writes into the kernel's log; bpf_probe_write_user's line has no colon."""
    line = before + "[    5.0] systemd[1]: foo.service skipped due to lockdown"
    record = record_of_frame(unframe(line), Place("text"), Moment(), 0)
    assert record.fields["_TRANSPORT"] == "syslog"
    assert record.fields["SYSLOG_IDENTIFIER"] == "systemd"


def test_the_probe_write_user_line_is_the_kernels() -> None:
    """It begins with a process and its id too, but without a colon."""
    line = "[    5.0] x[7]" + " is installing a program with bpf_probe_write_user helper"
    assert unframe(line).program is None


@pytest.mark.parametrize("frame", ["<13>[ 1.0] ", "<14>host user.info kernel: ", "13,1,2,-;"])
def test_a_facility_as_a_number_still_tells_a_forger(frame: str) -> None:
    """Only the word beside "kernel:" is the syslog daemon's own."""
    record = record_of_frame(unframe(frame + M), Place("text"), Moment(), 0)
    assert (record.text, record.trust) == (M, "injected")


@pytest.mark.parametrize(
    "line", ["Lockdown: a", "[ 1.0] Lockdown: a\n[ 1.0] b", "[ 1.0] Lockdown: "]
)
def test_torn_lines_take_linear_time(line: str, read: Read) -> None:
    """Lines that may go on and never do cost no more than others."""
    started = time.process_time()
    read(f"{line}\n" * 20_000)
    assert time.process_time() - started < 10


def test_repeats_are_told(read: Read) -> None:
    """rsyslog's count is a warning of the one record."""
    found = read(f"Feb 09 12:28:50 host kernel: message repeated 3 times: [ {M}]\n")
    assert [(r.text, r.warnings[-1]) for r in found] == [(M, "repeated 3 times")]


@pytest.mark.parametrize(
    "frame", ["[   44.747398] ", "<5>[   44.747398] ", "kern  :notice: [   44.747398] ", ""]
)
def test_a_newline_in_a_name_is_found_under_repeated_frames(frame: str, read: Read) -> None:
    """dmesg repeats its prefix and -o cat has none: the denial is one record all the same."""
    first, second = EVIL.split("\n")
    found = read(f"{frame}{first}\n{frame}{second}\n{frame}{BPF}\n")
    assert [r.text for r in found] == [EVIL, BPF]
    triple = "Lockdown: a\nb\nc: hibernation is restricted; see man kernel_lockdown.7"
    found = read("\n".join(frame + part for part in triple.split("\n")))
    assert [r.text for r in found] == [triple]


@pytest.mark.parametrize("second", ["[ 45.0] x is restricted", "[ 44.0] nothing", "[ 44.0] " + BPF])
def test_only_what_belongs_together_is_joined(second: str, read: Read) -> None:
    """Another time, no end, or a beginning of its own: both lines stay as they are."""
    found = read(f"[ 44.0] Lockdown: evil\n{second}\n[ 44.0] {BPF}")
    assert found[0].text == "Lockdown: evil"
    assert (found[-1].text, found[-1].place.line) == (BPF, 3)
    assert len(found) == (2 if "nothing" in second else 3)


@pytest.mark.parametrize("between", ["", " ", "\r", "<br>", "\\n"])
def test_two_messages_on_one_line(between: str, read: Read) -> None:
    """Lost line ends do not hide the second message, nor a CR in a name the first."""
    found = read(f"[ 1.0] {M}{between}[ 1.1] {TRACEFS}\n")
    assert [(r.text, r.monotonic_us) for r in found] == [(M, 1_000_000), (TRACEFS, 1_100_000)]
    odd = "Lockdown: a\rb: hibernation is restricted; see man kernel_lockdown.7"
    assert [r.text for r in read(f"[ 1.0] {odd}\n")] == [odd]


def test_an_applications_json_is_not_dmesgs(read: Read) -> None:
    """`msg` counts beside dmesg's own keys only; whole seconds and texts are times too."""
    for other in ({}, {"level": "info"}, {"time": 12.0, "level": 3}, {"time": "2024-06-11"}):
        found = read(json.dumps({**other, "msg": "Lifting lockdown"}))
        assert not any(recognise(r.text) for r in found)
    for time_s in (12, 12.0, "12.000000"):
        (record,) = read(json.dumps({"pri": 5, "time": time_s, "msg": M}))
        assert (record.text, record.monotonic_us) == (M, 12_000_000)


def test_verbose(journal: Path, read: Read) -> None:
    """journalctl -o verbose gives what export gives, save what it shows as blob data."""
    found = read(journalctl(journal, "verbose"))
    export = [r for r in read(journalctl(journal, "export")) if "\\x" not in r.text]
    told = [(r.text, r.trust, r.time_us, r.host.name, r.place.cursor) for r in export]
    texts = [r.text for r in export]
    have = [(r.text, r.trust, r.time_us, r.host.name, r.place.cursor) for r in found]
    assert [each for each in have if each[0] in texts] == told
    assert EVIL in texts


def test_export_in_another_order(read: Read) -> None:
    """An export block need not begin with its cursor."""
    block = ENTRIES.split(b"\n\n")[0].split(b"\n")
    (record,) = read(b"\n".join([*block[1:], block[0], b"", b""]))
    assert (record.text, record.place.cursor is None) == (BPF, False)


@pytest.mark.parametrize("encoding", ["latin-1", "koi8-r", "gbk"])
def test_months_in_old_encodings(encoding: str, read: Read) -> None:
    """A month in bytes that are no UTF-8 hides no event."""
    month = {"latin-1": "févr.", "koi8-r": "фев", "gbk": "2月"}[encoding]
    (record,) = read(f"{month} 09 12:28:50 host kernel: {M}\n".encode(encoding))
    assert (record.text, record.host.name) == (M, "host")
    assert record.warnings


@pytest.mark.parametrize("form", ["json", "export"])
def test_journalds_missed_lines_are_a_gap(form: str, tmp_path: Path) -> None:
    """The journal's own report of lost lines gets through though no rule asks for it."""
    fields = {
        "__CURSOR": "s=1",
        "__REALTIME_TIMESTAMP": "1718120189082983",
        "_TRANSPORT": "driver",
        "MESSAGE_ID": "e9bf28e6e834481bb6f48f548ad13606",
        "MESSAGE": "Missed 7 kernel messages",
    }
    export = "".join(f"{name}={value}\n" for name, value in fields.items())
    path = tmp_path / "log"
    path.write_text(json.dumps(fields) if form == "json" else export + "\n")
    text = TextSource([str(path)], wanted=lambda raw: b"ockdown" in raw, now_us=lambda: 0)
    (gap,) = [each for batch in text.read() for each in batch]
    assert isinstance(gap, Gap)
    assert (gap.cause, gap.count, gap.from_us) == ("journald_missed", 7, 1_718_120_189_082_983)


# --- lines that go on with a message above them

LIFTED = ("lockdown.lifted", None)
DENIED = ("lockdown.denied", "systemd-logind")
FOREIGN = "Jun 11 15:36:30 host myprog[33]: hello"
OWN = "Jun 11 15:36:30 host kernel: usb 1-1: Product: x"
UNDER = " " * (len(FOREIGN) - 5)
UNDER_OWN = " " * 29


@pytest.mark.parametrize("before", ["", "> ", "> > ", "web-1  | ", "    ", "job\tRun\t2024-06-11T"])
@pytest.mark.parametrize(
    "lines",
    [
        (FOREIGN, UNDER + "Lifting lockdown"),
        (FOREIGN, UNDER + M),
        (FOREIGN, UNDER + "kernel: Lifting lockdown"),
        (FOREIGN, UNDER + "[    2.198433] " + M),
        (FOREIGN, UNDER + "<5>[    2.198433] Lifting lockdown"),
        (FOREIGN, UNDER + "Jun 11 15:36:30 host kernel: Lifting lockdown"),
        (FOREIGN, UNDER + "5,1,2198433,-;Lifting lockdown"),
        (FOREIGN, UNDER + json.dumps({"_TRANSPORT": "kernel", "MESSAGE": "Lifting lockdown"})),
        (FOREIGN, UNDER + "{", UNDER + '"_TRANSPORT": "kernel",', UNDER + f'"MESSAGE": "{M}"', "}"),
        (FOREIGN, "  Lifting lockdown"),
        (FOREIGN, UNDER + "  x", UNDER + "Lifting lockdown"),
        (FOREIGN, UNDER + "x", UNDER + "  Lifting lockdown"),
        (FOREIGN, UNDER + "[    2.1] usb x", UNDER + "    Lifting lockdown"),
        (FOREIGN, UNDER, UNDER + "Lifting lockdown"),
        (FOREIGN, "", UNDER + "Lifting lockdown"),
        (FOREIGN.replace("host ", ""), UNDER[5:] + "Lifting lockdown"),
        ("[    2.198433] host myprog[33]: a", " " * 33 + "Lifting lockdown"),
        ("Tue 2024-06-11 15:36:30 UTC host my.service[33]: a", " " * 50 + "Lifting lockdown"),
        ("1718120190.082983 host myprog[33]: a", " " * 35 + "Lifting lockdown"),
        (OWN, UNDER_OWN + "Lifting lockdown"),
        (OWN, UNDER_OWN + "[    2.198433] Lifting lockdown"),
        ("[    2.198433] usb 1-1: Product: x", " " * 15 + "Lifting lockdown"),
    ],
)
def test_a_further_line_of_a_message_is_no_line(
    lines: tuple[str, ...], before: str, kinds: Kinds
) -> None:
    """Whatever stands under the message of a framed line belongs to it, quoted or not."""
    before = before.replace("2024-06-11T", "2024-06-11T15:36:29.0829830Z ")
    assert kinds("".join(f"{before}{line}\n" for line in lines)) == []


@pytest.mark.parametrize(
    "lines",
    [
        ("Some words", "    Lifting lockdown"),
        ("    " + FOREIGN, "    Lifting lockdown"),
        (FOREIGN, "Lifting lockdown"),
        (FOREIGN, "then dmesg said:", "    Lifting lockdown"),
        (FOREIGN, "", "    [    2.198433] Lifting lockdown"),
        (OWN, "  Lifting lockdown"),
        ("[    1.0] x", "[    2.198433] Lifting lockdown"),
        ("\t[    1.0] x", "\t[    2.198433] Lifting lockdown"),
        ("> > " + FOREIGN, "> > [    2.198433] Lifting lockdown"),
    ],
)
def test_an_indented_line_may_be_a_line_of_its_own(lines: tuple[str, ...], kinds: Kinds) -> None:
    """A paste that is indented as a whole, or stands under words, is read."""
    assert kinds("\n".join(lines)) == [LIFTED]


def test_the_line_above_may_stand_in_another_block(kinds: Kinds) -> None:
    """The message is found over the border of a block, and a line far below it is refused."""
    for count in (1, 1_000, 5_000, 20_000):
        more = f"{UNDER}x\n" * count
        assert kinds(f"a\n{FOREIGN}\n{more}{UNDER}Lifting lockdown\n") == []
    noise = "[    1.000000] usb 1-1: x\n" * 20_000
    assert kinds(f"{noise}{FOREIGN}\n{UNDER}Lifting lockdown\n{noise}  {M}\n") == [DENIED]


def test_journalctls_further_lines_are_no_lines(tmp_path: Path, kinds: Kinds) -> None:
    """What journalctl itself prints of a program's many lines gives no event in any format."""
    said = ("hello\n" + M, "x\n[    2.1] " + M, "x\nkernel: Lifting lockdown", "a\n\n b\n" + M)
    fields = (("_TRANSPORT", "stdout"), ("SYSLOG_IDENTIFIER", "foo"), ("_PID", "33"))
    entries = b"".join(entry(n, (*fields, ("MESSAGE", text))) for n, text in enumerate(said))
    path = tmp_path / "x.journal"
    if not Path(REMOTE).exists() or not shutil.which("journalctl"):
        missing("systemd-journal-remote and journalctl")
    subprocess.run([REMOTE, "-o", path, "-"], input=entries, check=True, capture_output=True)
    for output in SHORT:
        for more in ([], ["-a"], ["--no-hostname"]):
            assert kinds(journalctl(path, output, *more)) == [], output


# --- entries that do not say all

KERNEL = {"_TRANSPORT": "kernel"}


@pytest.mark.parametrize("form", ["json", "export", "verbose"])
@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, "lockdown.lifted"),
        ({"_HOSTNAME": "h", "PRIORITY": "5"}, "lockdown.lifted"),
        (KERNEL, "lockdown.lifted"),
        ({**KERNEL, "SYSLOG_IDENTIFIER": "kernel"}, "lockdown.lifted"),
        ({"SYSLOG_IDENTIFIER": "kernel"}, "lockdown.lifted"),
        ({"SYSLOG_FACILITY": "0"}, "lockdown.lifted"),
        ({"SYSLOG_FACILITY": "1"}, "lockdown.forged"),
        ({**KERNEL, "SYSLOG_FACILITY": "1"}, "lockdown.forged"),
        ({"SYSLOG_IDENTIFIER": "kernel", "_PID": "33"}, "lockdown.forged"),
        *(({name: "covid"}, None) for name in ("_COMM", "_EXE", "_SYSTEMD_UNIT", "PROGRAM")),
        ({"_PID": "33"}, None),
        ({"_PID": "33", "SYSLOG_FACILITY": "0"}, None),
        ({"SYSLOG_IDENTIFIER": "covid"}, None),
        ({"_TRANSPORT": "stdout"}, None),
    ],
)
def test_entries_say_what_their_verdict_implies(
    fields: dict[str, str], found: str | None, form: str, kinds: Kinds
) -> None:
    """Old journals have no facility and --output-fields no transport; a process has a name."""
    given = {**fields, "MESSAGE": "Lifting lockdown"}
    text = json.dumps({"__REALTIME_TIMESTAMP": "1718120189082983", **given})
    lines = [f"{name}={value}" for name, value in given.items()]
    if form == "export":
        text = "\n".join(("__REALTIME_TIMESTAMP=1718120189082983", *lines, "", ""))
    elif form == "verbose":
        text = "\n    ".join((VERBOSE, *lines, ""))
    assert kinds(text) == ([(found, None)] if found else [])


VERBOSE = (
    f"Tue 2024-06-11 15:36:29.082983 UTC [s={'1' * 32};i=1;b={'a' * 32};m=d8b9e6;t=61a9e1;x=1]"
)


def test_an_unknown_line_of_a_process_is_none(kinds: Kinds) -> None:
    """Not even words the catalogue lacks come from a process that is named."""
    new = "Lockdown: foo: something new is restricted; see man kernel_lockdown.7"
    for fields in ({"PROGRAM": "covid"}, {"_COMM": "bash", "_PID": "3"}):
        assert kinds(json.dumps({"MESSAGE": new, **fields})) == []
    assert kinds(json.dumps({"MESSAGE": new})) == [("lockdown.unknown", None)]


# --- what converts the ends of lines


def test_export_with_carriage_returns(kinds: Kinds) -> None:
    """A file that Windows converted gives what it gave, binary fields too."""
    assert kinds(ENTRIES.replace(b"\n", b"\r\n")) == kinds(ENTRIES) != []


# --- names that look like frames, and signs that pasting changes

W = "is installing a program with bpf_probe_write_user helper that may corrupt user memory!"


@pytest.mark.parametrize(
    ("frame", "comm"),
    [
        *((frame, name) for name in ("<13>x", "</b>x", "[99999.5] ", "kernel: ", "audit: x", "")
          for frame in ("<4>[    2.198433] ", "kern  :warn  : [    2.198433] ", "4,1,2198433,-;")),
        ("[    2.198433] ", "<13>x"),
        ("[    2.198433] ", "</b>x"),
        ("<pre>[    2.198433] ", "</b>x"),
        ("[    2.198433] ", "[99999.5] "),
        ("[    2.198433] ", "[T1]"),
        ("[    2.198433] ", "a[1]: b"),
        ("[    2.198433] ", " x"),
        ("<4>[    2.198433] ", "kernel[9]: x"),
        ("<4>[    2.198433] ", "a[1]: b"),
        ("kern  :warn  : [    2.198433] ", "a[1]: b"),
        ("[    2.198433][    T1] ", "[T2]x"),
        ("[    2.198433] [    T812] ", "x"),
        ("[    2.198433] host kernel: ", "long-name-15-by"),
        ("Jun 11 15:36:30 host kernel: ", "<13>x"),
        ("Jun 11 15:36:30 host kernel: ", "kernel[9]: x"),
        ("Jun 11 15:36:30 host kernel: [    2.198433] ", "[9.9] x"),
        ("[Fri Sep 27 14:02:11 2019] ", "[9.9] x"),
        ("[Fri Sep 27 14:02:11 2019] ", "<13>x"),
    ],
)  # fmt: skip
def test_a_process_name_is_no_frame(frame: str, comm: str, kinds: Kinds) -> None:
    """A process may call itself as a frame looks; after the kernel's own it is a name."""
    assert kinds(f"{frame}{comm}[33] {W}\n") == [("bpf.warning", comm)]
    stamped = unframe(f"{frame}{comm}[33] {W}").monotonic_us
    assert stamped == (2_198_433 if "2198433" in frame.replace(".", "") else None)


def test_dmesgs_json_keeps_a_name_that_looks_like_a_frame(kinds: Kinds) -> None:
    """The frame is put before the message, and ends there."""
    for comm in ("<13>x", "a[1]: x", "x\x1b[31m", "a\xa0b", "&lt;x"):
        line = json.dumps({"pri": 4, "time": 2.19, "msg": f"{comm}[33] {W}"})
        assert kinds(line) == [("bpf.warning", comm)]


def restricted(comm: str) -> str:
    return f"Lockdown: {comm}: hibernation is restricted; see man kernel_lockdown.7"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("[58310.9] Lifting\xa0lockdown", LIFTED),
        ("[58310.9] Lifting&nbsp;lockdown", LIFTED),
        ("Lifting&#160;lockdown", LIFTED),
        ("[    2.1] " + M.replace(" ", "\xa0"), DENIED),
        (f"[    2.1] {M}".replace(" ", "\xa0"), DENIED),
        (f"[    2.1] {M}".replace(" ", "&nbsp;"), DENIED),
        (f"[    2.1] {M}".replace("_", "&#95;"), DENIED),
        ("[ 2.1] Malformed early option &#39;lockdown&#39;", ("lockdown.effect", None)),
        (
            "[ 2.1] xen:xen_privcmd: Kernel is locked down, parameter &quot;x&quot; ignored",
            ("lockdown.effect", None),
        ),
        (
            "Direct CIS storage isn&#x27;t permitted when the kernel is locked down",
            ("lockdown.effect", None),
        ),
        *((f"[ 2.1] {restricted(comm)}", ("lockdown.denied", comm))
          for comm in ("a\xa0b", "&lt;x&gt;", "&#39;", "x\x1b[31m", "^[[31m", "[0m", "[31mm[")),
        ("\x1b[32m[ 2.1] \x1b[0m\x1b[33mLockdown: \x1b[0m" + M[10:], DENIED),
        ("[ 2.1] \x1b[01;31m\x1b[KLockdown\x1b[m\x1b[K" + M[8:], DENIED),
        ("[ 2.1] " + M.replace("systemd", "\x1b[01;31m\x1b[Ksystemd\x1b[m\x1b[K"), DENIED),
        ("[ 2.1] usb 1-1: Product: &#10;Lifting lockdown", None),
        ("Sep 27 14:02:11 host foo[3]: Lifting&nbsp;lockdown", None),
        ("Sep 27 14:02:11 host foo[3]:&nbsp;kernel: Lifting lockdown", None),
    ],
)  # fmt: skip
def test_signs_that_pasting_changes(
    line: str, found: tuple[str, str | None] | None, kinds: Kinds
) -> None:
    """No-break spaces, entities and colours go, save where a process name alone has them."""
    assert kinds(line + "\n") == ([found] if found else [])


# --- frames of other programs, and prose


@pytest.mark.parametrize(
    "line",
    [
        "Sep 27 14:02:11 myprog[33]: kern  :notice: [    2.198433] {M}",
        "myprog[33]: kern  :notice: [    2.198433] {M}",
        "Sep 27 14:02:11 [sshd] [    2.198433] {M}",
        "myprog: [    2.198433] {M}",
        "myprog: <5>[    2.198433] {M}",
        '{"msg":"Lifting lockdown","time":12.5,"app":"covid"}',
        '{"msg":"Lifting lockdown","pri":6,"app":"covid"}',
        '{"level":"info","log":"Lifting lockdown"}',
        '{"log":"Lifting lockdown","service":"covidbot"}',
        '{"log":"Lifting lockdown"}',
        "May | Lifting lockdown",
        "door_1 | Lifting lockdown",
        "State | Secure boot disabled",
        "| Lifting lockdown |",
        "## Lifting lockdown",
        "- Lifting lockdown",
        "* Secure boot enabled",
        "\u2022 Lifting lockdown",
        "**Lifting lockdown**",
        "<h2>Lifting lockdown</h2>",
        "<p>Lifting lockdown</p>",
        "<b> Lifting lockdown",
        "<li>Disabling Secure Boot restrictions</li>",
        '<a href="/news/1">Lifting lockdown</a>',
        "00:12:30 Lifting lockdown",
        "[12:30:11] Lifting lockdown",
        "> - Lifting lockdown",
        "- unsigned module is rejected",
    ],
)
def test_prose_and_other_programs_give_nothing(line: str, kinds: Kinds) -> None:
    """A short wording under a mark that prose has too is none, nor what a program wrote."""
    assert kinds(line.replace("{M}", M) + "\n") == []


@pytest.mark.parametrize(
    "line",
    [
        *("Lifting lockdown", "> Lifting lockdown", "> > Lifting lockdown", "    Lifting lockdown"),
        *("Lifting lockdown<br>", "<pre>Lifting lockdown</pre>", "* `Lifting lockdown`"),
        *("- [ 2.1] Lifting lockdown", "### kernel: Lifting lockdown", "* <5>Lifting lockdown"),
        *("<li>[ 2.1] Lifting lockdown</li>", "12:30:11 [ 2.1] Lifting lockdown"),
        *("door_1 | [ 2.1] Lifting lockdown", "[Fri Sep 27 14:02:11 2019] Lifting lockdown"),
        '"[58310.9] Lifting lockdown",',
        '{"log":"Lifting lockdown\\n","stream":"stdout","time":"2024-06-11T15:36:29Z"}',
    ],
)
def test_a_short_wording_in_a_log_is_an_event(line: str, kinds: Kinds) -> None:
    """A bare or quoted line is the kernel's, and any line whose frame says so."""
    assert kinds(line + "\n") == [LIFTED]


@pytest.mark.parametrize("mark", ["- ", "* ", "### ", "> ", "| ", "<li>", "web-1 | ", "'", "+"])
def test_whole_lines_stand_under_any_mark(mark: str, kinds: Kinds) -> None:
    """Nobody but the kernel writes a whole denial or announcement."""
    assert kinds(f"{mark}{M}\n") == [DENIED]
