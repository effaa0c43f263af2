"""The Debian package in a guest under Secure Boot: apt, a reboot, a refusal, a kill, purge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.lab.cache import scratch
from tests.lab.full_guest import FILES, FullGuest
from tests.lab.full_parts import need_full_lab
from tests.lab.kernels import kernel
from tests.package.deb import build

pytestmark = pytest.mark.timeout(1200)

PROGRAM: Final = "/usr/bin/lockdown-watcher"
"""The package's; the guest has another in /usr/local."""
UNIT: Final = "lockdown-watcher.service"
APT: Final = "DEBIAN_FRONTEND=noninteractive apt-get -q -y"


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullGuest]:
    """One guest for all of this, in the order of these tests."""
    need_full_lab()
    package = build("bookworm", tmp_path_factory.mktemp("deb"))
    with scratch() as work:
        files = {"lockdown-watcher.deb": Path(package)}
        with FullGuest(kernel("bookworm-6.1"), work, secure_boot=True, files=files) as running:
            yield running


def recorded(guest: FullGuest) -> list[dict[str, Any]]:
    """Give all that is in the service's store, as root sees it."""
    said = guest.sure(f"{PROGRAM} events -o json", 60)
    return [json.loads(line) for line in said.splitlines()]


def test_apt_installs_and_starts_it(guest: FullGuest) -> None:
    """One command, and it reads. The guest has no network, hence no recommended packages."""
    install = f"{APT} --no-install-recommends install {FILES}/lockdown-watcher.deb"
    guest.sure(install, 240)
    assert guest.sure(f"systemctl is-enabled {UNIT}").strip() == "enabled"
    guest.wait_until(f"systemctl is-active {UNIT}", 60)
    assert "ExecStart=/usr/bin/lockdown-watcher daemon" in guest.sure(f"systemctl cat {UNIT}")


def test_after_a_reboot_the_boot_is_recorded(guest: FullGuest) -> None:
    """It is up by itself, and has the announcement that came long before it."""
    guest.reboot()
    guest.wait_until(f"systemctl is-active {UNIT}", 60)
    boot = guest.sure("cat /proc/sys/kernel/random/boot_id").strip().replace("-", "")
    kinds = [event["kind"] for event in recorded(guest) if event["host"]["boot_id"] == boot]
    assert kinds.count("lockdown.enabled") == 1


def test_a_refusal_is_an_event_once(guest: FullGuest) -> None:
    """In the store and, explained, in the journal; also after a kill."""
    refuse = "ln -sf /bin/dd /run/packaged; /run/packaged if=/dev/mem of=/dev/null count=1"
    assert guest.run(refuse).status
    guest.wait_until(f'{PROGRAM} events -o json | grep -q \'"comm":"packaged"\'', 60)
    guest.wait_until("journalctl -xt lockdown-watcher | grep -q packaged", 60)
    guest.sure(f"systemctl kill -s KILL {UNIT}")
    guest.wait_until(f"systemctl is-active {UNIT}", 60)
    found = [event for event in recorded(guest) if event["process"]["comm"] == "packaged"]
    assert [event["lockdown"]["reason"] for event in found] == ["dev_mem"]


def test_purged_it_leaves_nothing(guest: FullGuest) -> None:
    """No unit, no user, no file of its name outside apt's and the guest's own."""
    guest.sure(f"{APT} purge lockdown-watcher", 120)
    assert guest.run(f"systemctl cat {UNIT}").status
    own = "-path /opt -o -path /usr/local -o -path /var/lib/dpkg -o -path /var/cache/apt"
    left = guest.sure(f"find / -xdev '(' {own} ')' -prune -o -name '*lockdown-watcher*' -print")
    assert left == ""
    assert "lockdown" not in guest.sure("getent passwd; getent group")
