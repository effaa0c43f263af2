"""How this kernel stands, from files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from watcher.posture import SECURITYFS, inspect


def tree(root: Path, text: str) -> str:
    """A root with that text as its lockdown file."""
    file = root / SECURITYFS
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return str(root)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("[none] integrity confidentiality\n", "none"),
        ("none [integrity] confidentiality\n", "integrity"),
        ("none integrity [confidentiality]\n", "confidentiality"),
        ("none [integrity]\n", "integrity"),
        ("none [integrity] [confidentiality]\n", "confidentiality"),
    ],
)
def test_levels(tmp_path: Path, text: str, level: str) -> None:
    """The word in brackets counts, the highest of several; RHEL 8 has but two words."""
    assert inspect(tree(tmp_path, text)).level == level


@pytest.mark.parametrize("text", ["", "none integrity\n", "[x]\n", "\xff"])
def test_what_is_not_known_is_said(tmp_path: Path, text: str) -> None:
    """No level is made up, and the reason is told."""
    seen = inspect(tree(tmp_path, text))
    assert seen.level is None
    assert "cannot be seen" in str(seen)


def test_no_securityfs(tmp_path: Path) -> None:
    """A root without the file says so."""
    assert "no /sys/kernel/security/lockdown" in str(inspect(str(tmp_path)))
