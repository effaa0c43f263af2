"""config.toml: every option in one place, every fault told at once, with file and line.

Files (design: Contract): --config or $LOCKDOWN_WATCHER_CONFIG alone; else
/etc/lockdown-watcher/config.toml and then the user's own, whose tables replace those before.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator

from watcher.config_files import Fault, Files, read_files, rules_beside
from watcher.errors import UsageError
from watcher.health.options import HealthOptions, MetricsOptions
from watcher.kinds import Severity
from watcher.sinks.network import NoCredentialsError, shown, unusable
from watcher.sinks.sink import SinkOptions

SINK_KINDS: Final = (
    "console",
    "file",
    "journal",
    "syslog",
    "http",
    "splunk",
    "elastic",
    "otlp",
    "apprise",
)
"""Each is a file in sinks/ of that name, with `Options` and `open_sink`."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SourceOptions(_Table):
    """[source]: which log is read."""

    kind: Literal["auto", "both", "journal", "kmsg"] = Field(
        default="auto", description="auto: journal and /dev/kmsg both, where both can be read"
    )
    namespace: str = Field(default="", description="a journal namespace, or")
    journal_dir: str = Field(
        default="", description="a directory of journal files, many machines' if need be"
    )

    @model_validator(mode="after")
    def _one_journal(self) -> SourceOptions:
        if self.namespace and self.journal_dir:
            raise ValueError("namespace or journal_dir, not both")
        return self


class StoreOptions(_Table):
    """[store]: what is kept, and for how long."""

    dir: str = Field(
        default="", description="where; by default $STATE_DIRECTORY or the user's state directory"
    )
    keep_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        default=90, description="events that every sink has are kept so long"
    )
    max_mb: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=512,
        description="beyond this the oldest events go, even if a sink has not got them: that is"
        " counted and told as a watch.gap",
    )
    flood_per_minute: Annotated[int, Field(ge=0)] = Field(
        default=6000,
        description="more of one kind and reason than this folds into one counted event; 0: never",
    )


_Path = Annotated[str, Field(pattern="^/")]
_T = TypeVar("_T")
_List = Annotated[tuple[_T, ...], Strict(strict=False)]
"""TOML has lists; what is in them is as strict as all else."""


class RulesOptions(_Table):
    """[rules]: which rules run besides the shipped ones, and what they leave open."""

    folders: _List[_Path] = Field(
        default=(), description="rule folders besides rules/ beside each config file"
    )
    expand: dict[str, _List[str]] = Field(
        default={}, description="what %name% stands for where a rule says expand: any of a list"
    )


class DesktopOptions(_Table):
    """[desktop]: what `notify` shows in a user's session."""

    unit: Annotated[str, Field(pattern=r"\.(service|scope)$")] = Field(
        default="lockdown-watcher.service", description="only what this unit logged is believed"
    )
    min_severity: Severity = Field(
        default="low", description="this and graver ones, of what the rules want shown (notify)"
    )


@dataclass(frozen=True)
class Config:
    """What the daemon is told. `files` are those it came from, `chosen` the one asked for."""

    source: SourceOptions
    store: StoreOptions
    sinks: tuple[SinkOptions, ...]
    desktop: DesktopOptions = field(default_factory=DesktopOptions)
    files: tuple[str, ...] = ()
    rules: RulesOptions = RulesOptions()  # noqa: RUF009 - frozen
    metrics: MetricsOptions = MetricsOptions()  # noqa: RUF009 - frozen
    health: HealthOptions = HealthOptions()  # noqa: RUF009 - frozen
    chosen: str | None = None


def load(chosen: str | None = None, *, open_sinks: bool = False) -> Config:
    """Read the configuration. Raises UsageError with each fault on a line of its own."""
    config, faults = check(chosen, open_sinks=open_sinks)
    if faults:
        raise UsageError("\n".join(map(str, faults)))
    return config


