"""Points in time as people write them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watcher.errors import UsageError
from watcher.moment import epoch_us

pytestmark = pytest.mark.usefixtures("utc")

NOW = datetime(2026, 11, 23, 18, 30, 15, tzinfo=UTC)


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """UTC as local time."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "2026-11-23T18:30:15+00:00"),
        ("today", "2026-11-23T00:00:00+00:00"),
        ("yesterday", "2026-11-22T00:00:00+00:00"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02 03:04+02:00", "2026-01-02T01:04:00+00:00"),
        ("@1700000000", "2023-11-14T22:13:20+00:00"),
        ("-2h", "2026-11-23T16:30:15+00:00"),
        ("30min", "2026-11-23T18:00:15+00:00"),
        ("1 hour ago", "2026-11-23T17:30:15+00:00"),
        ("3 days ago", "2026-11-20T18:30:15+00:00"),
        ("18:05", "2026-11-23T18:05:00+00:00"),
        ("9:05", "2026-11-23T09:05:00+00:00"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    """What journalctl's users write is understood."""
    expected = datetime.fromisoformat(moment)
    assert epoch_us(text, NOW) == int(expected.timestamp()) * 1_000_000


@given(st.text(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nonsense_is_a_usage_error(text: str) -> None:
    """Anything else is refused, never with another exception."""
    with contextlib.suppress(UsageError):
        epoch_us(text, NOW)


@pytest.mark.parametrize("text", ["2 months", "1mo", "5 ms", "3 weekdays"])
def test_a_unit_it_does_not_know_is_refused(text: str) -> None:
    """Two months are not two minutes."""
    with pytest.raises(UsageError):
        epoch_us(text, NOW)


def test_the_refusal_shows_how_to_write_a_time() -> None:
    """Whoever wrote it wrong is told how to write it right."""
    with pytest.raises(UsageError, match="'soonish' is no time: write 2026-11-23"):
        epoch_us("soonish", NOW)
