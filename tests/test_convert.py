"""`rules convert` where converters are missing; with them: tests/agreement/test_converted.py."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from watcher import convert
from watcher.errors import UsageError

HEAD = "title: t\nid: {}\nstatus: test\nlevel: low\nlogsource: {{product: linux}}\n"
A, B, C = (f"5a1f6b0e-6c55-4d0e-8f6e-2f1f1c3b9a0{n}" for n in range(3))
WITHOUT = """import sys
sys.modules['sigma.backends.' + sys.argv[1]] = None
from watcher.cli import main as cli
cli.main(['rules', 'convert', '--target', *sys.argv[2:]])
"""


@pytest.mark.parametrize("target", convert.TARGETS)
def test_a_missing_converter_is_one_line(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install, with the version that was tried."""
    module = f"sigma.backends.{convert.TARGETS[target].module}"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError) as told:
        convert.backend(target)
    assert str(told.value).startswith(f"no converter to {target} here: pip install --no-deps pysi")


def test_the_command_without_a_converter() -> None:
    """Exit status 2, nothing on stdout."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "splunk", "splunk", "lifted"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


class Echo:
    """A backend that gives a rule's condition, and has no word for the second rule."""

    def convert_rule(self, rule: Any) -> Iterable[str]:
        """Give what pySigma made of it."""
        if str(rule.id) == B:
            raise NotImplementedError("no such thing here")
        return [str(each.condition) for each in rule.detection.parsed_condition]


def rule(identifier: str, condition: str) -> str:
    """A rule's text."""
    return HEAD.format(identifier) + f"detection: {{s: {{X: a}}, condition: {condition}}}\n"


def test_what_is_wanted_is_converted() -> None:
    """Later texts replace earlier ones, and a filter applies, wherever it stands."""
    site = (
        "title: f\nlogsource: {product: linux}\n"
        f"filter:\n  rules: [{A}]\n  ours: {{H: x}}\n  condition: not ours\n"
    )
    texts = [rule(A, "s"), rule(A, "[s, not s]"), rule(B, "s"), rule(C, "s"), site]
    first, second = convert.convert(texts, frozenset({A, B}), Echo())
    assert first.id == A
    assert first.query is not None
    assert [line.split("and")[0].strip(" ()") for line in first.query.splitlines()] == [
        "s",
        "not s",
    ]
    assert (second.query, second.fault) == (None, "no such thing here")
