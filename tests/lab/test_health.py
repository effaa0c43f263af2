"""`health` in a whole guest, of the service as it is shipped: journald and kmsg are taken away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.lab.cache import scratch
from tests.lab.full_guest import FILES, FullGuest
from tests.lab.full_parts import need_full_lab
from tests.lab.kernels import kernel

pytestmark = pytest.mark.timeout(600)

UNIT: Final = "lockdown-watcher.service"
JOURNALD: Final = "systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service"
EVERY_S: Final = 5
WITHIN_S: Final = EVERY_S + 15
"""What `health` promises."""
SLOW_S: Final = 20
"""An emulated guest takes some seconds to ask."""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullGuest]:
    """One guest with the service at work."""
    need_full_lab()
    config = tmp_path_factory.mktemp("health") / "config.toml"
    config.write_text(f"[health]\ncanary_s = {EVERY_S}\n")
    with (
        scratch() as work,
        FullGuest(kernel("bookworm-6.1"), work, files={config.name: config}) as running,
    ):
        running.sure("lockdown-watcher units install")
        running.sure(f"cp {FILES}/config.toml /etc/lockdown-watcher/ && systemctl daemon-reload")
        running.sure(f"systemctl start {UNIT}", 90)
        yield running


def wrong(guest: FullGuest) -> dict[str, str]:
    """What is missing, by check."""
    told: dict[str, Any] = json.loads(guest.run("lockdown-watcher health -o json", 60).stdout)
    return {each["id"]: each["text"] for each in told["checks"] if not each["ok"]}


def healthy(guest: FullGuest) -> str:
    """Wait until it is; give what it says then."""
    return guest.wait_until("lockdown-watcher health -o human", WITHIN_S + SLOW_S)


def unhealthy(guest: FullGuest) -> dict[str, str]:
    """Wait until it is not, within the promised time; give what is missing."""
    guest.wait_until("! lockdown-watcher health -o human", WITHIN_S + SLOW_S)
    return wrong(guest)


def without(guest: FullGuest, *lines: str) -> None:
    """Restart the service with a drop-in of these lines alone."""
    folder = f"/run/systemd/system/{UNIT}.d"
    text = "\\n".join(("[Service]", *lines))
    guest.sure(f"mkdir -p {folder} && printf '{text}\\n' > {folder}/lab.conf")
    guest.sure("systemctl daemon-reload")
    guest.run(f"systemctl restart {UNIT}", 90)


def test_it_sees(guest: FullGuest) -> None:
    """In its own sandbox, as a user of its own: a canary goes into the journal and comes back."""
    said = healthy(guest)
    assert f"healthy; it would be told within {WITHIN_S} s" in said
    assert "the daemon sees kernel lines in /dev/kmsg" in said
    assert "the last canary came back" in said
    assert "canary" not in guest.sure("lockdown-watcher events -o json")


def test_a_journald_that_is_stopped(guest: FullGuest) -> None:
    """Told in time; and the daemon lives on to see it come back."""
    guest.sure(f"systemctl stop {JOURNALD}")
    assert unhealthy(guest).keys() == {"canary"}
    guest.sure(f"systemctl start {JOURNALD}")
    healthy(guest)
    assert guest.sure(f"systemctl show -P NRestarts {UNIT}").strip() == "0"


def test_one_log_of_two_is_enough(guest: FullGuest) -> None:
    """Without /dev/kmsg the journal shows the kernel's lines, without the journal kmsg does."""
    without(guest, "InaccessiblePaths=/dev/kmsg")
    assert "the daemon sees kernel lines in the journal" in healthy(guest)
    without(guest, "SupplementaryGroups=")
    assert "no canary: that the daemon is alive rests on systemd" in healthy(guest)


def test_neither_is_blind(guest: FullGuest) -> None:
    """The service does not start, and says why; `health` says that nothing runs."""
    without(guest, "InaccessiblePaths=/dev/kmsg", "SupplementaryGroups=")
    assert unhealthy(guest).keys() == {"daemon"}
    said = guest.sure(f"journalctl -q -b -o cat _SYSTEMD_UNIT={UNIT} | tail -5")
    assert "no kernel log can be read here" in said
    without(guest)
    healthy(guest)