def check(chosen: str | None = None, *, open_sinks: bool = False) -> tuple[Config, list[Fault]]:
    """Read the configuration and give every fault; what is faulty has its default.

    `open_sinks` looks besides for what each sink needs here: its library, keys, certificates.
    """
    faults: list[Fault] = []
    read = read_files(chosen, faults)
    faults += [
        read.fault(name, (name,), _unknown(name, _TABLES))
        for name in read.tables
        if name not in _TABLES
    ]
    sinks = dict(_sinks(read, faults))
    config = Config(
        source=_table(SourceOptions, "source", read, faults),
        store=_table(StoreOptions, "store", read, faults),
        metrics=_table(MetricsOptions, "metrics", read, faults),
        health=_table(HealthOptions, "health", read, faults),
        sinks=tuple(sinks.values()),
        desktop=_table(DesktopOptions, "desktop", read, faults),
        files=tuple(read.texts),
        rules=_table(RulesOptions, "rules", read, faults),
        chosen=chosen,
    )
    faults += _twice(sinks, read)
    if open_sinks:
        faults += _not_ready(sinks, read)
        faults += _no_metrics(config.metrics, read)
    return config, faults


def with_store(chosen: str | None = None) -> tuple[Config, list[Fault]]:
    """As `check`, for who needs but the place of the store: other faults are to be told.

    Raises UsageError where a fault hides that place.
    """
    config, faults = check(chosen)
    if hiding := [fault for fault in faults if fault.table in {None, "store"}]:
        raise UsageError("\n".join(map(str, hiding)))
    return config, faults


_TABLES: Final = ("source", "store", "rules", "metrics", "health", "desktop", "sink")


def rules(chosen: str | None = None) -> tuple[RulesOptions, list[Path]]:
    """Read [rules] alone, and give every rule folder of the user's there is, in order.

    Those beside the config files need not exist, those that [rules] names are to be looked for.
    Raises UsageError with each fault on a line of its own.
    """
    faults: list[Fault] = []
    read = read_files(chosen, faults, unreadable_too=True)
    options = _table(RulesOptions, "rules", read, faults)
    if faults:
        raise UsageError("\n".join(map(str, faults)))
    return options, [*rules_beside(chosen), *map(Path, options.folders)]


def desktop(chosen: str | None = None) -> DesktopOptions:
    """Read [desktop] alone, for a user whom no other table concerns. Raises UsageError."""
    faults: list[Fault] = []
    read = read_files(chosen, faults, unreadable_too=True)
    options = _table(DesktopOptions, "desktop", read, faults)
    if faults:
        raise UsageError("\n".join(map(str, faults)))
    return options


def sink_module(kind: str) -> ModuleType:
    """Give the file of a kind of sink."""
    return importlib.import_module(f"watcher.sinks.{kind}")


# --- the tables

_Model = TypeVar("_Model", bound=BaseModel)


def _table(model: type[_Model], name: str, read: Files, faults: list[Fault]) -> _Model:
    given = read.tables.get(name, {})
    try:
        return model.model_validate(given)
    except ValidationError as error:
        faults += [
            read.fault(name, (name, *each["loc"]), _said(each, model, name))
            for each in error.errors(include_url=False, include_input=False)
        ]
        return model()


def _sinks(read: Files, faults: list[Fault]) -> Iterator[tuple[int, SinkOptions]]:
    given = read.tables.get("sink", [])
    if not isinstance(given, list):
        faults.append(read.fault("sink", ("sink",), "write [[sink]], with two brackets"))
        return
    for number, each in enumerate(given):
        yield from _sink(number, each, read, faults)


def _sink(
    number: int, given: Any, read: Files, faults: list[Fault]
) -> Iterator[tuple[int, SinkOptions]]:
    kind = given.get("kind") if isinstance(given, Mapping) else None
    where = ("sink", number)
    if kind not in SINK_KINDS:
        said = _unknown(str(kind), SINK_KINDS) if kind else f"kind is missing: {_any(SINK_KINDS)}"
        faults.append(read.fault("sink", (*where, "kind"), f"sink {number + 1}: {said}"))
        return
    model: type[SinkOptions] = sink_module(kind).Options
    name = f"sink {given.get('name') or kind}"
    try:
        yield number, model.model_validate(given)
    except ValidationError as error:
        faults += [
            read.fault("sink", (*where, *each["loc"]), _said(each, model, name))
            for each in error.errors(include_url=False, include_input=False)
        ]


