"""Frames: every known one goes, with what it tells; nothing else does."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parts import missing
from watcher.lockdown import recognise
from watcher.record import Place
from watcher.sources.claims import record_of_frame
from watcher.sources.frames import Framed, unframe
from watcher.sources.months import month_of
from watcher.sources.stamps import NOT_UNDERSTOOD, YEAR_TAKEN, Moment, moment_of, read_syslog

CORPUS = Path(__file__).parents[1] / "../shared/corpus"
MESSAGES = (
    "Lockdown: systemd: BPF is restricted; see man kernel_lockdown.7",
    "Kernel is locked down from EFI Secure Boot; see man kernel_lockdown.7",
    "Lifting lockdown",
    "secureboot: Secure boot enabled",
    "EFI stub: UEFI Secure Boot is enabled.",
    "nvidia: module verification failed: signature and/or required key missing - tainting kernel",
    'xen:xen_privcmd: Kernel is locked down, parameter "unrestricted" ignored',
    (
        "syz-executor.2[7759] is installing a program with bpf_probe_write_user helper that may"
        " corrupt user memory!"
    ),
    "lockdown_is_locked_down: 3 callbacks suppressed",
)
NOW_US = 1_795_000_000_000_000  # 18 November 2026
UTC_11 = 1_718_120_189_000_000  # 2024-06-11T15:36:29Z


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def corpus(name: str) -> Path:
    """Give a file of real lines; they belong to others and are not in this repository."""
    path = CORPUS / name
    if not path.exists():
        missing(f"the real lines of {path}")
    return path


def time_us(framed: Framed) -> int | None:
    return moment_of(framed.stamp, NOW_US).time_us


# (frame, what Framed must say); {} is the message.
KERNEL_FRAMES: tuple[tuple[str, dict[str, object]], ...] = (
    ("{}", {}),
    ("[    1.234567] {}", {"monotonic_us": 1_234_567}),
    ("[12345.678901] {}", {"monotonic_us": 12_345_678_901}),
    ("[ 1.763630] {}", {"monotonic_us": 1_763_630}),
    ("[  246.000938]{}", {"monotonic_us": 246_000_938}),
    ("[    1.234567][    T1] {}", {"monotonic_us": 1_234_567}),
    ("[    1.234567] [      T1] {}", {"monotonic_us": 1_234_567}),
    ("[25548.665512] [ T217970] {}", {"monotonic_us": 25_548_665_512}),
    ("[    1.234567][    C1] {}", {"monotonic_us": 1_234_567}),
    ("[    1.234567 <    0.000012>] {}", {"monotonic_us": 1_234_567}),
    ("[   13.195318                ] host kernel: {}", {"monotonic_us": 13_195_318}),
    ("[   14.195000 <    0.999682 >] host kernel: {}", {"monotonic_us": 14_195_000}),
    ("[    0.000011 <10000.000000*>] host kernel: {}", {"monotonic_us": 11}),
    ("[  +0.732414] {}", {"monotonic_us": None}),
    ("[ +11.000000] {}", {"monotonic_us": None}),
    ("[  -13.000000] {}", {"monotonic_us": None}),
    ("[<   11.000000>] {}", {"monotonic_us": None}),
    ("<5>[    1.234567] {}", {"monotonic_us": 1_234_567, "facility": 0, "level": 5}),
    ("<13>[    1.234567] {}", {"facility": 1, "level": 5}),
    ("kern  :notice: [    1.234567] {}", {"facility": 0, "level": 5}),
    ("kern  :warn  : [    1.234567] {}", {"facility": 0, "level": 4}),
    ("user  :notice: [    1.234567] {}", {"facility": 1, "level": 5}),
    ("\x1b[32m[    1.234567] \x1b[0m{}\x1b[0m", {"monotonic_us": 1_234_567}),
    ("[32m[    1.234567] [0m[33m{}[0m", {"monotonic_us": 1_234_567}),
    ("[Tue Jun 11 15:36:29 2024] {}", {"time_us": UTC_11}),
    ("[Tue Jun 11 15:36:29 2024 <    0.765433>] {}", {"time_us": UTC_11}),
    ("[Di Jun 11 15:36:29 2024] {}", {"time_us": UTC_11}),
    ("[火 6月 11 15:36:29 2024] {}", {"time_us": UTC_11}),
    ("[Jun11 15:36] {}", {"time_us": 1_781_192_160_000_000}),
    ("[Feb 9 12:28] {}", {"time_us": 1_770_640_080_000_000}),
    ("2024-06-11T15:36:29,082983+00:00 {}", {"time_us": UTC_11 + 82_983}),
    ("kern  :notice: 2024-06-11T15:36:29,082983+00:00 {}", {"time_us": UTC_11 + 82_983}),
    ("kern: notice: {}", {"facility": 0, "level": 5}),
    ("10.5.0.2: kern:  notice: [2024-06-11T15:36:29.082983Z]: {}", {"hostname": "10.5.0.2"}),
    ("kernel: {}", {"identifier": "kernel", "hostname": None}),
    ("host kernel: {}", {"identifier": "kernel", "hostname": "host"}),
    ("kernel: [27767.598418] {}", {"monotonic_us": 27_767_598_418}),
    ("[    0.738517] kernel: {}", {"identifier": "kernel", "monotonic_us": 738_517}),
    ("[    0.738517] my-host kernel: {}", {"hostname": "my-host"}),
    ("Jun 11 15:36:29 host kernel: {}", {"time_us": 1_781_192_189_000_000, "hostname": "host"}),
    ("Jun  1 15:36:29 host kernel: [   14.1] {}", {"monotonic_us": 14_100_000}),
    ("Jun 11 15:36:29.082983 host kernel: {}", {"time_us": 1_781_192_189_082_983}),
    ("Jun 11 15:36:29 kernel: {}", {"hostname": None, "identifier": "kernel"}),
    ("Jun 11 15:36:29 (none) kernel: {}", {"hostname": "(none)"}),
    ("Jun 11 15:36:29 fe80::1 kernel: {}", {"hostname": "fe80::1"}),
    ("<5>Jun 11 15:36:29 host kernel: {}", {"facility": 0, "level": 5}),
    ("Tue 2024-06-11 15:36:29 UTC host kernel: {}", {"time_us": UTC_11}),
    ("Tue 2024-06-11 15:36:29 CEST host kernel: {}", {"time_us": UTC_11 - 7_200_000_000}),
    ("Tue 2024-06-11 15:36:29 -03 host kernel: {}", {"time_us": UTC_11 + 10_800_000_000}),
    ("Di 2024-06-11 15:36:29 UTC host kernel: {}", {"time_us": UTC_11}),
    ("2024-06-11T15:36:29+0000 host kernel: {}", {"time_us": UTC_11, "hostname": "host"}),
    ("2024-06-11T15:36:29.082983+02:00 host kernel: {}", {"time_us": UTC_11 - 7_199_917_017}),
    ("2024-06-11T15:36:29.082983Z host kernel: [   14.195318] {}", {"monotonic_us": 14_195_318}),
    ("2024-06-11 15:36:29.107 kernel: {}", {"time_us": UTC_11 + 107_000}),
    ("1718120189.082983 host kernel: {}", {"time_us": UTC_11 + 82_983}),
    ("Tue Jun 11 15:36:29 2024 kern.notice kernel: [    0.0] {}", {"time_us": UTC_11, "level": 5}),
    ("Jun 11 15:36:29 OpenWrt kern.notice kernel: {}", {"hostname": "OpenWrt", "level": 5}),
    ("Jun 11 15:36:29 user.notice kernel: {}", {"facility": None, "level": 5}),
    ("2024-06-11T15:36:29.082983Z NOTICE kernel: [   14.1] {}", {"hostname": None, "level": 5}),
    ("<5>1 2024-06-11T15:36:29.082983Z host kernel - - - {}", {"time_us": UTC_11 + 82_983}),
    ("<5>1 - - kernel - - - \ufeff{}", {"hostname": None, "identifier": "kernel"}),
    ('<5>1 2024-06-11T15:36:29Z h kernel - - [a@1 b="c\\"]\\\\" d="e"][f] {}', {"hostname": "h"}),
    ("name-1  | [    1.2] {}", {"monotonic_us": 1_200_000}),
    ("2024-06-11T15:36:29.082983000Z stdout F {}", {"time_us": UTC_11 + 82_983}),
    ("[pod/x-1/y] {}", {}),
    ("2024-06-11T15:36:29.0829830Z {}", {"time_us": UTC_11 + 82_983}),
    ("job\tRun it\t2024-06-11T15:36:29.0829830Z {}", {"time_us": UTC_11 + 82_983}),
    ("09:44:16  [    0.1] {}", {"monotonic_us": 100_000}),
    ("[2024-06-11T15:36:29.000Z] {}", {"time_us": UTC_11}),
    ("boot.log:12:[    0.1] {}", {"monotonic_us": 100_000}),
    ("<timestamp> {}", {}),
    ("  12\t[    0.1] {}", {"monotonic_us": 100_000}),
    ('"[    0.1] {}"', {"monotonic_us": 100_000}),
    ("+[    0.1] {}", {"monotonic_us": 100_000}),
    ("| [    0.1] {} |", {"monotonic_us": 100_000}),
    ("<b>[    0.1]</b> {}", {"monotonic_us": 100_000}),
    ("[12:29:30] [    0.1] {}", {"monotonic_us": 100_000}),
    ("2024-06-11T15:36:29Z ##[error]{}", {"time_us": UTC_11}),
    ("[Tue Jun 11 15:36:29 UTC 2024] {}", {"time_us": UTC_11}),
    ("2024 Jun 11 15:36:29 host kernel: {}", {"time_us": UTC_11}),
    ("> > [ 1.2] {}", {"monotonic_us": 1_200_000}),
    (">> {}", {}),
    ("| {}", {}),
    ("&gt; &gt; [ 1.2] {}", {"monotonic_us": 1_200_000}),
    ("    ### [ 1.2] {}", {"monotonic_us": 1_200_000}),
    ("* `{}`", {}),
    ("\xa0 {}<br>", {}),
    ("<p><code>{}</code></p>  ", {}),
    ("\ufeff\0\0{}\0\r\n", {}),
    ("> > [ 1.2][ T1] host kernel: [ 0.1] {}", {"monotonic_us": 100_000, "hostname": "host"}),
    ("5,416,44747398,-,caller=T1;{}", {"seq": 416, "monotonic_us": 44_747_398, "facility": 0}),
    ("13,1,2,c;{}", {"seq": 1, "facility": 1, "level": 5}),
    ("> 5,416,44747398,-;{}\r\n", {"seq": 416}),
)


@pytest.mark.parametrize(("frame", "told"), KERNEL_FRAMES)
@pytest.mark.parametrize("message", MESSAGES)
def test_every_frame_goes_and_keeps_what_it_tells(
    frame: str, told: dict[str, object], message: str
) -> None:
    """A kernel message in any frame comes out as it was, with time, host and facility."""
    framed = unframe(frame.replace("{}", message))
    if (frame, message) == ("| {}", "Lifting lockdown"):
        return  # a table of the news has it too
    assert framed.text == message
    for name, value in told.items():
        assert (time_us(framed) if name == "time_us" else getattr(framed, name)) == value, name


@pytest.mark.parametrize("outer", ["", "> ", "web-1  | ", "2024-06-11T15:36:29.0829630Z ", "\t* "])
@pytest.mark.parametrize(("frame", "_told"), KERNEL_FRAMES)
def test_frames_nest(outer: str, frame: str, _told: dict[str, object]) -> None:
    """Quotes, containers and CI around any frame go too."""
    framed = unframe(outer + frame.replace("{}", MESSAGES[0]).lstrip("\ufeff\0"))
    if frame.startswith(("boot.log", "  12")) and outer.strip("> "):
        return  # nobody greps there
    assert framed.text == MESSAGES[0]


PROGRAM_FRAMES = (
    "Feb 09 12:29:30 host foo[980]: {}",
    "Feb 09 12:29:30 host foo: {}",
    "Feb 09 12:29:30 foo[980]: {}",
    "<13>Feb  9 12:29:30 host foo: {}",
    "<13>1 2024-06-11T15:36:29Z host foo 980 - - {}",
    "2024-06-11T15:36:29+0000 host foo[980]: {}",
    "2024-06-11T15:36:29.133718Z INFO foo[3378]: {}",
    "Tue 2024-06-11 15:36:29 UTC host foo.service[980]: {}",
    "[   19.195318] host foo[980]: {}",
    "[   19.195318] foo[980]: {}",
    "foo[980]: {}",
    "Feb 09 12:29:30 host secureboot: {}",
    "Feb 09 12:29:30 host audit[980]: {}",
    "Feb 09 12:29:30 host sh[1]: kernel: {}",
    "Feb 09 12:29:30 host sh[1]: host kernel: [    1.0] {}",
    "Feb 09 12:29:30 host Lockdown: {}",
    "user  :notice: [    1.0] foo: {}",
    "type=USER_AVC msg=audit(1597817908.123:456): pid=1 uid=0 msg='{}'",
)


@pytest.mark.parametrize("frame", PROGRAM_FRAMES)
@pytest.mark.parametrize("message", [*MESSAGES[:7], MESSAGES[8], "bash: hibernation is restricted"])
def test_another_programs_line_is_no_claim(frame: str, message: str) -> None:
    """What a frame says another program wrote matches no row of the catalogue."""
    record = record_of_frame(unframe(frame.replace("{}", message)), Place("text"), Moment(), 0)
    assert record.trust == "injected" or recognise(record.text) is None


@pytest.mark.parametrize(
    "line",
    [
        "-- Boot cccccccccccccccccccccccccccccccc --",
        "-- No entries --",
        "> -- Reboot --",
        "",
        "   ",
    ],
)
def test_journalctls_own_lines_are_no_message(line: str) -> None:
    """Lines such as "-- Boot 0123 --" leave no text."""
    assert unframe(line).text == ""


AVC = (
    'avc:  denied  { confidentiality } for  pid=2443 comm="x" lockdown_reason="use of tracefs"'
    " scontext=a tcontext=a tclass=lockdown permissive=0"
)


@pytest.mark.parametrize(
    ("frame", "epoch_us"),
    [
        ("Aug 19 06:18:28 host audit[2443]: AVC {}", None),
        ("Aug 19 06:18:28 host audit: AVC {}", None),
        ("type=AVC msg=audit(1597817908.123:456): {}", 1_597_817_908_123_000),
        ("node=h type=AVC msg=audit(1597817908.123:456): {}", 1_597_817_908_123_000),
        ("AVC {}", None),
        ("<86>1 2024-06-11T15:36:29Z host audit 1 - - AVC {}", UTC_11),
    ],
)
def test_audit_frames_are_told_from_the_kernels(frame: str, epoch_us: int | None) -> None:
    """An AVC keeps its text and the time in it, and says that it came through audit."""
    framed = unframe(frame.replace("{}", AVC))
    found = recognise(framed.text)
    assert found
    assert (found.kind, framed.identifier) == ("selinux.lockdown", "audit")
    assert epoch_us is None or time_us(framed) == epoch_us
    record = record_of_frame(framed, Place("text"), Moment(), 0)
    assert record.trust == "unverified"
    assert record.fields["_TRANSPORT"] == "audit"
    assert record.fields["_AUDIT_TYPE"] == "1400"
    assert "SYSLOG_FACILITY" not in record.fields


def test_the_kernels_own_audit_line_has_the_time_of_the_event() -> None:
    """`audit: type=1400 audit(...)` is the kernel's; without a date its own time counts."""
    framed = unframe(f"[   42.2] audit: type=1400 audit(1597817908.123:456): {AVC}")
    assert (framed.identifier, time_us(framed)) == (None, 1_597_817_908_123_000)
    assert recognise(framed.text)


