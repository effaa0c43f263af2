"""The service in a whole guest: real systemd, real Secure Boot, its own sandbox, real refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.lab.cache import scratch
from tests.lab.full_guest import FILES, FullGuest
from tests.lab.full_parts import need_full_lab
from tests.lab.kernels import kernel
from tests.lab.test_full import announcements, boot_id, denied
from tests.pki import Pki

pytestmark = pytest.mark.timeout(1200)

HERE: Final = Path(__file__).parent
UNIT: Final = "lockdown-watcher.service"
LOG: Final = "/var/log/lockdown-watcher/events.jsonl"
GOT: Final = "/var/log/received"
ETC: Final = "/etc/lockdown-watcher"
CONFIG: Final = f"""
[[sink]]
kind = "journal"

[[sink]]
kind = "file"
path = "{LOG}"

[[sink]]
name = "siem"
kind = "syslog"
address = "tls://127.0.0.1:6514"
ca_file = "{ETC}/ca.pem"
"""
RECEIVER: Final = (
    f"systemd-run --unit=receiver --service-type=exec python3 {FILES}/receiver.py"
    f" 6514 {FILES}/server.pem {FILES}/server.key {GOT}"
)
EARLY: Final = f"""\
[Unit]
Description=Is refused something before the watcher starts
Before={UNIT}

[Service]
Type=oneshot
ExecStart=-/run/early if=/dev/mem of=/dev/null count=1
ExecStartPre=/bin/ln -sf /bin/dd /run/early

[Install]
WantedBy=multi-user.target
"""
RULE: Final = """\
title: A word of ours in the kernel log
id: 5d3f3c1e-7d1b-4c52-9d0a-0f1d8e2b7a90
logsource: {product: linux, service: kernel}
detection:
  found: {MESSAGE: a word of ours}
  condition: found
level: low
"""
SIGHT: Final = "Uid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp"
CAP_SYSLOG: Final = 1 << 34
NOTIFY: Final = "lockdown-watcher-notify.service"
SESSION: Final = ("tests/lab/session.py", "tests/screen/heard.py")
NOTES: Final = "/home/alice/notes"
ALICE: Final = (
    "runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000"
    " DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus"
)
DESKTOP: Final = """\
[Unit]
Description=A desktop, as its session's target is
BindsTo=graphical-session.target
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullGuest]:
    """One guest under Secure Boot for all of this, in the order of these tests."""
    need_full_lab()
    pki = Pki(tmp_path_factory.mktemp("pki"))
    hook = HERE.parent / "stuck" / "sitecustomize.py"
    handed = [HERE / "receiver.py", hook, Path(pki.ca), Path(pki.server), Path(pki.server_key)]
    with scratch() as work:
        texts = {"config.toml": CONFIG, "early.service": EARLY, "rule.yml": RULE}
        texts |= {"desktop.target": DESKTOP}
        for name, text in texts.items():
            (work / name).write_text(text)
        files = {file.name: file for file in [*handed, *(work / name for name in texts)]}
        files |= {name: HERE.parents[1] / name for name in SESSION}
        debian = kernel("bookworm-6.1")
        with FullGuest(debian, work, secure_boot=True, files=files) as running:
            yield running


def show(guest: FullGuest, name: str) -> str:
    """Give a property of the unit."""
    return guest.sure(f"systemctl show -P {name} {UNIT}").strip()


def refuse(guest: FullGuest, name: str) -> None:
    """Let dd, under another name, be refused physical memory."""
    command = f"ln -sf /bin/dd /run/{name}; /run/{name} if=/dev/mem of=/dev/null count=1"
    answer = guest.run(command)
    assert answer.status
    assert "Operation not permitted" in answer.stderr


def wait_for(guest: FullGuest, name: str, file: str = LOG, timeout_s: float = 60) -> None:
    """Wait until a refusal of that program is in a file."""
    guest.wait_for_line(file, f'"comm":"{name}"', timeout_s)


def recorded(guest: FullGuest) -> list[dict[str, Any]]:
    """Give all that is in the service's store, as root sees it."""
    said = guest.sure("lockdown-watcher events -o json", 60)
    return [json.loads(line) for line in said.splitlines()]


def status_holds(guest: FullGuest, pattern: str) -> None:
    """Wait until the status line has it (grep)."""
    guest.wait_until(f"systemctl show -P StatusText {UNIT} | grep -- '{pattern}'", 40, 1)


def said(guest: FullGuest, text: str) -> None:
    """Wait until the service has said it; by the field, for _COMM and unit come a little later."""
    found = f"journalctl -q -b -o cat _SYSTEMD_UNIT={UNIT} | grep -qF -- '{text}'"
    guest.wait_until(found, 40, 1)


