"""The shipped rules: each kernel line has one rule, and no process name talks its way past it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from sigma.collection import SigmaCollection

from watcher.detect import judge
from watcher.examples import example_record, faults
from watcher.kinds import KINDS
from watcher.lockdown import CAUSES, LINES, REASONS, WORDINGS
from watcher.lockdown.wordings import Wording
from watcher.pack import read_texts, shipped
from watcher.provenance import split_identifier
from watcher.record import Record
from watcher.rule_check import check
from watcher.rules import Pack, Prefilter, Rule
from watcher.rules.rule import compile_rule

FILES: Final = sorted(shipped().glob("*.yml"))
TEXTS, UNREAD = read_texts([shipped()])
DATA, FAULTS = check(TEXTS)
PACK: Final = Pack(tuple(compile_rule(rule) for rule in DATA if rule["kind"]))
"""Without correlations and what only they count: tests/test_probe.py."""
TAILS: Final = ("man kernel_lockdown.7", "https://wiki.debian.org/SecureBoot")

HARDWARE: Final = "device addresses, irqs and dma channels"
WHEN: Final = "permitted when the kernel is locked down"
HIGH: Final = {"module_signature", "dev_mem", "kexec", "acpi_tables", "xen_user_actions"}
LOW: Final = {"hibernation", "xfrm_secret"}
PAIRS: Final = {
    ("swapper", "hibernation"): "informational",
    ("swapper/0", "hibernation"): "informational",
    ("swapper/13", "hibernation"): "informational",
    ("systemd-logind", "hibernation"): "informational",
    ("swapper", "use of tracefs"): "informational",
    ("swapper/0", "use of tracefs"): "informational",
    ("Xorg", "raw io port access"): "informational",
    ("Xorg", "ioperm"): "informational",
    ("Xorg", "iopl"): "informational",
    ("fwupd", "/dev/mem,kmem,port"): "informational",
    ("systemd", "/dev/mem,kmem,port"): "low",
    ("swapper", "modifying ACPI tables"): "low",
    ("swapper/0", "modifying ACPI tables"): "low",
    ("swapper", "ACPI table override"): "low",
    ("swapper/0", "ACPI table override"): "low",
}
"""Every name that lowers a level, with the one wording it lowers it for."""

SYSRQ: Final = ("", "sysrq: ", "SysRq : ", "sysrq: SysRq : ")
SECUREBOOT: Final = ("", "secureboot: ")
EFI: Final = ("", "EFI stub: ", "efi: ")
IMA: Final = ("integrity: ", "ima: ")


def each(fronts: tuple[str, ...], *lines: str) -> tuple[str, ...]:
    return tuple(front + line for line in lines for front in fronts)


ROWS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "lifted": ("critical", ("Lifting lockdown",)),
    "lift_key": ("critical", each(SYSRQ, "Disabling Secure Boot restrictions")),
    "lift_refused": (
        "high",
        each(SYSRQ, "This sysrq operation is disabled from userspace."),
    ),
    "suppressed": (
        "medium",
        each(("lockdown_is_locked_down: ",), "12 callbacks suppressed", "-5 callbacks suppressed"),
    ),
    "tracing_disabled": ("low", ("Tracing disabled due to lockdown",)),
    "tracer": ("low", ("Can not register tracer function_graph due to lockdown",)),
    "tracing_clock": ("low", ("Can not set tracing clock due to lockdown",)),
    "ring_buffer_tests": ("low", ("Lockdown is enabled, skipping ring buffer tests",)),
    "xmon": (
        "low",
        ("xmon: Disabled due to kernel lockdown", "xmon: Read-only due to kernel lockdown"),
    ),
    "table_override": (
        "low",
        each(("", "ACPI: "), "kernel is locked down, ignoring table override"),
    ),
    "parameter_ignored": (
        "low",
        (
            *each(("", "xen:xen_privcmd: "), 'Kernel is locked down, parameter "x" ignored'),
            'xen:xen_privcmd: Kernel is locked down, parameter "unrestricted" ign',
        ),
    ),
    "not_permitted": (
        "low",
        (
            f"Command line-specified {HARDWARE} are not {WHEN}",
            "Direct CIS storage isn't permitted when the kernel is locked down",
            f"Using TIOCSSERIAL to change {HARDWARE} is not {WHEN}",
        ),
    ),
    "invalid_reason": ("low", ("Invalid lockdown reason",)),
    "malformed_option": ("medium", ("Malformed early option 'lockdown'",)),
    "secureboot_enabled": (
        "informational",
        (
            *each(SECUREBOOT, "Secure boot enabled", "Secure boot mode enabled"),
            *each(EFI, "UEFI Secure Boot is enabled."),
            *each(IMA, "secureboot mode enabled"),
            *each(("ima: ", "evm: "), "Secure boot enabled: ignoring ima_appraise=off option"),
        ),
    ),
    "secureboot_disabled": (
        "low",
        (
            *each(SECUREBOOT, "Secure boot disabled", "Secure boot mode disabled"),
            *each(EFI, "UEFI Secure Boot is disabled."),
            *each(IMA, "secureboot mode disabled"),
        ),
    ),
    "secureboot_undetermined": (
        "low",
        (
            *each(
                SECUREBOOT,
                "Secure boot could not be determined",
                "Secure boot could not be determined (mode 7)",
            ),
            *each(EFI, *each(("", "ERROR: "), "Could not determine UEFI Secure Boot status.")),
            *each(IMA, "secureboot mode unknown", "secureboot mode unknown, no efi"),
        ),
    ),
    "module_unsigned": (
        "medium",
        each(
            ("zfs: module verification failed: ",),
            "signature and/or required key missing - tainting kernel",
            "signature and/or requ",
        ),
    ),
    "module_rejected": (
        "high",
        each(
            ("Loading of ", "module: Loading of "),
            "unsigned module is rejected",
            "unsigned modules is rejected.",
            "untrusted modules is rejected",
            "module with unsupported crypto is rejected",
            "module with unavailable key is rejected",
        ),
    ),
    "module_fips": (
        "high",
        each(
            ("", "Kernel panic - not syncing: "),
            "Module zfs signature verification failed in FIPS mode",
        ),
    ),
    "module_appraisal": (
        "high",
        each(
            ("ima: impossible to appraise a module without a file descriptor. ",),
            "sig_enforce kernel parameter might help",
            "sig_enforce kernel para",
        ),
    ),
    "kexec_appraisal": (
        "medium",
        each(
            ("ima: impossible to appraise a kernel image without a file descriptor; ",),
            "try using kexec_file_load syscall.",
            "try using kexe",
        ),
    ),
    "kexec_signature": (
        "medium",
        each(
            ("", "kexec: Enforced ", "kexec_file: "),
            "kernel signature verification failed (-61).",
        ),
    ),
    "kexec_rejected": (
        "medium",
        each(
            ("", "kexec: ", "kexec_file: "),
            "kexec of unsigned image rejected",
            "kexec of image with unsupported crypto rejected.",
        ),
    ),
    "pefile_unsigned": ("medium", ("PEFILE: Unsigned PE binary",)),
    "bpf_write_user_warning": (
        "high",
        each(
            ("agent[812]", "a: b[9]", "Lockdown: x[1]"),
            " is installing a program with bpf_probe_write_user helper that may corrupt"
            " user memory!",
        ),
    ),
    "bpf_unprivileged": (
        "medium",
        each(
            ("WARNING: ", "Spectre V2 : WARNING: "),
            "Unprivileged eBPF is enabled with eIBRS on, data leaks possible",
        ),
    ),
}
"""Each row of lines.py: its level, and how kernels write it."""

AVC: Final = (
    "avc:  denied  {{ {level} }} for  pid=41 comm={comm} lockdown_reason={quote}{reason}{quote}"
    " scontext=u:r:t:s0 tcontext=u:r:t:s0 tclass=lockdown permissive=0"
)
OTHER_WORDS: Final = (
    "Lockdown: prog: a reason of another year is restricted; see man kernel_lockdown.7",
    "Lockdown: a reason of another year is restricted, see https://wiki.debian.org/SecureBoot",
    "Lockdown: prog: hibernation of hedgehogs is restricted; see man kernel_lockdown.7",
    "Kernel is locked down for reasons of state; see man kernel_lockdown.7",
)


def denials() -> Iterator[tuple[str, str]]:
    """Give every denial and its level: each wording with and without a name, in every frame."""
    for wording in WORDINGS:
        known = (c for c, words in PAIRS if words.lower() == wording.text.lower())
        for comm in (None, "prog", "", *known):
            subject = wording.text if comm is None else f"{comm}: {wording.text}"
            for tail in TAILS:
                for mark in ";,":
                    line = f"Lockdown: {subject} is restricted{mark} see {tail}"
                    yield line, denial_level(comm, wording.text)
            yield f"Lockdown: {subject} is restricted; s", denial_level(comm, wording.text)


def denial_level(comm: str | None, words: str) -> str:
    lowered = {(c.lower(), w.lower()): level for (c, w), level in PAIRS.items()}
    reason = next(w.reason for w in WORDINGS if w.text == words)
    usual = "high" if reason in HIGH else "low" if reason in LOW else "medium"
    return usual if comm is None else lowered.get((comm.lower(), words.lower()), usual)


def avcs() -> Iterator[str]:
    for wording in WORDINGS:
        for quote in ('"', ""):
            line = AVC.format(level="integrity", comm='"prog"', reason=wording.text, quote=quote)
            yield line
            yield f"audit: type=1400 audit(1600000000.123:9): {line}"
            yield line.partition(" scontext=")[0] + " scontext="
    yield 'avc:  denied  { integrity } for  pid=41 comm="prog" scontext=u:r:t:s0 tclass=lockdown'


def announcements() -> Iterator[str]:
    for cause in (*CAUSES, "a cause of another year"):
        for tail in TAILS:
            for mark in ";,":
                yield f"Kernel is locked down from {cause}{mark} see {tail}"
    yield from (f"Kernel is locked down from {cause}" for cause in CAUSES)
    yield "Secure boot enabled and kernel locked down"


def kernel_lines() -> list[tuple[str, str]]:
    """Give every line of the catalogue, as the kernel writes it, and its level."""
    return [
        *denials(),
        *((line, "medium") for line in avcs()),
        *((line, "informational") for line in announcements()),
        *((line, "medium") for line in OTHER_WORDS),
        *((line, level) for level, lines in ROWS.values() for line in lines),
    ]


KERNEL_LINES: Final = kernel_lines()


def firing(record: Record) -> list[Rule]:
    found = judge(record)
    return PACK.matching(record, found.kind if found else None)


def by_detection_alone(record: Record) -> set[str]:
    """Name the rules a SIEM would fire, which has the detection and not the catalogue."""
    return {rule.file for kind in KINDS for rule in PACK.matching(record, kind)}


def document(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def forgeries(line: str) -> Iterator[Mapping[str, str]]:
    """Give the ways a process can put `line` where the kernel's lines are."""
    identifier, pid, message = split_identifier(line)
    cut = {"SYSLOG_IDENTIFIER": identifier, "SYSLOG_PID": pid, "MESSAGE": message}
    present = {name: value for name, value in cut.items() if value is not None}
    for facility in ("1", "3", "23"):
        yield {"_TRANSPORT": "kernel", "SYSLOG_FACILITY": facility, **present}
    named = {"SYSLOG_IDENTIFIER": "kernel", "MESSAGE": line}
    yield {"_TRANSPORT": "kernel", "SYSLOG_FACILITY": "1", **named}
    for transport in ("syslog", "journal", "stdout"):
        yield {"_TRANSPORT": transport, "SYSLOG_FACILITY": "0", **named}
    yield {"_TRANSPORT": "audit", "_AUDIT_TYPE": "1107", "MESSAGE": line}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_a_sigma_rule(file: Path) -> None:
    """Each shipped file is one rule that pySigma reads without a fault, and says what it must."""
    collection = SigmaCollection.from_yaml(file.read_text(), collect_errors=True)
    assert [rule.errors for rule in collection.rules] == [[]]
    found = document(file)
    assert {"title", "id", "status", "description", "references", "author", "date"} <= set(found)
    assert {"falsepositives", "level", "watcher"} <= set(found)
    assert found["status"] == "stable"
    assert uuid.UUID(found["id"]).version == 4
    assert found["watcher"]["kind"] in KINDS
    assert len(found["watcher"]["examples"]["match"]) >= 2
    assert len(found["watcher"]["examples"]["ignore"]) >= 2