@pytest.mark.parametrize(
    ("line", "text", "fields"),
    [
        (
            "8,369,1,-;kernel: spoof",
            "kernel: spoof",
            {"MESSAGE": "spoof", "SYSLOG_IDENTIFIER": "kernel", "SYSLOG_FACILITY": "1"},
        ),
        (
            "<30>[  1.0] systemd[1]: hello",
            "systemd[1]: hello",
            {"MESSAGE": "hello", "SYSLOG_IDENTIFIER": "systemd", "SYSLOG_PID": "1"},
        ),
        (
            "Feb 09 12:29:30 host kernel[77]: Lifting lockdown",
            "Lifting lockdown",
            {"_TRANSPORT": "syslog", "SYSLOG_IDENTIFIER": "kernel", "SYSLOG_PID": "77"},
        ),
        (
            "<13>Feb 09 12:29:30 host kernel: Lifting lockdown",
            "Lifting lockdown",
            {"SYSLOG_IDENTIFIER": "kernel", "SYSLOG_FACILITY": "1", "_HOSTNAME": "host"},
        ),
    ],
)
def test_a_process_that_claims_to_be_the_kernel_is_injected(
    line: str, text: str, fields: dict[str, str]
) -> None:
    """Facility 1 and up, or a process id, tells a forger; fields are as journald has them."""
    record = record_of_frame(unframe(line), Place("text"), Moment(), 0)
    assert (record.text, record.trust) == (text, "injected")
    assert fields.items() <= dict(record.fields).items()