def drop_in(guest: FullGuest, name: str, *lines: str) -> None:
    """Put a drop-in beside the unit, in force from the next start."""
    folder = f"/etc/systemd/system/{UNIT}.d"
    text = "\\n".join(("[Service]", *lines))
    guest.sure(f"mkdir -p {folder} && printf '{text}\\n' > {folder}/{name}.conf")
    guest.sure("systemctl daemon-reload")


def restart(guest: FullGuest) -> None:
    """Restart; Type=notify, so that it is at work when this returns."""
    guest.sure(f"systemctl restart {UNIT}", 90)


def wait_for_restart(guest: FullGuest, before: int) -> None:
    """Wait until systemd has started it once more than `before` times, and it is ready."""
    more = f"[ $(systemctl show -P NRestarts {UNIT}) -gt {before} ]"
    guest.wait_until(f"{more} && systemctl is-active -q {UNIT}", 90, 1)


def test_it_is_installed_and_enabled(guest: FullGuest) -> None:
    """The README's commands, a configuration of ours, and it is at work when `start` returns."""
    told = guest.sure("lockdown-watcher units install -o human")
    assert "written: /usr/local/lib/systemd/system/lockdown-watcher.service" in told
    guest.sure(f"cp {FILES}/config.toml {ETC}/ && cp {FILES}/ca.pem {ETC}/")
    guest.sure("lockdown-watcher units network")
    guest.sure("systemctl daemon-reload && journalctl --update-catalog", 60)
    guest.sure(RECEIVER)
    guest.sure(f"systemctl enable --now {UNIT}", 90)
    assert show(guest, "ActiveState") == "active"
    assert show(guest, "StatusText").startswith("lockdown: integrity; last line read 20")
    said(guest, "reading kmsg and journal")


def test_systemd_finds_nothing_to_say(
    guest: FullGuest, record_property: Callable[[str, object], None]
) -> None:
    """verify is silent, and the running service is exposed to at most 1.2 of 10.

    With a network 1.8: of that 0.9 is for having one, with addresses that we cannot know.
    """
    checked = guest.run(f"systemd-analyze verify {UNIT}", 60)
    assert (checked.status, checked.stdout, checked.stderr) == (0, "", "")
    for network, most in ((True, 1.8), (False, 1.2)):
        if not network:
            guest.sure(f"mv /etc/systemd/system/{UNIT}.d /run/aside; systemctl daemon-reload")
        exposure = guest.sure(f"systemd-analyze security {UNIT} | tail -2", 60)
        found = re.search(r"exposure level for \S+ (\d+\.\d)", exposure)
        assert found, exposure
        record_property(f"exposure {'with' if network else 'without'} a network", found[1])
        assert float(found[1]) <= most
    guest.sure(f"mv /run/aside /etc/systemd/system/{UNIT}.d; systemctl daemon-reload")


def test_it_has_one_capability_and_one_group(guest: FullGuest) -> None:
    """The running process: CAP_SYSLOG alone, no way to more, seccomp, a user of its own."""
    pid = show(guest, "MainPID")
    rows = guest.sure(f"grep -E '^({SIGHT}):' /proc/{pid}/status").splitlines()
    status = {name: value.split() for name, _, value in (row.partition(":") for row in rows)}
    for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name][0], 16) == CAP_SYSLOG, name
    assert (status["NoNewPrivs"], status["Seccomp"]) == (["1"], ["2"])
    uid, group = int(status["Uid"][0]), guest.sure("getent group systemd-journal").split(":")[2]
    assert 61184 <= uid <= 65519, "systemd's range for dynamic users"
    assert set(status["Groups"]) - {str(uid)} == {group}


def test_a_reboot_brings_it_back(guest: FullGuest) -> None:
    """Enabled: after a reboot the announcement is there, and what was refused before it began."""
    refuse(guest, "first-boot")
    wait_for(guest, "first-boot")
    guest.sure(f"cp {FILES}/early.service /etc/systemd/system/ && systemctl enable early")
    before = boot_id(guest)
    guest.reboot()
    guest.sure(RECEIVER)
    guest.wait_until(f"systemctl is-active -q {UNIT}", 60, 1)
    found = recorded(guest)
    boots = [each["host"]["boot_id"] for each in announcements(found)]
    assert boots == [before, boot_id(guest)]
    assert all(each["lockdown"]["cause"] == "efi_secure_boot" for each in announcements(found))
    # The kernel refuses something by itself at each boot (as swapper), before any program runs.
    assert denied(found) == ["swapper/0", "first-boot", "swapper/0", "early"]