def test_the_pack_is_its_files() -> None:
    """Every file is loaded, no two rules share an id or a title, none is without a kind."""
    assert (UNREAD, FAULTS) == ([], [])
    assert all(
        Path(rule["file"]).parent.name == "correlations" for rule in DATA if not rule["kind"]
    )
    assert len(PACK.rules) == len(FILES) > 0
    assert len({rule.id for rule in PACK.rules}) == len(FILES)
    assert len({rule.title for rule in PACK.rules}) == len(FILES)
    assert all(rule.kind for rule in PACK.rules)


@pytest.mark.parametrize("rule", PACK.rules, ids=lambda rule: Path(rule.file).stem)
def test_every_example_comes_out(rule: Rule) -> None:
    """Each rule matches what its examples say it matches, and ignores what they say it ignores."""
    assert faults(rule) == []


def test_detections_use_only_what_every_siem_has() -> None:
    """No detection needs a regular expression, a keyword, or a modifier few backends know."""
    known = {"contains", "startswith", "endswith", "all"}
    for file in FILES:
        detection = document(file)["detection"]
        for name, selection in detection.items():
            if name != "condition":
                assert isinstance(selection, dict), f"{file.name}: {name} is a list of keywords"
                assert {m for key in selection for m in key.split("|")[1:]} <= known


