"""The RPM: it builds where rpmbuild is, holds what a service needs, and what it holds runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.package.parts import need
from tests.package.rpm import build
from watcher import __version__

RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from watcher.__main__ import main; main()"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built for this machine's own Python."""
    need("rpmbuild", "rpm2cpio", "cpio", "/usr/bin/python3")
    return build(tmp_path_factory.mktemp("rpm"))


def asked(package: Path, *question: str) -> list[str]:
    """What rpm says of the package."""
    query = ["rpm", "-qp", *question, str(package)]
    return subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()


def test_holds(package: Path) -> None:
    """Unit, catalogue, manual and completions are in it; the configuration is the owner's."""
    files = asked(package, "--list")
    for end in ("system/lockdown-watcher.service", "catalog/lockdown-watcher.catalog",
                "man1/lockdown-watcher.1", "completions/lockdown-watcher"):  # fmt: skip
        assert [file for file in files if file.endswith(end)], end
    assert asked(package, "--configfiles") == ["/etc/lockdown-watcher/config.toml"]
    wants = asked(package, "--requires")
    assert {"python3-systemd", "python3-pyyaml", "python3-zstandard"} <= set(wants)


def test_runs(package: Path, tmp_path: Path) -> None:
    """What it installs runs by itself: no library of this checkout's helps it."""
    unpack = f"rpm2cpio {package} | cpio -id --quiet"
    subprocess.run(unpack, shell=True, check=True, cwd=tmp_path)
    for words, said in ((["--version"], __version__), (["rules", "check"], " 0 faults")):
        argv = ["/usr/bin/python3", "-I", "-c", RUN, str(tmp_path / "usr/lib/lockdown-watcher")]
        run = subprocess.run([*argv, *words], check=True, capture_output=True, text=True, cwd="/")
        assert said in run.stdout