def test_kmsg_escapes_are_undone() -> None:
    """\\xNN of /dev/kmsg becomes bytes, then UTF-8; what is none stays visible."""
    framed = unframe(r"5,416,44747398,-;Lockdown: e\x0a\xc3\xa9\x5c\xff: hib\x00;x")
    assert framed.text == "Lockdown: e\né\\\\xff: hib\0;x"


@pytest.mark.parametrize(
    ("name", "month"),
    [
        ("Mär", 3),
        ("кві", 4),
        ("touko", 5),
        ("5月", 5),
        ("12월", 12),
        ("oct.", 10),
        ("Thg 2", 2),
        ("févr.", 2),
        ("фев", 2),
        ("d\u2019oct.", 10),
        ("lis", None),
        ("13月", None),
        ("nonsense", None),
    ],
)
def test_months_of_many_languages(name: str, month: int | None) -> None:
    """A month's name is understood in any common language; an ambiguous one is not guessed."""
    assert month_of(name) == month


def test_a_missing_year_is_the_latest_that_fits_the_file() -> None:
    """A date without a year is at most a day after the file's own, and says so."""
    stamp, _ = read_syslog("Dec 31 23:59:59 host", 0)
    new_year_us = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
    found = moment_of(stamp, new_year_us)
    assert (found.time_us, found.warnings) == (new_year_us - 1_000_000, (YEAR_TAKEN,))
    assert found.error_us == 1_000_000