def test_rules_on_kernel_lines_ask_for_both_proofs() -> None:
    """_TRANSPORT=kernel and SYSLOG_FACILITY=0 are both asked for: each alone can be forged."""
    for file in FILES:
        if file.stem != "forged":
            detection = document(file)["detection"]
            assert detection["kernel"] == {"_TRANSPORT": "kernel", "SYSLOG_FACILITY": 0}
            assert re.match(r"kernel and |\(kernel or audit\) and ", detection["condition"])


def test_alarms_ring_and_everyday_lines_do_not() -> None:
    """What is high or critical notifies; what is low or informational never does."""
    for rule in PACK.rules:
        if rule.level in {"high", "critical"}:
            assert rule.notify, rule.file
        if rule.level in {"informational", "low"}:
            assert not rule.notify, rule.file


def test_samples_cover_the_catalogue() -> None:
    """The lines these tests use are all rows the catalogue has, and it recognises each so."""
    assert set(ROWS) == {line.id for line in LINES}
    for row, (_, lines) in ROWS.items():
        kinds = {line.kind for line in LINES if line.id == row}
        for text in lines:
            found = judge(example_record(text))
            assert found is not None, text
            assert found.kind in kinds, text
    assert {wording.reason for wording in WORDINGS} == set(REASONS)
    assert set(REASONS) >= HIGH | LOW