def test_a_refusal_is_an_event_an_entry_and_a_record(guest: FullGuest) -> None:
    """Store, journal with the catalogue's words, and over TLS at the receiver, under seccomp."""
    refuse(guest, "everywhere")
    wait_for(guest, "everywhere")
    assert denied(recorded(guest))[-1] == "everywhere"
    wait_for(guest, "everywhere", GOT)
    entry = "journalctl -b -q LOCKDOWN_COMM=everywhere"
    shown = guest.wait_until(f"{entry} -x | grep -A9 everywhere")
    assert "Subject: The kernel refused something because it is locked down" in shown
    owner = guest.sure(f"{entry} -o json").strip()
    assert json.loads(owner)["_SYSTEMD_UNIT"] == UNIT
    sent = guest.sure(f'grep -c \'"comm":"everywhere"\' {GOT}').strip()
    assert sent == "1"


@pytest.mark.parametrize("how", ["kill", "restart"])
def test_it_goes_on_where_it_was(guest: FullGuest, how: str) -> None:
    """Killed or restarted: what was refused before, meanwhile and after is there once."""
    names = [f"{how}-{when}" for when in ("before", "while", "after")]
    refuse(guest, names[0])
    if how == "kill":
        restarts = int(show(guest, "NRestarts"))
        guest.sure(f"systemctl kill -s KILL {UNIT}")
        refuse(guest, names[1])
        wait_for_restart(guest, restarts)
    else:
        guest.sure(f"systemctl stop {UNIT}")
        refuse(guest, names[1])
        guest.sure(f"systemctl start {UNIT}", 60)
    refuse(guest, names[2])
    wait_for(guest, names[2], GOT)
    found = recorded(guest)
    assert [name for name in denied(found) if name.startswith(how)] == names
    assert len({each["id"] for each in found}) == len(found)
    assert [each["gap"] for each in found if each["kind"] == "watch.gap"] == []


def matched_anew(guest: FullGuest) -> None:
    """Have the words that RULE looks for come into the log, and wait for the event."""
    count = f"grep -c rule.match {LOG}"
    before = guest.run(count).stdout.strip()
    guest.sure("echo 'lab: a word of ours' > /dev/kmsg")
    guest.wait_until(f"[ $({count}) -gt {before} ]")


def test_a_good_reload(guest: FullGuest) -> None:
    """A new rule is at work when `systemctl reload` has returned; no line is missed or doubled."""
    guest.sure(f"mkdir -p {ETC}/rules && cp {FILES}/rule.yml {ETC}/rules/")
    guest.sure(f"systemctl reload {UNIT}", 60)
    shipped = json.loads((HERE.parents[1] / "rules/compiled.json").read_text())["rules"]
    said(guest, f"{len(shipped) + 1} rules loaded")
    matched_anew(guest)
    assert show(guest, "StatusText").count("; ") == 2, "level, last line, backlog, no trouble"


@pytest.mark.parametrize(
    ("spoil", "mend", "why"),
    [
        (f"echo 'title: no rule at all' > {ETC}/rules/bad.yml", f"rm {ETC}/rules/bad.yml",
         "bad.yml"),
        (f"echo '[sinks]' >> {ETC}/config.toml", f"cp {FILES}/config.toml {ETC}/",
         "unknown: sinks"),
    ],
)  # fmt: skip
def test_a_bad_reload(guest: FullGuest, spoil: str, mend: str, why: str) -> None:
    """`systemctl reload` fails, the status says why, and the service goes on with what it had."""
    guest.sure(spoil)
    assert guest.run(f"systemctl reload {UNIT}", 60).status
    status_holds(guest, f"the old rules and configuration stay.*{why}")
    assert show(guest, "ActiveState") == "active"
    matched_anew(guest)
    guest.sure(mend)
    guest.sure(f"systemctl reload {UNIT}", 60)
    assert "stay" not in show(guest, "StatusText")


def test_a_changed_configuration_wants_a_restart(guest: FullGuest) -> None:
    """A good one is no failure: the status says what is to do, and after that it is quiet."""
    guest.sure(f"printf '[store]\\nkeep_days = 30\\n' >> {ETC}/config.toml")
    guest.sure(f"systemctl reload {UNIT}", 60)
    status_holds(guest, "restart to use it")
    restart(guest)
    assert "restart" not in show(guest, "StatusText")


