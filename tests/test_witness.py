"""`why -- CMD`: nothing about the command changes, and what the kernel refused it is told."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.journal.real import DENIED
from tests.parts import missing
from watcher.diagnose.witnessed import Window, named, witnessed
from watcher.posture import Denial, inspect
from watcher.this_boot import boot_of_tree
from watcher.witness import WORDS

TREE = Path(__file__).parents[1]
HOSTS = TREE / "tests/hosts"
CORPUS = TREE / "tests/corpus"
WHY = [sys.executable, "-m", "watcher", "why", "--"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(TREE)}


def run(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command under watch, both as programs."""
    return subprocess.run(
        [*WHY, *command], env=ENVIRONMENT, capture_output=True, text=True, input=given, check=False
    )


# --- nothing changes


@pytest.mark.parametrize("status", [0, 1, 2, 42, 255])
def test_the_exit_status_is_the_commands(status: int) -> None:
    """Every status comes through."""
    assert run("sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("name", ["TERM", "KILL", "INT", "SEGV", "HUP", "PIPE"])
def test_death_by_a_signal_is_death_by_that_signal(name: str) -> None:
    """Whoever waits for us sees what he would see of the command."""
    assert run("sh", "-c", f"kill -{name} $$").returncode == -getattr(signal, f"SIG{name}")


def test_input_and_output_are_the_commands_own() -> None:
    """Bytes go in and out untouched; what we say goes to stderr alone."""
    done = run("sh", "-c", "cat; echo err >&2", given="one\ntwo\n")
    assert done.stdout == "one\ntwo\n"
    assert done.stderr.splitlines()[0] == "err"
    assert "lockdown-watcher: " in done.stderr


def test_arguments_are_the_commands_own() -> None:
    """Options, a second --, empty words and odd bytes belong to the command."""
    words = ("-o", "--", "--help", "", "a b", "\udcff")
    done = subprocess.run(
        [*WHY, "printf", "%s\\n", *words], env=ENVIRONMENT, capture_output=True, check=False
    )
    assert done.stdout.split(b"\n")[:-1] == [os.fsencode(word) for word in words]


@pytest.mark.parametrize("options", [[], ["-o", "json"]])
def test_the_environment_is_the_commands_own(options: list[str]) -> None:
    """Nothing added, nothing taken away, nothing changed."""
    command = [*WHY[:-1], *options, "--", "env", "-0"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=True)
    plain = subprocess.run(["env", "-0"], env=ENVIRONMENT, capture_output=True, check=True)
    assert sorted(done.stdout.split(b"\0")) == sorted(plain.stdout.split(b"\0"))


@pytest.mark.parametrize(
    "streams", ["2>&-", "2>/dev/full", ">&-", "<&-", "<&- >&- 2>&-", "2> >(true)"]
)
@pytest.mark.parametrize("status", [0, 7])
def test_the_status_is_kept_even_if_nobody_listens(streams: str, status: int) -> None:
    """Streams that are closed, full or broken off are no reason to change it."""
    script = f'"$@" {streams}'
    command = ["bash", "-c", script, "bash", *WHY, "sh", "-c", f"exit {status}"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False)
    assert done.returncode == status, done.stderr


def test_who_cannot_see_is_told_so() -> None:
    """An ordinary user, who may not read the kernel log: said, not passed over."""
    if os.geteuid() != 0:
        missing("root, to become nobody")
    wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    for status in (0, 1):
        done = subprocess.run(
            [*wrapper, *WHY, "sh", "-c", f"exit {status}"], env=ENVIRONMENT, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status
        assert "cannot be seen" in done.stderr or "could not be followed" in done.stderr


def test_a_command_that_is_not_there() -> None:
    """127 and 126, as env(1) has it, and one line."""
    absent, folder = run("no-such-command"), run("/etc/passwd")
    assert (absent.returncode, folder.returncode) == (127, 126)
    assert absent.stderr == "lockdown-watcher: no-such-command: no such command\n"
    assert folder.stderr == "lockdown-watcher: /etc/passwd: it cannot be executed\n"


def test_signals_sent_to_us_reach_the_command() -> None:
    """SIGTERM, SIGHUP and SIGUSR1 are passed on; the command decides what they do."""
    script = "trap 'echo got; exit 9' TERM HUP USR1; echo ready; while :; do sleep 0.05; done"
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        with subprocess.Popen(
            [*WHY, "sh", "-c", script], env=ENVIRONMENT, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        ) as running:  # fmt: skip
            assert running.stdout
            assert running.stdout.readline() == "ready\n"
            running.send_signal(number)
            assert running.stdout.readline() == "got\n"
            assert running.wait(10) == 9


def test_ignored_and_default_signals_are_inherited() -> None:
    """The masks and dispositions the command starts with are those it would have without us.

    But for signals 32 and 33, glibc's own: its posix_spawn() leaves either or both ignored.
    """
    show = ("grep", "-E", "^(SigBlk|SigIgn|SigCgt)", "/proc/self/status")
    plain = subprocess.run(show, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert dispositions(run(*show).stdout) == dispositions(plain.stdout)


def dispositions(shown: str) -> dict[str, int]:
    """Read masks out of /proc/PID/status, but for glibc's own signals; bit 0 is signal 1."""
    lines = [line.split(":\t") for line in shown.splitlines()]
    return {name: int(mask, 16) & ~(0b11 << 31) for name, mask in lines}


def on_tty(command: list[str], typed: bytes) -> tuple[bytes, int]:
    """Run a command on a terminal of its own, type, and give what it showed and its status."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, ENVIRONMENT)
    shown = b""
    while b"ready" not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, typed)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            part = os.read(terminal, 1024)
        except OSError:
            break
        shown += part
    os.close(terminal)
    return shown, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_the_terminal_is_the_commands() -> None:
    """It is a tty, in the foreground, and what is typed arrives."""
    script = 'test -t 0 && test -t 1 && echo ready; read x; echo "<$x>"; exit 5'
    shown, status = on_tty([*WHY, "sh", "-c", script], b"hello\n")
    assert b"<hello>" in shown
    assert status == 5


def test_ctrl_c_reaches_the_command_once() -> None:
    """The terminal sends it to both; it is not passed on a second time."""
    script = "trap 'n=$((n+1)); echo int $n' INT; echo ready; sleep 1; sleep 0.5; exit $n"
    shown, status = on_tty([*WHY, "sh", "-c", script], b"\x03")
    assert b"int 1" in shown
    assert status == 1


def test_no_descriptor_leaks_into_the_command() -> None:
    """It has its three, and none of ours."""
    assert run("sh", "-c", "ls /proc/self/fd | wc -l").stdout.strip() == "4"  # and ls's own


# --- what it says


def denial(comm: str, reason: str, text: str = "") -> Denial:
    """A refusal as logged."""
    return Denial(reason, comm, text or f"Lockdown: {comm}: {reason} is restricted", 1, 1)


def window(*command: str, names: tuple[str, ...] = (), **more: object) -> Window:
    """A command that failed, with what was logged meanwhile."""
    given = {"succeeded": False, "denials": (), **more}
    return Window(command=command, names=frozenset(names), **given)  # type: ignore[arg-type]


def host(name: str) -> object:
    """The posture of one of the trees."""
    root = str(HOSTS / name / "root")
    return inspect(root).with_log(boot_of_tree(root))


def test_no_line_that_counts_is_passed_over() -> None:
    """Lines are kept by a few words, since reading them all would be the command's time."""
    kinds = {"lockdown.denied", "lockdown.suppressed", "module.signature", "kexec.signature"}
    golden = [
        json.loads(line)
        for file in CORPUS.glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    told = [each["message"].encode() for each in golden if each["kind"] in kinds]
    assert len(told) > 100
    assert [text for text in told if not any(word in text for word in WORDS)] == []


def test_a_line_about_a_signature_is_the_cause() -> None:
    """Under Secure Boot IMA refuses before lockdown is asked; its line names no process."""
    text = "ima: impossible to appraise a kernel image without a file descriptor"
    signatures = (("kexec.signature", text),)
    posture = host("debian-12-confidentiality")
    found = witnessed(window("kexec", "-l", "x", signatures=signatures), posture).diagnosis  # type: ignore[arg-type]
    assert found
    assert (found.verdict, found.cause, found.confidence) == (
        "not_lockdown", "image_signature", "certain",
    )  # fmt: skip
    assert text in next(each.evidence for each in found.causes if each.id == "image_signature")
    assert found.notes[0].startswith("Lockdown comes next")
    other = witnessed(window("bpftool", "prog", signatures=signatures), posture).diagnosis  # type: ignore[arg-type]
    assert other is None or other.cause != "image_signature"


def test_own_by_name_or_by_the_command_line() -> None:
    """The command, a descendant that was seen, a word of `sh -c`; all else is a maybe."""
    denials = tuple(denial(comm, "dev_mem") for comm in ("sh", "child", "dd", "stranger"))
    found = witnessed(
        window("sh", "-c", "/bin/dd if=/dev/mem|wc", names=("sh", "child"), denials=denials),
        host("ubuntu-24.04"),  # type: ignore[arg-type]
    )
    assert [each.comm for each in found.own] == ["sh", "child", "dd"]
    assert [each.comm for each in found.maybe] == ["stranger"]
    assert found.diagnosis
    assert (found.diagnosis.verdict, found.diagnosis.confidence) == ("lockdown", "certain")


def test_names_are_cut_as_the_kernel_cuts_them() -> None:
    """15 bytes."""
    assert "a-very-long-pro" in named(["/opt/a-very-long-program-name"])


def test_another_programs_refusal_proves_nothing() -> None:
    """Somebody else's line is told, but the verdict is not certain."""
    found = witnessed(
        window("my-tool", denials=(denial("systemd-logind", "hibernation"),)),
        host("ubuntu-24.04"),  # type: ignore[arg-type]
    )
    assert not found.own
    assert found.diagnosis
    assert found.diagnosis.confidence != "certain"


def test_silence_acquits_since_5_4() -> None:
    """No line since it began, and none hidden: it was not lockdown, whatever is locked."""
    found = witnessed(window("kexec", "-l", "x"), host("ubuntu-24.04"))  # type: ignore[arg-type]
    assert found.diagnosis
    assert found.diagnosis.verdict == "not_lockdown"


def test_silence_does_not_acquit_before_5_4() -> None:
    """The seed: said once at boot, about systemd, and never again; that line is shown."""
    found = witnessed(window("bpftrace", "-e", "x"), host("fedora-30"))  # type: ignore[arg-type]
    assert [each.comm for each in found.earlier] == ["systemd"]
    assert found.diagnosis
    assert found.diagnosis.verdict == "lockdown"


@pytest.mark.parametrize("how", [{"suppressed": 51}, {"lost": 3}, {"unseen": "not permitted"}])
def test_what_was_hidden_is_said_and_does_not_acquit(how: dict[str, object]) -> None:
    """The rate limit, a lost line or an unreadable log leave the question open."""
    found = witnessed(window("kexec", "-l", "x", **how), host("ubuntu-24.04"))  # type: ignore[arg-type]
    assert len(found.hidden) == 1
    assert found.diagnosis
    assert found.diagnosis.verdict == "lockdown"
    assert found.diagnosis.confidence != "certain"


def test_json_goes_to_stderr_too() -> None:
    """stdout is the command's, even then."""
    done = subprocess.run(
        [*WHY[:-1], "-o", "json", "--", "sh", "-c", "echo out; exit 3"],
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("out\n", 3)
    assert json.loads(done.stderr)["command"]["status"] == 3


@pytest.mark.parametrize("before", [["bpf"], ["--root", "/x"], ["--nonsense"]])
def test_wrong_usage_runs_nothing(before: list[str], tmp_path: Path) -> None:
    """A question and a command exclude each other; the command is not touched then."""
    file = tmp_path / "ran"
    done = subprocess.run(
        [*WHY[:-1], *before, "--", "touch", str(file)], env=ENVIRONMENT, capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert not file.exists()


def test_other_commands_keep_their_double_dash() -> None:
    """Only `why` splits."""
    done = subprocess.run(
        [*WHY[:-2], "explain", "--", "hibernation"],
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0


def test_the_probe_asks_the_kernel() -> None:
    """Real bpf(2) calls: either all went well, or the first that failed is explained."""
    if os.geteuid() != 0:
        missing("root, for bpf(2)")
    done = subprocess.run(
        [*WHY[:-1], "--probe", "bpf", "-o", "json"], env=ENVIRONMENT, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    failed = [each for each in found["probe"] if each["failed"]]
    assert [each["step"] for each in found["probe"]][:2] == ["make a map", "load a trivial program"]
    if failed:
        assert found["verdict"] != "unsure"
    else:
        assert found["headline"].startswith("BPF works here")


def test_a_real_refusal_by_this_kernel() -> None:
    """debugfs, opened under another name: if this kernel is locked, it says so, and we with it."""
    if os.geteuid() != 0:
        missing("root, to mount debugfs")
    done = run(sys.executable, "-c", DENIED, "lw-refused")
    if done.returncode == 0:  # not locked: nothing was refused, and nothing may be blamed
        assert "refused nothing" in done.stderr
        return
    if done.returncode != 7:
        missing(f"debugfs, to provoke a refusal ({done.stderr.strip()[-200:]})")
    assert "Lockdown: lw-refused: debugfs access is restricted" in done.stderr
    assert "This is lockdown. (certain)" in done.stderr
