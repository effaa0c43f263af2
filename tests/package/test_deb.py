"""The Debian package in a Debian of its suite: built, looked at, installed, used, purged."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.cache import scratch
from tests.lab.command import LabError, run
from tests.package.chroot import debian, inside
from tests.package.deb import PYTHON, build, lintian
from tests.package.parts import need
from tests.parts import missing
from watcher import __version__

pytestmark = pytest.mark.timeout(1200)  # a Debian and its wheels are fetched first, if need be

# What the package depends on, and what its users have: nothing is fetched while it is installed.
SYSTEM = (
    "bash,libgcc-s1,libstdc++6,man-db,python3,python3-jeepney,python3-prometheus-client,"
    "python3-systemd,python3-yaml,python3-zstandard,systemd,zstd"
)
DENIAL = "Lockdown: dd: /dev/mem,kmem,port is restricted; see man kernel_lockdown.7"
PRIVATE = "/usr/lib/lockdown-watcher"
DROP_INS = "/etc/systemd/system/lockdown-watcher.service.d"
# dpkg's, apt's and other packages' own, which change whatever package is installed.
NOT_OURS = (
    "/var/lib/dpkg", "/var/log/dpkg.log", "/var/log/apt", "/var/log/alternatives.log",
    "/var/cache/apt", "/var/cache/man", "/var/cache/debconf", "/var/cache/ldconfig",
    "/var/lib/apt", "/var/lib/systemd/catalog/database", "/mnt", "/proc", "/tmp", "/run", "/dev",
    "/etc/ld.so.cache",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """A Debian with the package installed; `here` is its /mnt."""

    suite: str
    root: Path
    here: Path
    before: frozenset[str]

    def run(self, script: str) -> str:
        """Run a script in it; give what it prints."""
        return inside(self.root, self.here, script, DEBIAN_FRONTEND="noninteractive", HOME="/tmp")

    def files(self) -> frozenset[str]:
        """Every file and folder there is, but those that are not the package's doing."""
        found = subprocess.run(
            ["find", ".", "-xdev", "-printf", "/%P\n"], cwd=self.root, check=True,
            capture_output=True, text=True,
        ).stdout  # fmt: skip
        lines = (line for line in found.splitlines() if "__pycache__" not in line)
        return frozenset(line for line in lines if not line.startswith(NOT_OURS))


