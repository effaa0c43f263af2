"""Two looks at a machine become events: what changed, and what no longer fits together."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from watcher.posture import Posture, inspect
from watcher.posture_events import posture_events
from watcher.record import Host
from watcher.this_boot import boot_of_tree

HOSTS: Final = Path(__file__).parent / "hosts"
HERE: Final = Host("box", "0" * 32, "1" * 32)


def posture(name: str) -> Posture:
    """The posture of one of the trees."""
    root = str(HOSTS / name / "root")
    return inspect(root).with_log(boot_of_tree(root))


def kinds(before: Posture, after: Posture) -> list[tuple[str, str]]:
    """Kind and severity of every event."""
    return [(each.kind, each.severity) for each in posture_events(before, after, HERE, 1)]


def test_nothing_changed() -> None:
    """No event for the same again."""
    assert kinds(posture("fedora-30"), posture("fedora-30")) == []


def test_a_lift_is_critical_twice() -> None:
    """The level fell, and what was announced no longer holds."""
    assert kinds(posture("fedora-30"), posture("fedora-30-lifted")) == [
        ("posture.changed", "critical"),
        ("posture.contradiction", "critical"),
    ]


def test_a_raise_is_information() -> None:
    """Somebody wrote to securityfs."""
    before = posture("no-efi")
    after = before._replace(securityfs="none integrity [confidentiality]").with_log(before.log)
    assert kinds(before, after) == [("posture.changed", "informational")]
    (event,) = posture_events(before, after, HERE, 1)
    assert event.posture
    assert (event.posture.before, event.posture.after) == (
        "lockdown level: integrity",
        "lockdown level: confidentiality",
    )


def test_shim_told_to_let_go() -> None:
    """mokutil's change shows in the variables and contradicts the firmware."""
    found = kinds(posture("fedora-now"), posture("shim-validation-off"))
    assert ("posture.changed", "high") in found
    assert ("posture.contradiction", "medium") in found


@pytest.mark.parametrize("name", ["empty", "container"])
def test_what_is_unseen_has_not_changed(name: str) -> None:
    """Blindness is no change; it is told elsewhere."""
    assert kinds(posture("ubuntu-24.04"), posture(name)) == []


def test_the_id_is_the_same_after_a_restart_and_another_in_another_boot() -> None:
    """Told once, however often somebody looks."""
    before, after = posture("fedora-30"), posture("fedora-30-lifted")
    first = posture_events(before, after, HERE, 1)
    again = posture_events(before, after, HERE, 2)
    other = posture_events(before, after, HERE._replace(boot_id="2" * 32), 1)
    assert [each.id for each in first] == [each.id for each in again]
    assert not {each.id for each in first} & {each.id for each in other}
