"""What systemd is given: systemd's own judges on the shipped files, and who puts them in place."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.parts import missing
from watcher import units
from watcher.config import Config, SourceOptions, StoreOptions
from watcher.daemon import service
from watcher.delivery.store import FILE
from watcher.errors import UsageError
from watcher.kinds import KINDS
from watcher.sinks.journal import message_id
from watcher.sources.journal_entry import CANARY_ID

ROOT: Final = Path(__file__).parent.parent
SERVICE: Final = "lockdown-watcher.service"
AGENT: Final = "lockdown-watcher-notify.service"
PROGRAM: Final = "/opt/lockdown-watcher/bin/lockdown-watcher"
MOST_EXPOSED: Final = 1.2


def ask(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program of systemd's to its end."""
    if not shutil.which(argv[0]):
        missing(argv[0])
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root directory with the units in /usr, the program, and the targets units speak of."""
    monkeypatch.setattr(units, "_program", lambda: PROGRAM)
    units.install(tmp_path / "usr", dry_run=False)
    for program in (PROGRAM, "/bin/sh"):
        file = tmp_path / program[1:]
        file.parent.mkdir(parents=True)
        file.touch(0o755)
    folder = tmp_path / "usr/lib/systemd/system"
    for name in ("sysinit", "basic", "shutdown", "multi-user", "network-online"):
        (folder / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    return tmp_path


def test_systemd_finds_nothing_to_say(system: Path) -> None:
    """`systemd-analyze verify` of the service, alone and with the network: silent."""
    for _ in range(2):
        done = ask("systemd-analyze", "verify", f"--root={system}", SERVICE)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        units.network(system / "usr", dry_run=False)


@pytest.mark.parametrize(
    ("right", "wrong"), [("DynamicUser=", "DynamicUsers="), (PROGRAM, "/nowhere")]
)
def test_a_slip_would_be_found(system: Path, right: str, wrong: str) -> None:
    """The judge does judge: a key that it does not know, a program that is not there."""
    file = system / "usr/lib/systemd/system" / SERVICE
    file.write_text(file.read_text().replace(right, wrong))
    assert wrong.strip("=") in ask("systemd-analyze", "verify", f"--root={system}", SERVICE).stderr


def test_it_is_exposed_to_little(system: Path) -> None:
    """`systemd-analyze security`: at most 1.2 of 10."""
    done = ask("systemd-analyze", "security", "--offline=true", f"--root={system}", SERVICE)
    found = re.search(r"exposure level for \S+ (\d+\.\d)", done.stdout)
    assert found, done
    assert float(found[1]) <= MOST_EXPOSED


def test_the_agent_is_a_unit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd finds nothing to say about the user's unit; of this machine's units it needs some."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    text = (units.shipped() / AGENT).read_text()
    file = tmp_path / AGENT
    for restart, said in (("Restart=", ""), ("Restarts=", "Unknown key 'Restarts'")):
        there = text.replace(units._PROGRAM, "/bin/sh").replace("Restart=", restart)
        file.write_text(there)
        assert said in (heard := ask("systemd-analyze", "--user", "verify", str(file)).stderr)
        assert bool(said) == bool(heard)


# --- the catalogue


def test_each_kind_is_explained_in_the_journal(system: Path) -> None:
    """journalctl takes the catalogue, and has a subject and a text for every MESSAGE_ID of ours."""
    (system / "var/lib/systemd/catalog").mkdir(parents=True)
    done = ask("journalctl", f"--root={system}", "--update-catalog")
    assert (done.returncode, done.stderr) == (0, "")
    ids = {kind: message_id(kind) for kind in KINDS} | {"canary": CANARY_ID}
    for kind, wanted in ids.items():
        text = ask("journalctl", f"--root={system}", "--dump-catalog", wanted).stdout
        subject, _, body = text.partition("Defined-By: lockdown-watcher\n\n")
        assert "\nSubject: " in subject, kind
        assert len(body) > 100, kind
        assert "@" not in text, "a field would be printed as it is, and anybody can write one"
    listed = ask("journalctl", f"--root={system}", "--list-catalog").stdout.splitlines()
    assert len(listed) == len(ids)


# --- putting them in place


def test_nothing_is_left_after_removal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was installed is removed, with the folders that were ours, and nothing else."""
    monkeypatch.setattr(units, "_program", lambda: PROGRAM)
    prefix = tmp_path / "usr/local"
    placed = units.install(prefix, dry_run=False) + units.network(prefix, dry_run=False)
    files = {file for file in tmp_path.rglob("*") if file.is_file()}
    assert {each.file for each in placed} == files
    assert tmp_path / "etc/lockdown-watcher/config.toml" in files
    assert all(file.stat().st_mode & 0o777 == 0o644 for file in files)
    service = prefix / "lib/systemd/system" / SERVICE
    assert f"\nExecStart={PROGRAM} daemon\n" in service.read_text()
    assert units._PROGRAM not in service.read_text()
    assert {each.file for each in units.remove(prefix, dry_run=False)} == files
    left = [path for path in tmp_path.rglob("*") if "lockdown-watcher" in path.name]
    assert left == []
    assert units.remove(prefix, dry_run=False) == []