@pytest.fixture(scope="module", params=PYTHON)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A Debian of each suite with the package, installed as people do."""
    need("mmdebstrap", "unshare")
    if os.geteuid() != 0:
        missing("root, to make a Debian's root directory")
    with scratch() as here:
        shutil.move(build(request.param, here), here / "new.deb")
        root = here / "root"
        run("cp", "-a", "--reflink=auto", debian(request.param, SYSTEM), root)
        bare = Machine(request.param, root, here, frozenset())
        found = Machine(request.param, root, here, bare.files())
        found.run("apt-get -qq -y install /mnt/new.deb")
        yield found


def test_lintian(machine: Machine) -> None:
    """lintian of the suite has nothing to say, neither errors nor warnings."""
    assert lintian(machine.suite, machine.here / "new.deb") == ""


def test_runs(machine: Machine) -> None:
    """It runs, explains, looks through text; neither rules nor configuration have a fault."""
    assert machine.run("lockdown-watcher --version").split()[-1] == __version__
    assert "Hibernation" in machine.run("lockdown-watcher explain hibernation")
    scan = f"printf '%s\\n' '{DENIAL}' | lockdown-watcher scan -"
    assert '"reason":"dev_mem"' in machine.run(scan)
    packed = f"printf '%s\\n' '{DENIAL}' | zstd | lockdown-watcher scan -"
    assert '"reason":"dev_mem"' in machine.run(packed)
    assert machine.run("lockdown-watcher config check").strip() == "0 faults"
    assert machine.run("lockdown-watcher rules check").endswith("rules, 0 faults\n")
    assert machine.run("lockdown-watcher rules list").count("\n") >= 22
    assert '"level"' in machine.run("lockdown-watcher status -o json")


def test_private(machine: Machine) -> None:
    """Another project's package `watcher`, or other libraries, do not get in its way."""
    other = "/usr/lib/python3/dist-packages"
    for name in ("watcher", "pydantic", "click"):
        folder = machine.root / f"{other}/{name}".lstrip("/")
        folder.mkdir()
        (folder / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    assert __version__ in machine.run(f"cd {other}; PYTHONPATH={other} lockdown-watcher --version")
    assert machine.run("lockdown-watcher config check").strip() == "0 faults"
    machine.run(f"rm -r {other}/watcher {other}/pydantic {other}/click")


def test_libraries(machine: Machine) -> None:
    """No library lacks one that it needs, and every module of ours can be imported."""
    script = f"""python3 -I - <<'EOF'
import importlib, pkgutil, sys
sys.path.insert(0, "{PRIVATE}")
import watcher, sigma.rule, sigma.collection, re2, httpcore2, ahocorasick_rs, zstandard
for each in pkgutil.walk_packages(watcher.__path__, "watcher."):
    if each.name != "watcher.__main__":
        importlib.import_module(each.name)
print(zstandard.__file__, sigma.rule.__file__)
EOF"""
    zstandard, sigma = machine.run(script).split()
    assert zstandard.startswith("/usr/lib/python3/dist-packages/")
    assert sigma.startswith(PRIVATE)


def test_service(machine: Machine) -> None:
    """The service is enabled, its unit is where the suite has units, its texts are in journald."""
    wants = machine.root / "etc/systemd/system/multi-user.target.wants/lockdown-watcher.service"
    folder = "/lib" if machine.suite == "bookworm" else "/usr/lib"
    assert str(wants.readlink()) == f"{folder}/systemd/system/lockdown-watcher.service"
    listed = machine.run("journalctl --list-catalog")
    assert "The kernel refused something because it is locked down" in listed
    assert machine.run("systemd-analyze verify lockdown-watcher.service 2>&1 || true") == ""
    machine.run("lockdown-watcher units network")
    drop_in = machine.root / "etc/systemd/system/lockdown-watcher.service.d/network.conf"
    assert "PrivateNetwork=no" in drop_in.read_text()


def test_daemon(machine: Machine) -> None:
    """The daemon records what stands in this machine's real /dev/kmsg, and ends when told."""
    mark = f"package-{machine.suite}-{os.getpid()}"
    script = f"""
[ -e /dev/kmsg ] || mknod /dev/kmsg c 1 11
export STATE_DIRECTORY=/tmp/state; mkdir -p $STATE_DIRECTORY
echo '[source]' > /tmp/own.toml; echo 'kind = "kmsg"' >> /tmp/own.toml
echo '<5>Lockdown: {mark}: hibernation is restricted; see man kernel_lockdown.7' > /dev/kmsg
lockdown-watcher daemon --config /tmp/own.toml 2>/tmp/said & daemon=$!
for i in $(seq 300); do
    lockdown-watcher events --config /tmp/own.toml 2>/dev/null | grep -q {mark} && break; sleep 0.1
done
kill -TERM $daemon; wait $daemon; echo "status $?"
lockdown-watcher events --config /tmp/own.toml | grep {mark}
"""
    status, event = machine.run(script).splitlines()
    assert status == "status 0"
    assert '"kind":"lockdown.forged"' in event


@pytest.mark.parametrize(
    ("page", "word"),
    [
        ("1 lockdown-watcher", "--fail-on"),
        ("5 lockdown-watcher.toml", "keep_days"),
        ("7 lockdown-watcher-events", "module_signature"),
    ],
)
def test_manual(machine: Machine, page: str, word: str) -> None:
    """Man finds the three pages."""
    assert word in machine.run(f"MANWIDTH=100 man --pager=cat {page}")


def test_completion(machine: Machine) -> None:
    """The completions are where bash, zsh and fish look, and bash's completes in this Debian."""
    share = machine.root / "usr/share"
    for file in (
        "bash-completion/completions/lockdown-watcher",
        "zsh/vendor-completions/_lockdown-watcher",
        "fish/vendor_completions.d/lockdown-watcher.fish",
    ):
        assert (share / file).read_text().count("_LOCKDOWN_WATCHER_COMPLETE=") == 1
    script = """bash -c '. /usr/share/bash-completion/completions/lockdown-watcher
COMP_WORDS=(lockdown-watcher explain hib) COMP_CWORD=2
_lockdown_watcher_completion lockdown-watcher; echo "${COMPREPLY[@]}"'"""
    assert machine.run(script) == "hibernation\n"


def test_installed_again(machine: Machine) -> None:
    """An upgrade keeps the configuration as it was changed, and compiles anew."""
    config = machine.root / "etc/lockdown-watcher/config.toml"
    config.write_text(config.read_text() + "\n# mine\n")
    machine.run("apt-get -qq -y --reinstall install /mnt/new.deb")
    assert config.read_text().endswith("# mine\n")
    assert list((machine.root / PRIVATE.lstrip("/") / "watcher/__pycache__").glob("config.*.pyc"))
    assert machine.run("dpkg --verify lockdown-watcher").split()[1:] == [
        "c", "/etc/lockdown-watcher/config.toml"
    ]  # fmt: skip


def test_removed(machine: Machine) -> None:
    """What was removed keeps configuration and records; purged, it leaves what is the admin's."""
    for place in ("lib", "cache", "log"):
        kept = machine.root / "var" / place / "private/lockdown-watcher"
        kept.mkdir(parents=True)
        (kept / "events.sqlite3").touch()
        kept.parent.with_name("lockdown-watcher").symlink_to("private/lockdown-watcher")
    theirs = machine.root / "etc/lockdown-watcher/rules/theirs.yml"
    theirs.parent.mkdir()
    theirs.touch()
    machine.run("lockdown-watcher units network")
    (machine.root / f"{DROP_INS}/override.conf".lstrip("/")).touch()

    machine.run("apt-get -qq -y remove lockdown-watcher")
    left = machine.files() - machine.before
    assert not any(line.startswith(("/usr", "/lib/")) for line in left), left
    assert "/etc/lockdown-watcher/config.toml" in left
    with pytest.raises(LabError):
        machine.run("command -v lockdown-watcher")

    machine.run("apt-get -qq -y purge lockdown-watcher")
    etc = "/etc/lockdown-watcher"
    admins = {f"{etc}/rules/theirs.yml", f"{DROP_INS}/override.conf"}
    assert machine.files() - machine.before == {*admins, etc, f"{etc}/rules", DROP_INS}
    assert "lockdown" not in machine.run("journalctl --list-catalog").lower()


def test_repeats(machine: Machine, tmp_path: Path) -> None:
    """The same commit gives the same package, byte for byte."""
    assert build(machine.suite, tmp_path).read_bytes() == (machine.here / "new.deb").read_bytes()