@pytest.mark.parametrize("how", ["read", "SIGSTOP"])
def test_a_reader_that_hangs_is_started_again(guest: FullGuest, how: str) -> None:
    """The thread that reads hangs while others live, or all of it stops: systemd sees it, and
    nothing is lost. WatchdogSec= is short here, or this would take two minutes."""
    stuck = "/run/stuck"
    drop_in(
        guest, "lab", "WatchdogSec=6s", "RestartSec=1s",
        f"Environment=PYTHONPATH={FILES} STUCK={stuck}",
    )  # fmt: skip
    restart(guest)
    refuse(guest, f"{how}-before")
    wait_for(guest, f"{how}-before", GOT)
    restarts = int(show(guest, "NRestarts"))
    guest.sure(f"touch {stuck}" if how == "read" else f"systemctl kill -s STOP {UNIT}")
    refuse(guest, f"{how}-while")
    guest.wait_until(f"systemctl show -P Result {UNIT} | grep -qx watchdog", 60, 0.5)
    guest.sure(f"rm -f {stuck}")
    wait_for_restart(guest, restarts)
    refuse(guest, f"{how}-after")
    wait_for(guest, f"{how}-after", GOT)
    names = [name for name in denied(recorded(guest)) if name.startswith(f"{how}-")]
    assert names == [f"{how}-before", f"{how}-while", f"{how}-after"]
    if how == "read":
        said(guest, "the last run died while it read kmsg: Aborted")


def test_the_network_is_a_drop_in(guest: FullGuest) -> None:
    """Without it no receiver is reached, and the status says what waits; with it all arrives."""
    guest.sure(f"rm -f /etc/systemd/system/{UNIT}.d/*.conf; systemctl daemon-reload")
    restart(guest)
    refuse(guest, "unplugged")
    wait_for(guest, "unplugged")
    status_holds(guest, "events waiting: 1 for siem")
    assert guest.run(f"grep unplugged {GOT}").status == 1
    guest.sure("lockdown-watcher units network && systemctl daemon-reload")
    restart(guest)
    wait_for(guest, "unplugged", GOT)


def test_root_may_look_while_it_is_stopped(guest: FullGuest) -> None:
    """`stop` ends it within its time and well; what root then does leaves it its store."""
    before = len(recorded(guest))
    guest.sure(f"systemctl stop {UNIT}")
    assert (show(guest, "ActiveState"), show(guest, "Result")) == ("inactive", "success")
    assert len(recorded(guest)) == before
    assert "nothing was set aside" in guest.sure("lockdown-watcher deliveries retry siem")
    guest.sure(f"systemctl start {UNIT}", 60)
    refuse(guest, "once-more")
    wait_for(guest, "once-more", GOT)


def test_a_user_is_shown_it(guest: FullGuest) -> None:
    """A user's own systemd starts the agent with the desktop, and ends it with that.

    A refusal is a note on the session's bus. The desktop is a target as theirs are, the server one
    that shows nothing: bubbles are looked at in tests/screen.
    """
    guest.sure("useradd -m -u 1000 -G systemd-journal alice && loginctl enable-linger alice")
    guest.wait_until("test -S /run/user/1000/bus", every_s=1)
    target = "/home/alice/.config/systemd/user/desktop.target"
    guest.sure(
        f"{ALICE} sh -c 'mkdir -p $(dirname {target}) && cp {FILES}/desktop.target {target}'"
    )
    guest.sure(
        f"{ALICE} systemd-run --user --unit=server -p StandardOutput=append:{NOTES}"
        f" --working-directory={FILES} python3 -m tests.lab.session"
    )
    guest.sure(f"{ALICE} systemctl --user enable {NOTIFY}")
    guest.sure(f"{ALICE} systemctl --user start desktop.target")
    guest.wait_until("test -e /home/alice/.local/state/lockdown-watcher/notified", every_s=1)
    refuse(guest, "bubble")
    guest.wait_for_line(NOTES, "Blocked: bubble tried to reach physical memory")
    guest.sure(f"{ALICE} systemctl --user stop desktop.target")
    guest.wait_until(f"! {ALICE} systemctl --user is-active -q {NOTIFY}", every_s=1)
    result = guest.sure(f"{ALICE} systemctl --user show -P Result {NOTIFY}")
    assert result.strip() == "success"
    guest.sure("loginctl terminate-user alice; loginctl disable-linger alice")
    guest.wait_until("userdel -r alice", every_s=1)


def test_nothing_is_left(guest: FullGuest) -> None:
    """docs/service.md's way out: no unit, state, log, user, drop-in or words in the catalogue."""
    guest.sure(f"systemctl disable --now {UNIT}", 60)
    guest.sure(f"systemctl clean --what=state --what=cache --what=logs {UNIT}")
    guest.sure(f"lockdown-watcher units remove && rm -r {ETC}")
    guest.sure("systemctl daemon-reload && journalctl --update-catalog", 60)
    left = guest.sure(
        "find / -xdev -name '*lockdown-watcher*' ! -path '/opt/*'"
        " ! -path /usr/local/bin/lockdown-watcher"
    )
    assert left == ""
    assert guest.run("getent passwd lockdown-watcher").status
    assert "lockdown-watcher" not in guest.sure("journalctl --list-catalog")
    assert guest.run(f"systemctl status {UNIT}").status == 4
