"""The catalogue reads every wording, and invents nothing."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.lockdown import CAUSES, CUT, LINES, REASONS, WORDINGS, recognise
from watcher.lockdown.wordings import Wording

TAILS = (
    "; see man kernel_lockdown.7",
    ", see man kernel_lockdown.7",
    "; see https://wiki.debian.org/SecureBoot",
)
# Any 15 bytes but NUL that a process may call itself, ": " and newline among them.
COMMS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=0, max_size=15
).filter(lambda comm: len(comm.encode()) <= 15)


@pytest.mark.parametrize("wording", WORDINGS, ids=lambda w: w.text)
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("comm", [None, "", "systemd-logind", "a: use of kprob", "x is restricted"])
def test_every_wording_in_every_frame(wording: Wording, tail: str, comm: str | None) -> None:
    """A denial is read whatever the process is called and whichever tail the kernel gives it."""
    name = "" if comm is None else f"{comm}: "
    found = recognise(f"Lockdown: {name}{wording.text} is restricted{tail}")
    assert found is not None
    assert (found.kind, found.comm, found.text) == ("lockdown.denied", comm, wording.text)
    assert found.reason == wording.reason
    assert CUT not in found.warnings


@given(COMMS, st.sampled_from(WORDINGS), st.sampled_from(TAILS))
def test_no_process_name_moves_the_reason(comm: str, wording: Wording, tail: str) -> None:
    """The reason is the kernel's last words before the frame, never a part of the name."""
    found = recognise(f"Lockdown: {comm}: {wording.text} is restricted{tail}")
    assert found is not None
    assert found.reason == wording.reason
    assert found.comm == comm


@given(st.text(max_size=200))
def test_any_text_is_safe(text: str) -> None:
    """No text raises, alone or in the middle of a frame."""
    recognise(text)
    recognise(f"Lockdown: {text} is restricted; see man kernel_lockdown.7")
    recognise(f"Kernel is locked down from {text}")
    recognise(f'avc:  denied  {{ integrity }} for  pid=1 comm="{text}" lockdown_reason="{text}"')


def test_the_mainline_table_is_whole() -> None:
    """28 reasons of mainline (31 entries less three level names), Ubuntu's, and older ones."""
    levels = [reason.level for reason in REASONS.values()]
    assert levels.count("integrity") == 20 + 1
    assert levels.count("confidentiality") == 8
    assert {w.reason for w in WORDINGS} == set(REASONS)


def test_wordings_are_distinct() -> None:
    """A text fits one wording of the catalogue."""
    texts = [wording.text for wording in WORDINGS]
    assert len(texts) == len(set(texts))


def test_mainline_level_is_known_older_is_not() -> None:
    """Only mainline knows levels: before 5.4 a kernel was locked or not."""
    new = recognise("Lockdown: perf: use of kprobes is restricted; see man kernel_lockdown.7")
    old = recognise("Lockdown: perf: Use of kprobes is restricted; see man kernel_lockdown.7")
    assert new is not None
    assert old is not None
    assert (new.level, new.lineage, new.reason) == ("confidentiality", "mainline", "kprobes")
    assert (old.level, old.lineage, old.reason) == (None, "fedora-4.16", "kprobes")
    assert "once per boot" in old.meaning


@pytest.mark.parametrize("text", CAUSES)
@pytest.mark.parametrize("tail", TAILS)
def test_every_cause(text: str, tail: str) -> None:
    """Every announced cause is known by name."""
    found = recognise(f"Kernel is locked down from {text}{tail}")
    assert found is not None
    assert (found.kind, found.text, found.cause) == ("lockdown.enabled", text, CAUSES[text].id)


def test_a_new_cause_is_still_an_announcement() -> None:
    """The cause is free text: a new one means locked down all the same."""
    found = recognise("Kernel is locked down from Martian firmware; see man kernel_lockdown.7")
    assert found is not None
    assert (found.kind, found.cause) == ("lockdown.enabled", "other")
    assert found.text == "Martian firmware"


@pytest.mark.parametrize(
    "text",
    [
        "Lockdown: widget: use of warp drive is restricted; see man kernel_lockdown.7",
        "Lockdown: use of warp drive is restricted; see man kernel_lockdown.7",
        "Kernel is locked down by decree; see man kernel_lockdown.7",
    ],
)
def test_unknown_words_in_a_known_frame(text: str) -> None:
    """Promise 5: such a line is lockdown.unknown, reason and comm null, the text whole."""
    found = recognise(text)
    assert found is not None
    assert (found.kind, found.reason, found.comm) == ("lockdown.unknown", None, None)
    assert found.text is not None
    assert found.text in text


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        ("; see man kernel_lockdown.8", "lockdown.denied"),
        ("; see man lockdown(7)", "lockdown.denied"),
        ("; see https://docs.example/lockdown", "lockdown.denied"),
        ("; see 7", None),
        ("; see the manual of your machine", None),
        (" on such machines", None),
    ],
)
def test_known_words_need_a_page_at_their_end(tail: str, kind: str | None) -> None:
    """A kernel that sends people to another page is still understood; prose is no kernel line."""
    found = recognise(f"Lockdown: kexec: kexec of unsigned images is restricted{tail}")
    assert (found and found.kind) == kind