def test_what_somebody_changed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration is never overwritten, and removed only as it was shipped."""
    monkeypatch.setattr(units, "_program", lambda: PROGRAM)
    config = tmp_path / "etc/lockdown-watcher/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("# mine\n")
    assert units.Placed(config, "kept") in units.install(tmp_path, dry_run=False)
    assert units.Placed(config, "kept") in units.remove(tmp_path, dry_run=False)
    assert config.read_text() == "# mine\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [config]


def test_removal_takes_what_people_make_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration in another encoding, and a folder that is a link, which is left."""
    monkeypatch.setattr(units, "_program", lambda: PROGRAM)
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "etc/lockdown-watcher"
    elsewhere.mkdir()
    link.parent.mkdir()
    link.symlink_to(elsewhere)
    units.install(tmp_path, dry_run=False)
    config = elsewhere / "config.toml"
    shipped = config.read_bytes()
    config.write_bytes(shipped + b"# Z\xfcrich\n")
    assert units.Placed(link / "config.toml", "kept") in units.remove(tmp_path, dry_run=False)
    config.write_bytes(shipped)
    assert units.Placed(link / "config.toml", "removed") in units.remove(tmp_path, dry_run=False)
    assert list(elsewhere.iterdir()) == []
    assert link.is_symlink()


def test_it_writes_through_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write to a folder below the prefix may not aim root's pen."""
    monkeypatch.setattr(units, "_program", lambda: PROGRAM)
    victim = tmp_path / "victim"
    victim.write_text("dear")
    folder = tmp_path / "lib/systemd/system"
    folder.mkdir(parents=True)
    (folder / f".{SERVICE}.part").symlink_to(victim)
    units.install(tmp_path, dry_run=False)
    assert victim.read_text() == "dear"
    assert not (folder / SERVICE).is_symlink()


