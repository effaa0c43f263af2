"""More frames, and messages that do not keep to one line: what a reviewer found."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_text import BPF, ENTRIES, EVIL, NOW_US, journal, journalctl, read
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


LINES = """\
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
host1: [ 1.0] {M}
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


@pytest.mark.parametrize("line", ["<bob> {M}", "<bob> Lifting lockdown", "x: {M}", "a b # {M}"])
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
