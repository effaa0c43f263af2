"""The command line as a user meets it: real processes, their output and exit status."""

from __future__ import annotations

import gzip
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.replay import events
from watcher.delivery.outbox import Outbox
from watcher.delivery.store import Store
from watcher.event_model import json_schema

OWN = Path(__file__).parent / "corpus"
ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "watcher"]


def run(
    *args: str, given: bytes | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *args], input=given, capture_output=True, cwd=ROOT, check=False,
        env=os.environ | (env or {}),
    )  # fmt: skip


def lines(output: bytes) -> list[dict[str, Any]]:
    """JSON Lines as objects."""
    return [json.loads(line) for line in output.splitlines()]


def on_terminal(*args: str, until: str = "", stop: int | None = None) -> tuple[int, str]:
    """Run on a real pseudo terminal; give exit status and all that a person would see."""
    parent, child = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *args], stdin=child, stdout=child, stderr=child, cwd=ROOT
    ) as p:
        os.close(child)
        seen, deadline = b"", time.monotonic() + 30
        while time.monotonic() < deadline:
            if select.select([parent], [], [], 0.1)[0]:
                try:
                    seen += os.read(parent, 65536)
                except OSError:  # the other end is closed: the program has ended
                    break
            if until and until.encode() in seen and stop is not None:
                p.send_signal(stop)
                until = ""
        status = p.wait(timeout=10)
    os.close(parent)
    return status, seen.decode()


# --- scan


def test_the_story_in_a_pipe_is_json() -> None:
    """A pipe gets JSON Lines, three of them, and nothing on stderr."""
    done = run("scan", str(OWN / "story.txt"))
    assert [e["kind"] for e in lines(done.stdout)] == [
        "lockdown.enabled", "lockdown.denied", "lockdown.lifted"
    ]  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_story_on_a_terminal_is_told() -> None:
    """A person sees when, how grave, what, who, and a line of advice, in colour."""
    status, seen = on_terminal("scan", str(OWN / "story.txt"))
    assert status == 0
    for words in (
        "at boot", "The kernel is locked down: UEFI Secure Boot is on", "2.2 s after boot",
        "BPF was refused", "(process: systemd)", "once", "silent", "16 h 11 min after boot",
        "critical", "Lockdown was lifted",
    ):  # fmt: skip
        assert words in seen
    assert "\x1b[" in seen


def test_no_color_is_honoured() -> None:
    """NO_COLOR takes the colours away."""
    done = run("scan", "-o", "human", str(OWN / "story.txt"), env={"NO_COLOR": "1"})
    assert b"\x1b" not in done.stdout


def test_standard_input_and_compressed_files(tmp_path: Path) -> None:
    """- is standard input; gzip is recognised by what it holds, not by its name."""
    story = (OWN / "story.txt").read_bytes()
    (tmp_path / "story").write_bytes(gzip.compress(story))
    plain = [e["id"] for e in lines(run("scan", "-", given=story).stdout)]
    packed = [e["id"] for e in lines(run("scan", str(tmp_path / "story")).stdout)]
    assert len(plain) == 3
    assert plain == packed


def test_a_hostile_log_moves_no_cursor() -> None:
    """What a terminal would obey is shown, not sent, in both outputs and with -v."""
    for output in ("human", "json"):
        shown = run("scan", "-v", "-o", output, str(OWN / "hostile.kmsg")).stdout.decode()
        assert "[2J" in shown
        assert all(c.isprintable() or c == "\n" for c in shown)


def test_fail_on() -> None:
    """--fail-on exits 1 for an event as grave as that, 0 otherwise."""
    story = str(OWN / "story.txt")
    assert run("scan", "--fail-on", "critical", story).returncode == 1
    assert run("scan", "--fail-on", "low", str(OWN / "near-misses.dmesg")).returncode == 0


def test_since_and_until_on_text(tmp_path: Path) -> None:
    """Lines known to be outside the span are left out."""
    file = tmp_path / "log"
    for day in ("01", "02", "03"):
        with file.open("a") as log:
            log.write(f"2024-05-{day}T12:00:00.000000Z h kernel: Lifting lockdown\n")
    done = run("scan", "--since", "2024-05-02", "--until", "2024-05-03", str(file))
    assert [e["time"] for e in lines(done.stdout)] == ["2024-05-02T12:00:00.000000Z"]


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (("scan", "no/such/file"), 3, "no/such/file"),
        (("scan", "."), 3, "--journal-dir"),
        (("scan", "--journal-dir", "/no/such/dir"), 3, "No such file"),
        (("scan", "--journal-dir", "/tmp", "--namespace", "x"), 2, "exclude each other"),
        (("scan", "--since", "now", "--until", "-1h"), 2, "is later than"),
        (("scan", "--since", "soonish"), 2, "'soonish' is no time"),
        (("scan", "--boot", "0", "README.md"), 2, "--boot"),
        (("scan", "--fail-on", "bad"), 2, "--fail-on"),
        (("bogus",), 2, "bogus"),
        (("explain", "zxcvb"), 1, "nothing is known"),
        (("explain", "hibernatoin"), 1, "did you mean hibernation?"),
        (("rules", "check", "README.md"), 2, "README.md"),
        (("rules", "check", "no/such.yml"), 2, "no/such.yml"),
        (("watch", "--namespace", "no-such-namespace", "--since", "x"), 2, "is no time"),
    ],
)
def test_faults_are_one_clear_line(args: tuple[str, ...], status: int, said: str) -> None:
    """Exit 2 is the user's fault, 3 the machine's, 1 means no; never a traceback."""
    done = run(*args)
    assert done.returncode == status
    assert said in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_one_bad_file_loses_none_of_the_others(tmp_path: Path) -> None:
    """All that can be read is read; the status says that something could not be."""
    story = str(OWN / "story.txt")
    done = run("scan", story, str(tmp_path / "missing"), story)
    assert len(lines(done.stdout)) == 6
    assert done.returncode == 3