def test_every_kernel_line_has_exactly_one_rule() -> None:
    """Each wording in each frame is matched by one shipped rule, of the level stated here."""
    for text, level in KERNEL_LINES:
        assert [rule.level for rule in firing(example_record(text))] == [level], text


def test_selinux_lines_of_the_audit_transport_have_exactly_one_rule() -> None:
    """An AVC that journald took from audit itself is one event too."""
    for text in avcs():
        if text.startswith("avc"):
            message = f"AVC {text}"
            fields = {"_TRANSPORT": "audit", "_AUDIT_TYPE": "1400", "MESSAGE": message}
            rules = firing(example_record(fields))
            assert [rule.kind for rule in rules] == ["selinux.lockdown"], text


def test_detections_hold_without_the_catalogue() -> None:
    """Converted to a SIEM's query, where watcher.kind is lost, one rule still fires and no more."""
    for text, _ in KERNEL_LINES:
        record = example_record(text)
        assert by_detection_alone(record) == {rule.file for rule in firing(record)}, text


def test_every_forged_line_is_forged_and_nothing_else() -> None:
    """A process that writes any of these lines makes one event, lockdown.forged, and it is high."""
    for text, _ in KERNEL_LINES:
        for fields in forgeries(text):
            record = example_record(fields)
            assert record.trust == "injected"
            assert [(r.kind, r.level) for r in firing(record)] == [("lockdown.forged", "high")], (
                fields
            )
            assert len(by_detection_alone(record)) == 1, fields


