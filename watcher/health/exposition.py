"""Metrics as Prometheus reads them, by its own library: text, escaped as it must be."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from watcher.errors import UsageError
from watcher.health.figures import Family

PREFIX: Final = "lockdown_watcher_"
MISSING: Final = "metrics need prometheus-client: pip install 'lockdown-watcher[metrics]'"


class _Collector:
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        """Give what the library writes."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for each in self._families:
            kind = CounterMetricFamily if each.name.endswith("_total") else GaugeMetricFamily
            family = kind(PREFIX + each.name, each.told, labels=each.labels)
            for labels, value in each.samples:
                family.add_metric([_harmless(label) for label in labels], value)
            yield family


def _harmless(label: str) -> str:
    """Give what UTF-8 can write: a file's name in a sink's may hold half a character."""
    return label.encode(errors="backslashreplace").decode()


def render(families: Iterable[Family], *more: Any) -> bytes:
    """Give the text. `more` are collectors of the library's. Raises UsageError without it."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError:
        raise UsageError(MISSING) from None
    registry = CollectorRegistry(auto_describe=False)
    for each in (_Collector(families), *more):
        registry.register(each)
    return generate_latest(registry)


def write(text: bytes, file: Path) -> None:
    """Put the text in the place of `file`, at once: node_exporter may read at any moment.

    The folder may be another user's: no link that lies in it is followed. Raises UsageError.
    """
    if not file.name:
        raise UsageError(f"{file}: cannot be written: Is a directory")
    beside = file.with_name(f".{file.name}.{os.getpid()}")  # it reads names in .prom only
    try:
        try:
            beside.unlink(missing_ok=True)
            with beside.open("xb") as fresh:
                fresh.write(text)
                os.fchmod(fresh.fileno(), 0o644)
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from error