def test_binary_noise_is_text(tmp_path: Path) -> None:
    """A binary file is read as text: no event, exit 0."""
    file = tmp_path / "noise"
    file.write_bytes(bytes(range(256)) * 4096)
    done = run("scan", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_closed_pipe_is_no_traceback() -> None:
    """`scan | head -1` ends in silence."""
    big = " ".join([str(OWN / "mainline-every-reason.dmesg")] * 40)
    shell = f"{' '.join(COMMAND)} scan {big} | head -1; echo ${{PIPESTATUS[0]}} >&2"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, cwd=ROOT, check=False)
    assert len(lines(done.stdout)) == 1
    assert done.stderr == b"0\n"


def test_a_full_disk_is_said() -> None:
    """What cannot be written is told, and the status is not 0."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "scan", str(OWN / "story.txt")], stdout=full, stderr=subprocess.PIPE,
            cwd=ROOT, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.decode() == "lockdown-watcher: cannot write: No space left on device\n"


def test_a_closed_pipe_does_not_hide_what_was_found() -> None:
    """--fail-on holds though nobody reads on."""
    lines_ = " ".join([str(OWN / "story.txt"), *[str(OWN / "mainline-every-reason.dmesg")] * 40])
    shell = f"{' '.join(COMMAND)} scan --fail-on critical {lines_} | head -1 >/dev/null"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell], capture_output=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_closed_standard_input_is_told() -> None:
    """`scan - <&-` reads nothing, says so and exits with 3."""
    shell = f"{' '.join(COMMAND)} scan - <&-"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "standard input is closed" in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_closed_streams_are_no_traceback(closed: str) -> None:
    """Some callers close what they do not want to hear."""
    shell = f"{' '.join(COMMAND)} scan no/such/file {closed}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 3
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("cache", ["/dev/null", "relative", "/proc"])
def test_no_cache_is_no_obstacle(cache: str) -> None:
    """Where nothing can be kept the rules are parsed each time."""
    done = run("scan", str(OWN / "story.txt"), env={"XDG_CACHE_HOME": cache, "HOME": cache})
    assert (len(lines(done.stdout)), done.stderr) == (3, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_scan_cleanly(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM: what was found is written, the rest is said to be unread."""
    with subprocess.Popen(
        # A shell's background jobs ignore SIGINT, and so would what they start.
        ["env", "--default-signal=INT", *COMMAND, "scan", str(OWN / "story.txt"), "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    ) as scanning:  # fmt: skip
        assert scanning.stdin is not None
        # It has read the first file when it takes more than a pipe holds (64 KiB) of the second.
        scanning.stdin.write(b"x\n" * 100_000)
        scanning.stdin.flush()
        scanning.send_signal(number)
        out, err = scanning.communicate(timeout=10)
    assert len(lines(out)) == 3
    assert b"the rest was not read" in err
    assert b"Traceback" not in err
    assert scanning.returncode == 130


# --- the others


def test_watch_says_first_what_it_reads() -> None:
    """On a terminal one line says the source and how this kernel stands, then names the demo."""
    status, seen = on_terminal("watch", "--since", "now", until="make demo", stop=signal.SIGINT)
    assert status in (0, 3)
    if status == 0:
        assert "reading" in seen
        assert "kernel" in seen
        assert "make demo" in seen
    assert "Traceback" not in seen


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hibernation", "Suspend to RAM works"),
        ("dev_mem", "/dev/mem,kmem,port"),
        ("use of kprobes", "kprobes"),
        ("Direct PCI access", "pci_access"),
        ("[ 1.0] Lockdown: Xorg: raw io port access is restricted; see man", "ioport"),
        ("Key was rejected by service", "sig_enforce"),
        ("unknown func bpf_probe_read_kernel#113", "confidentiality"),
        ("Operation not permitted", "rate limit"),
        ("EACCES", "not lockdown itself"),
        ("Lifting lockdown", "lifted"),
    ],
)
def test_explain(text: str, said: str) -> None:
    """A line, a reason by id or words, and what programs print are explained."""
    done = run("explain", "-o", "human", text)
    assert done.returncode == 0
    assert said in done.stdout.decode()