@pytest.mark.parametrize("command", ["install", "network", "remove"])
def test_a_dry_run_does_nothing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the same files and touches none."""
    monkeypatch.setattr(units, "_program", lambda: PROGRAM)
    if command == "remove":
        units.install(tmp_path, dry_run=False)
    before = sorted(tmp_path.rglob("*"))
    told = getattr(units, command)(tmp_path, dry_run=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert told == getattr(units, command)(tmp_path, dry_run=False)


@pytest.mark.parametrize(
    ("prefix", "etc"),
    [
        ("/usr", "/etc"),
        ("/usr/local", "/etc"),
        ("/stage/usr", "/stage/etc"),
        ("/stage/usr/local", "/stage/etc"),
        ("/opt/local", "/opt/local/etc"),
        ("/", "/etc"),
    ],
)
def test_where_etc_is(prefix: str, etc: str) -> None:
    """The program reads /etc, so that of /usr and /usr/local is /etc, also in a staged root."""
    assert units._etc(Path(prefix)) == Path(etc)


def test_a_program_the_service_could_not_see_is_refused(tmp_path: Path) -> None:
    """/tmp and /home are hidden from it, closed folders too, and some paths cannot be written."""
    shut, open_to_all = tmp_path / "x" / "shut", Path("/usr/bin/env")
    shut.parent.mkdir(mode=0o700)
    shut.touch(0o644)
    assert units._unseen(open_to_all) is None
    assert units._unseen(Path("/root/venv/bin/python")) == "/root is hidden from it"
    assert units._unseen(tmp_path) == "/tmp is hidden from it"
    assert units._unseen(Path("/opt/a b")) == "a blank or a special character is in its path"
    assert not units._open_to_all(shut.parent)
    assert units._open_to_all(shut)


def test_it_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do instead."""
    (tmp_path / "lockdown-watcher").touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    with pytest.raises(UsageError, match=r"could not start .*/opt/lockdown-watcher$"):
        units.install(tmp_path / "usr", dry_run=False)
    assert not (tmp_path / "usr").exists()


def run(*args: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run the command; give status, rows and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "watcher", "units", *args],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, [json.loads(row) for row in done.stdout.splitlines()], done.stderr


def test_the_command_tells_what_it_did_and_what_is_next(tmp_path: Path) -> None:
    """JSON Lines in a pipe, the next commands on stderr; one clear line where it cannot write."""
    status, rows, said = run("network", "--prefix", str(tmp_path))
    drop_in = tmp_path / "etc/systemd/system/lockdown-watcher.service.d/network.conf"
    assert (status, rows) == (0, [{"file": str(drop_in), "done": "written", "dry_run": False}])
    assert drop_in.read_text() == (units.shipped() / "network.conf").read_text()
    assert "systemctl daemon-reload" in said
    assert run("network", "--prefix", "/proc/nowhere")[0] == 1
    status, rows, _ = run("remove", "--prefix", str(tmp_path))
    assert (status, [row["done"] for row in rows]) == (0, ["removed"])


def test_a_prefix_that_is_a_link_keeps_its_etc(tmp_path: Path) -> None:
    """/usr/local is a link where /usr is read-only; systemd and the program read /etc."""
    (tmp_path / "usr").mkdir()
    (tmp_path / "var/usrlocal").mkdir(parents=True)
    (tmp_path / "usr/local").symlink_to("../var/usrlocal")
    _, rows, _ = run("network", "--prefix", f"{tmp_path}/x/../usr/local/")
    drop_in = tmp_path / "etc/systemd/system/lockdown-watcher.service.d/network.conf"
    assert [row["file"] for row in rows] == [str(drop_in)]
    assert drop_in.exists()


def test_the_service_s_store_is_the_one_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may read it sees the service's; one's own only where that is hidden or not there."""
    theirs, own = tmp_path / "theirs", tmp_path / "own/lockdown-watcher"
    monkeypatch.setattr(service, "SERVICE", theirs)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(own.parent))
    config = Config(SourceOptions(), StoreOptions(), ())
    assert service.kept_folder(config) == own
    theirs.symlink_to("private/not-for-us")
    assert service.kept_folder(config) == theirs, "who has none is told that it is hidden"
    own.mkdir(parents=True)
    (own / FILE).touch()
    assert service.kept_folder(config) == own
    (tmp_path / "private/not-for-us").mkdir(parents=True)
    (theirs / FILE).touch()
    assert service.kept_folder(config) == theirs
    chosen = Config(SourceOptions(), StoreOptions(dir="/elsewhere"), ())
    assert service.kept_folder(chosen) == Path("/elsewhere")
    monkeypatch.setenv("STATE_DIRECTORY", "/told")
    assert service.kept_folder(config) == Path("/told")


def test_a_wheel_carries_them() -> None:
    """As it carries the rules."""
    text = (ROOT / "pyproject.toml").read_text()
    assert '"units" = "watcher/shipped_units"' in text
