"""The event as pydantic's model: what comes from outside is held against it, the schema is its own.

The model is dataclasses made of the very parts that `event.py` has: nothing of them is said twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, get_type_hints

from pydantic import ConfigDict, TypeAdapter

from watcher.event import ORDER, PARTS, Event, on_the_wire

_CONFIG: Final = ConfigDict(extra="forbid", alias_generator=on_the_wire)


@cache
def model() -> TypeAdapter[Any]:
    """Give pydantic's model of the event, made when first asked for."""
    made: dict[str, type] = {}
    for part in PARTS:
        # A part within a part is found among those made before, under the same name.
        hints = get_type_hints(part, localns=made, include_extras=True)
        names = ORDER if part is Event else part._fields
        made[part.__name__] = dataclasses.make_dataclass(
            part.__name__,
            [(name, hints[name], _default(part, name, made)) for name in names],
            namespace={"__doc__": part.__doc__, "__pydantic_config__": _CONFIG},
            frozen=True,
            kw_only=True,
        )
    return TypeAdapter(made[Event.__name__])


def _default(part: Any, name: str, made: Mapping[str, type]) -> Any:
    value = part._field_defaults.get(name, dataclasses.MISSING)
    if isinstance(value, Mapping):
        return dataclasses.field(default_factory=dict)
    own = made.get(type(value).__name__)
    return dataclasses.field(default=own() if own else value)


def event_of(data: Mapping[str, Any]) -> Event:
    """Make an event of the object of its JSON line. Raises ValueError if that is none."""
    event: Event = _part(model().validate_python(data))
    return event


_PARTS: Final = {part.__name__: part for part in PARTS}


def _part(value: Any) -> Any:
    """Give the part that an object of the model stands for; anything else as it is."""
    if isinstance(value, tuple):
        return tuple(map(_part, value))
    if not dataclasses.is_dataclass(value):
        return value
    names = _PARTS[type(value).__name__]._fields
    return _PARTS[type(value).__name__](**{name: _part(getattr(value, name)) for name in names})


def json_schema() -> dict[str, object]:
    """Give the JSON Schema of the event, as `lockdown-watcher schema` prints it."""
    schema: dict[str, object] = model().json_schema(mode="serialization")
    return schema