def test_a_leap_day_is_looked_for_in_leap_years() -> None:
    """Feb 29 without a year is the last one there was."""
    stamp, _ = read_syslog("Feb 29 00:00:00 host", 0)
    assert moment_of(stamp, NOW_US).time_us == 1_709_164_800_000_000


@pytest.mark.parametrize("date", ["xyz 11", "Feb 31", "Feb 99", "Jun 00"])
def test_a_date_that_cannot_be_is_no_time(date: str) -> None:
    """A month nobody knows and a day that never was leave the time unknown, with a warning."""
    framed = unframe(f"{date} 15:36:29 host kernel: Lifting lockdown")
    assert framed.text == "Lifting lockdown"
    assert moment_of(framed.stamp, NOW_US) == Moment(warnings=(NOT_UNDERSTOOD,))


def test_all_real_lines_are_recognised() -> None:
    """Every collected line gives its one finding, whatever frame it came in."""
    for raw in corpus("lines.jsonl").read_text(encoding="utf-8").splitlines():
        expected = json.loads(raw)
        framed = unframe(expected["line"])
        found = recognise(framed.text)
        assert found, raw
        assert (found.kind, found.comm) == (expected["kind"], expected["comm"]), raw
        assert framed.program is None, raw


def test_near_misses_give_nothing() -> None:
    """Lines that merely hold the words are no finding."""
    for raw in corpus("near-misses.txt").read_text(encoding="utf-8").splitlines():
        assert recognise(unframe(raw.rpartition("\t")[0]).text) is None, raw