def test_an_effect_that_begins_like_an_announcement() -> None:
    """xen-privcmd's parameter line is an effect, not an announcement."""
    text = 'xen:xen_privcmd: Kernel is locked down, parameter "unrestricted" ignored'
    for each in (text, text.removeprefix("xen:xen_privcmd: ")):
        found = recognise(each)
        assert found is not None
        assert (found.kind, found.text) == ("lockdown.effect", "unrestricted")


@pytest.mark.parametrize(
    ("count", "expected"),
    [("3", 3), ("25311154", 25_311_154), ("2147483647", 2**31 - 1), ("-2147483648", 2**31)],
)
def test_suppressed_counts(count: str, expected: int) -> None:
    """The count is exact, also where the kernel's int ran over."""
    found = recognise(f"lockdown_is_locked_down: {count} callbacks suppressed")
    assert found is not None
    assert (found.kind, found.suppressed) == ("lockdown.suppressed", expected)


@pytest.mark.parametrize(
    ("text", "kind", "said", "cause"),
    [
        ("Kernel is locked down from command", "lockdown.enabled", "command", None),
        ("Kernel is locked down from command line; see man", "lockdown.enabled", "command line",
         "command_line"),
        ("Lockdown: Xorg: raw io port access is restricted; see man", "lockdown.denied",
         "raw io port access", None),
        ("Lockdown: Xorg: raw io port access is restricted;", "lockdown.denied",
         "raw io port access", None),
        ("nvidia: module verification failed: signature", "module.signature",
         "module verification failed", None),
    ],
)  # fmt: skip
def test_a_cut_line_says_only_what_is_left(
    text: str, kind: str, said: str, cause: str | None
) -> None:
    """What is beyond doubt becomes an event; the rest is null, and a warning says it was cut."""
    found = recognise(text)
    assert found is not None
    assert (found.kind, found.text, found.cause) == (kind, said, cause)
    assert CUT in found.warnings


@pytest.mark.parametrize(
    "text",
    [
        "Lockdown: systemd-logind: hibernation is",
        "Lockdown: qemu-system=",
        "line; see man kernel_lockdown.7",
        "Kernel is locked down from ",
        "Lockdown: the film is restricted to adults",
        "Bluetooth: hci0: Secure boot is enabled",
        "sysrq: This sysrq operation is disabled.",
        "kauditd_printk_skb: 48 callbacks suppressed",
    ],
)
def test_what_is_left_says_too_little(text: str) -> None:
    """No event is made of half a thought, nor of what only looks like lockdown."""
    assert recognise(text) is None


def test_avc_in_hex_and_without_quotes() -> None:
    """audit's two other ways of writing a name are read as the name."""
    rest = "scontext=a tcontext=a tclass=lockdown permissive=0"
    head = "avc:  denied  { integrity } for  pid=7"
    coded = recognise(f'{head} comm=6576696C3A20 lockdown_reason="hibernation" {rest}')
    bare = recognise(f"{head} comm=s2disk lockdown_reason=direct PCI access {rest}")
    assert coded is not None
    assert bare is not None
    assert (coded.comm, coded.reason, coded.level, coded.pid) == (
        "evil: ", "hibernation", "integrity", 7
    )  # fmt: skip
    assert (bare.comm, bare.reason, bare.warnings) == ("s2disk", "pci_access", ())


def test_every_row_says_where_it_was_read() -> None:
    """No fact without a source, no advice without a way on."""
    for reason in REASONS.values():
        assert reason.read
        assert reason.instead
        assert reason.since
    assert all(line.read and line.instead and line.meaning for line in LINES)


def test_rows_are_disjoint() -> None:
    """A line fits at most one row: no two patterns match each other's titles or samples."""
    samples = {
        "lifted": "Lifting lockdown",
        "tracing_disabled": "Tracing disabled due to lockdown",
        "xmon": "xmon: Disabled due to kernel lockdown",
        "secureboot_disabled": "Secure boot disabled",
        "kexec_rejected": "kexec of unsigned image rejected",
        "module_rejected": "Loading of unsigned module is rejected",
    }
    for name, text in samples.items():
        hits = [line.id for line in LINES if line.pattern.fullmatch(text)]
        assert hits[0] == name
        assert set(hits) <= {name, "due_to_lockdown"}


def test_long_text_takes_linear_time() -> None:
    """A megabyte of the worst each frame knows is read at once (a cubic pattern would hang)."""
    for piece in (": ", " is restricted", "[1] ", "lockdown_reason=", "a", string.punctuation):
        body = piece * (1_000_000 // len(piece))
        for frame in ("Lockdown: {} is restricted; see man", "Kernel is locked down from {}", "{}"):
            recognise(frame.format(body))