def _twice(sinks: Mapping[int, SinkOptions], read: Files) -> Iterator[Fault]:
    seen: set[tuple[str, str]] = set()
    for number, sink in sinks.items():
        name, path = name_of(sink), os.path.realpath(getattr(sink, "path", ""))
        if ("name", name) in seen:
            said = f"two sinks are called {name}: give each a name of its own"
            yield read.fault("sink", ("sink", number, "name"), said)
        if sink.kind == "file" and ("path", path) in seen:
            said = f"sink {name}: another sink writes {path}: give each a file of its own"
            yield read.fault("sink", ("sink", number, "path"), said)
        seen |= {("name", name), ("path", path)}


def _not_ready(sinks: Mapping[int, SinkOptions], read: Files) -> Iterator[Fault]:
    """Look at each sink's files, then open it, which sends nothing."""
    for number, sink in sinks.items():
        for option, error in list(unusable(sink)) or _not_opened(sink):
            said = f"sink {name_of(sink)}: {str(error).removeprefix(f'sink {name_of(sink)}: ')}"
            yield read.fault("sink", ("sink", number, option), said)


def _no_metrics(options: MetricsOptions, read: Files) -> Iterator[Fault]:
    if options.listen and not importlib.util.find_spec("prometheus_client"):
        said = "metrics: listen: needs prometheus-client: pip install 'lockdown-watcher[metrics]'"
        yield read.fault("metrics", ("metrics", "listen"), said)


def _not_opened(sink: SinkOptions) -> Iterator[tuple[str, UsageError]]:
    """Give what is wrong here. A credential that only the service has is no fault."""
    try:
        sink_module(sink.kind).open_sink(sink).close()
    except NoCredentialsError:
        return
    except UsageError as error:
        yield "path" if sink.kind == "file" else "kind", error


def name_of(sink: SinkOptions) -> str:
    """Give what a sink is called."""
    return sink.name or sink.kind


def _said(each: Any, model: type[BaseModel], table: str) -> str:
    key = ".".join(str(part) for part in each["loc"])
    if each["type"] == "extra_forbidden":
        return f"{table}: {_unknown(key, list(model.model_fields))}"
    said = str(each["msg"]).removeprefix("Value error, ")
    return f"{table}: {key}: {said}" if key else f"{table}: {said}"


def _unknown(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown: {name}; " + (f"did you mean {near[0]}?" if near else _any(known))


def _any(known: Any) -> str:
    return "one of " + ", ".join(known)


# --- for people and editors


def show(config: Config) -> str:
    """Give the configuration as TOML, every option as it stands."""
    parts = [f"# from {', '.join(config.files) or 'no file: these are the defaults'}"]
    tables = ("source", "store", "rules", "metrics", "health", "desktop")
    parts += [_shown(f"[{name}]", getattr(config, name)) for name in tables]
    parts += [_shown("[[sink]]", sink) for sink in config.sinks]
    return "\n\n".join(parts)


def _shown(head: str, table: BaseModel) -> str:
    values = table.model_dump(exclude_none=True).items()
    return "\n".join([head, *(f"{key} = {_toml(_masked(key, value))}" for key, value in values)])


def _masked(key: str, value: object) -> object:
    """Leave out secrets: some receivers want a token in the address, people paste one anywhere."""
    if isinstance(value, str) and key.endswith("_file"):
        return shown(value)
    if isinstance(value, str):
        return re.sub(r"(?i)^(https?://[^/?#]++)(?!/?$).*", r"\1/***", value)
    return value


def _toml(value: object) -> str:
    # JSON's strings, numbers, booleans and lists are TOML's too.
    if isinstance(value, Mapping):
        pairs = (f"{_toml(key)} = {_toml(each)}" for key, each in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    return json.dumps(value, ensure_ascii=False)


def json_schema() -> dict[str, object]:
    """Give the JSON Schema of config.toml."""
    models = [sink_module(kind).Options for kind in SINK_KINDS]
    sinks = [model.model_json_schema() for model in models]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lockdown-watcher config.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "source": SourceOptions.model_json_schema(),
            "store": StoreOptions.model_json_schema(),
            "rules": RulesOptions.model_json_schema(),
            "metrics": MetricsOptions.model_json_schema(),
            "desktop": DesktopOptions.model_json_schema(),
            "health": HealthOptions.model_json_schema(),
            "sink": {"type": "array", "items": {"oneOf": sinks}},
        },
    }