def test_torn_lines_invent_nothing() -> None:
    """Half a line gives no other process name than it had."""
    for raw in corpus("torn.jsonl").read_text(encoding="utf-8").splitlines():
        expected = json.loads(raw)
        found = recognise(unframe(expected["line"]).text)
        assert found is None or found.comm in (None, expected["comm"]), raw


# --- hostile text

PIECES = st.sampled_from(
    [
        *("[", "]", "<", ">", "|", " ", "\t", "\0", "`", "*", "&gt;", "<br>", "\x1b[0m", "\xa0"),
        *("5,1,2,-;", "<5>", "<999>", "1 ", "kern:notice:", "[ 1.2]", "[T1]", "[pod/a] "),
        *("Jun 11 15:36:29 ", "2024-06-11T15:36:29Z ", "99:99:99 ", "host ", "kernel: ", "a="),
        *('[a b="', "\\", '"]', "type=AVC msg=audit(", "(none) ", "Lockdown: ", "\ud800", "é"),
    ]
)


@given(st.lists(PIECES | st.text(max_size=8), max_size=60).map("".join))
@settings(max_examples=1500, deadline=None)
def test_no_line_raises(line: str) -> None:
    """Any mixture of frame pieces and noise is read without an exception."""
    framed = unframe(line)
    record_of_frame(framed, Place("text"), moment_of(framed.stamp, NOW_US), 0)


@pytest.mark.parametrize(
    "piece",
    [
        *("[", "<", ">", "| ", "<a", "\x1b[", "[0m", "1 ", "9", "a ", "a:", "host kernel: "),
        *("[ 1.0]", "<5>", '[a b="', '\\"', "</p>", "`", " ", "\0", "a\t", "-", "Jun 1", "kern:"),
        *("<br>", "&gt;", "\x1b]", "node=", "type=AVC ", "x[1]", "5,", "2024-06-11T15:36:29Z "),
    ],
)
@pytest.mark.parametrize("before", ["", "<5>1 - h kernel - - [", "Jun 11 15:36:29 ", "\x1b"])
def test_time_is_linear_in_the_line(piece: str, before: str) -> None:
    """64 KiB of any repeated piece takes milliseconds."""
    line = before + piece * (65_536 // len(piece))
    started = time.process_time()
    unframe(line)
    assert time.process_time() - started < (2.0 if os.environ.get("CI") else 0.5)