def test_explain_shows_hostile_text_harmlessly() -> None:
    """A process name in the line to explain cannot obey either."""
    line = "Lockdown: \x1b[2J: hibernation is restricted; see man kernel_lockdown.7"
    assert b"\x1b[2J" not in run("explain", "-o", "human", line).stdout


def test_rules_list_and_check() -> None:
    """The shipped pack is listed and has no fault."""
    listed = lines(run("rules", "list").stdout)
    assert {"critical", "informational"} <= {rule["level"] for rule in listed}
    assert run("rules", "check").stdout.endswith(b"rules, 0 faults\n")


def test_schema() -> None:
    """The schema is printed as it is."""
    assert json.loads(run("schema").stdout) == json_schema()


COMMANDS = ["", "health", "metrics", "watch", "scan", "explain", "rules list", "rules check",
            "rules test", "rules convert", "schema"]  # fmt: skip


@pytest.mark.parametrize("args", COMMANDS)
def test_help_has_an_example(args: str) -> None:
    """--help everywhere, with an example."""
    done = run(*args.split(), "--help")
    assert done.returncode == 0
    assert b"lockdown-watcher " in done.stdout


def test_an_error_about_a_file_names_it() -> None:
    """Whatever goes wrong with a file: it was perhaps not writing that failed."""
    code = (
        "from pathlib import Path; from watcher.cli import main as cli\n"
        "cli.cli.command('broken')(lambda: Path('/no/such').read_text())\n"
        "cli.main(['broken'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr == b"lockdown-watcher: /no/such: No such file or directory\n"


# --- the daemon's


def test_the_daemon_tells_every_fault_before_it_begins(tmp_path: Path) -> None:
    """Of all sinks at once; nothing is recorded before."""
    file = tmp_path / "c.toml"
    sink = '[[sink]]\nkind = "file"\nname = "{0}"\npath = "{1}/none/{0}"\n'
    store = f'[store]\ndir = "{tmp_path}/state"\n'
    file.write_text(store + sink.format("a", tmp_path) + sink.format("b", tmp_path))
    done = run("daemon", "--config", str(file))
    assert done.returncode == 2
    told = done.stderr.decode().splitlines()
    assert [line.partition(": sink ")[2][:7] for line in told] == ["a: path", "b: path"]
    assert not (tmp_path / "state").exists()


def test_a_config_file_that_is_not_there(tmp_path: Path) -> None:
    """Named by the option or by the variable, it must exist."""
    gone = str(tmp_path / "gone.toml")
    for done in (
        run("config", "check", "--config", gone),
        run("config", "check", env={"LOCKDOWN_WATCHER_CONFIG": gone}),
        run("config", "show", env={"LOCKDOWN_WATCHER_CONFIG": gone}),
    ):
        assert done.returncode == 2
        assert f"{gone}: no such file" in done.stderr.decode()


@pytest.mark.parametrize("command", ["events", "deliveries", "metrics", "health"])
def test_a_fault_elsewhere_hides_no_store(command: str, tmp_path: Path) -> None:
    """What needs but the store's folder tells the fault and goes on; a fault in [store] ends it."""
    file = tmp_path / "c.toml"
    with Store(tmp_path) as store:
        store.commit(events(1), {}, 1)
    good, faulty = f'[store]\ndir = "{tmp_path}"\n', "[desktop]\nmin_severity = 'grave'\n"
    file.write_text(good)
    before = run(command, "--config", str(file))
    file.write_text(good + faulty)
    done = run(command, "--config", str(file))
    assert done.returncode == before.returncode
    assert done.stdout.splitlines()[0] == before.stdout.splitlines()[0]
    (said,) = done.stderr.decode().splitlines()
    assert said.startswith(f"lockdown-watcher: {file}:4: desktop: min_severity: ")
    for hides in ("[store]\ndir = 3\n", "[store\n"):
        file.write_text(hides + faulty)
        done = run(command, "--config", str(file))
        assert (done.returncode, done.stdout) == (2, b"")


def test_deliveries_retry_says_when(tmp_path: Path) -> None:
    """Nothing set aside; no daemon runs."""
    file = tmp_path / "c.toml"
    file.write_text(f'[store]\ndir = "{tmp_path}"\n')
    with Store(tmp_path) as store:
        store.keep_sinks(["siem"])
        store.commit(events(1), {}, 1)
    retry = ("deliveries", "retry", "siem", "--config", str(file))
    assert run(*retry).stdout == b"nothing was set aside for siem\n"
    outbox = Outbox(tmp_path / "events.sqlite3", "siem", 0)
    outbox.settle([], [(outbox.waiting(1)[0], "no")], 2)
    outbox.close()
    said = run(*retry).stdout
    assert said == b"to siem again: 1 event, when the daemon runs again\n"