@pytest.mark.parametrize(
    "text",
    [
        "PM: hibernation: Image not found (code -22)",
        "LSM: initializing lsm=lockdown,capability,yama,apparmor",
        "SELinux:  Class lockdown not defined in policy.",
        "Bluetooth: hci0: Secure boot is enabled",
        "kauditd_printk_skb: 3 callbacks suppressed",
        "lockdown_is_locked_down: a word of greeting",
        "Lockdown: a word of greeting",
        "sysrq: This sysrq operation is disabled.",
        "Unrestricted guest is restricted; see the fine print",
        "prog: hibernation is restricted; see man kernel_lockdown.7",
        "prog: BPF is restricted; see man kernel_lockdown.7",
        "prog: unsigned module loading is restricted; see man kernel_lockdown.7",
        "zfs: loading out-of-tree module taints kernel.",
    ],
)
def test_near_misses_have_no_rule(text: str) -> None:
    """Lines that only share words with lockdown's fire nothing, here or in a SIEM."""
    assert by_detection_alone(example_record(text)) == set()
    for fields in forgeries(text):
        assert by_detection_alone(example_record(fields)) == set()


def test_another_program_is_no_forger() -> None:
    """A program that writes such words under its own name claims nothing and makes no event."""
    for text, _ in KERNEL_LINES:
        for transport in ("syslog", "journal", "stdout"):
            named = {"SYSLOG_IDENTIFIER": "reader", "SYSLOG_FACILITY": "3", "MESSAGE": text}
            record = example_record({"_TRANSPORT": transport, **named})
            assert firing(record) == [], text


_FRAGMENTS: Final = st.sampled_from(
    [
        *(comm for comm, _ in PAIRS),
        "systemd",
        "Xorg: iopl",
        "swapper/",
        ": ",
        " is restricted",
        "Lockdown: ",
        "hibernation",
        "\n",
        "*",
        "?",
        "\\",
        "\u212a",
    ]
)
NAMES: Final = st.one_of(
    st.sampled_from(sorted({comm for comm, _ in PAIRS})),
    st.lists(st.one_of(_FRAGMENTS, st.text(max_size=4)), max_size=5).map("".join),
).map(lambda name: name.replace("\0", "").encode(errors="ignore")[:15].decode(errors="ignore"))
"""What a process can call itself: 15 bytes, anything but NUL."""


@given(NAMES, st.sampled_from(WORDINGS), st.sampled_from(TAILS))
@example("x is restricted", WORDINGS[0], TAILS[0])
@example("swapper/0: hibe", WORDINGS[0], TAILS[0])
@example("systemd-logind:", WORDINGS[4], TAILS[1])
def test_a_name_moves_a_level_only_with_its_own_reason(
    name: str, wording: Wording, tail: str
) -> None:
    """Whatever a process calls itself, one rule fires, at the reason's own level.

    The published pairs of name and reason are the only exception.
    """
    text = f"Lockdown: {name}: {wording.text} is restricted; see {tail}"
    rules = firing(example_record(text))
    expected = denial_level(name, wording.text)
    if name.lower().startswith("swapper/") and wording.text.lower() in {
        "hibernation",
        "use of tracefs",
    }:
        expected = "informational"
    assert [rule.level for rule in rules] == [expected]


@given(NAMES, st.sampled_from([w for w in WORDINGS if w.reason in HIGH]))
def test_no_name_makes_a_dangerous_reason_harmless(name: str, wording: Wording) -> None:
    """A try at the kernel itself is less than high only for the published pairs."""
    text = f"Lockdown: {name}: {wording.text} is restricted; see man kernel_lockdown.7"
    (rule,) = firing(example_record(text))
    published = {(c.lower(), w.lower()): level for (c, w), level in PAIRS.items()}
    assert rule.level == published.get((name.lower(), wording.text.lower()), "high")


def test_the_pack_lets_other_lines_pass_unread() -> None:
    """Every rule names words its line must hold, so a line without them costs next to nothing."""
    prefilter = Prefilter([rule.needs.literals for rule in PACK.rules])
    assert not prefilter.wants(b"usb 1-1: new high-speed USB device number 4 using xhci_hcd")
    for text, _ in KERNEL_LINES:
        assert prefilter.wants(text.encode()), text
