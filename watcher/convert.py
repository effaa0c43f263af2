"""Rules in the query languages of SIEMs, by pySigma's own backends.

Most of them say in their metadata that they want pySigma 1, and run with the 2 that is used here:
that is tried in `make agreement` for each of TARGETS, and its output kept in docs/converted. As no
resolver would install both, they are no extra of this project but are installed without their
dependencies, of which none has another.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from watcher.errors import UsageError


class Target(NamedTuple):
    """A query language: the backend's module and class, and the package that was tried."""

    module: str
    backend: str
    package: str
    version: str

    @property
    def install(self) -> str:
        """Give what pip is to be told."""
        return f"--no-deps {self.package}=={self.version}"


_ELASTIC: Final = ("pysigma-backend-elasticsearch", "2.1.1")
_OPENSEARCH: Final = ("pysigma-backend-opensearch", "2.0.3")
TARGETS: Final[Mapping[str, Target]] = {
    "crowdstrike": Target("crowdstrike", "LogScaleBackend", "pysigma-backend-crowdstrike", "3.0.0"),
    "eql": Target("elasticsearch", "EqlBackend", *_ELASTIC),
    "esql": Target("elasticsearch", "ESQLBackend", *_ELASTIC),
    "kusto": Target("kusto", "KustoBackend", "pysigma-backend-kusto", "1.0.1"),
    "loki": Target("loki", "LogQLBackend", "pysigma-backend-loki", "0.15.1"),
    "lucene": Target("elasticsearch", "LuceneBackend", *_ELASTIC),
    "opensearch": Target("opensearch", "OpensearchLuceneBackend", *_OPENSEARCH),
    "ppl": Target("opensearch", "OpenSearchPPLBackend", *_OPENSEARCH),
    "secops": Target("secops", "SecOpsBackend", "pysigma-backend-secops", "1.0.0"),
    "splunk": Target("splunk", "SplunkBackend", "pysigma-backend-splunk", "2.1.0"),
    "sqlite": Target("sqlite", "sqliteBackend", "pysigma-backend-sqlite", "2.1.1"),
    "victorialogs": Target(
        "victorialogs", "VictoriaLogsBackend", "pysigma-backend-victorialogs", "0.2.0"
    ),
}
PACKAGES: Final = tuple(sorted({f"{each.package}=={each.version}" for each in TARGETS.values()}))


class Converted(NamedTuple):
    """One rule's query, or why there is none."""

    id: str
    title: str
    query: str | None
    fault: str | None = None


def backend(name: str) -> Any:
    """Open the backend of a target. Raises UsageError with what to install."""
    target = TARGETS[name]
    try:
        module = importlib.import_module(f"sigma.backends.{target.module}")
    except ImportError as error:
        raise UsageError(f"no converter to {name} here: pip install {target.install}") from error
    return getattr(module, target.backend)()


def convert(texts: Iterable[str], wanted: frozenset[str], to: Any) -> Iterator[Converted]:
    """Convert the rules of `wanted` (ids) that stand in `texts`, by the backend `to`.

    Texts are of files that loaded without a fault, later ones replacing earlier ones. Filters
    among them apply, and a correlation is made of its rules, wanted or not. Fields stay as they
    are written: they are what the journal calls them, or what the rule's own log does.
    """
    from sigma.collection import SigmaCollection
    from sigma.correlations import SigmaCorrelationRule

    read = [
        SigmaCollection.from_yaml(text, collect_filters=True, resolve_references=False)
        for text in texts
    ]
    rules = {str(rule.id): rule for each in read for rule in each.rules}
    for rule in rules.values():
        if isinstance(rule, SigmaCorrelationRule):
            rule.generate = True  # what it counts is converted too, if it is wanted
    filters = [each for collection in read for each in collection.filters]
    for rule in SigmaCollection([*rules.values(), *filters]).rules:
        made = _converted(rule, to)
        if made.id in wanted:
            yield made


_WHILE: Final = re.compile(r"\.? \(while converting rule .*\)$")
"""What pySigma adds, though it knows of no file here: the title is told anyway."""
_NEW: Final = "watcher.new_after asks what was there before, which no query can"


def _converted(rule: Any, to: Any) -> Converted:
    from sigma.correlations import SigmaCorrelationRule

    of_correlation = isinstance(rule, SigmaCorrelationRule)
    if "new_after" in rule.custom_attributes.get("watcher", {}):
        return Converted(str(rule.id), rule.title, None, _NEW)
    try:
        make = to.convert_correlation_rule if of_correlation else to.convert_rule
        # Several conditions give several queries, any of which will do (chapter "Condition").
        query = "\n".join(map(str, make(rule)))
    except Exception as error:  # noqa: BLE001 - backends of others raise what they like
        fault = _WHILE.sub("", " ".join(str(error).split())) or type(error).__name__
        return Converted(str(rule.id), rule.title, None, fault)
    return Converted(str(rule.id), rule.title, query)
