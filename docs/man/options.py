"""lockdown-watcher.toml(5): every option of the configuration, from its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from docs.man.roff import filled, item, literal, paragraph, section, subsection
from watcher import config

_TABLE = (
    "[source]",
    'kind = "auto"',
    "",
    "[[sink]]",
    'kind = "file"',
    'path = "/var/log/lockdown-watcher/events.jsonl"',
)


def body() -> list[str]:
    """Give the page below its first line."""
    return [
        *section("NAME"),
        r"lockdown\-watcher.toml \- configuration of lockdown\-watcher",
        *section("SYNOPSIS"),
        r"\fI/etc/lockdown\-watcher/config.toml\fP",
        ".br",
        r"\fI$XDG_CONFIG_HOME/lockdown\-watcher/config.toml\fP",
        *section("DESCRIPTION"),
        *filled(
            "TOML. The system's file is read first, then that of whoever runs the program; a table"
            " in the second replaces the same table of the first. --config FILE, or"
            " LOCKDOWN_WATCHER_CONFIG, is read instead of both. The shipped file shows every"
            " option with its default."
        ),
        *paragraph(
            "A key that is not known is an error, as is a file that anybody may write. A secret is"
            " never written here: an option whose name ends in _file names a file, or, without a"
            " slash, a systemd credential (LoadCredential=). lockdown-watcher config check tells"
            " every fault at once; the daemon reads the file when it starts."
        ),
        *literal(_TABLE),
        *section("OPTIONS"),
        *(line for title, schema in tables() for line in _table(title, schema)),
        *section("SEE ALSO"),
        r"\fBlockdown\-watcher\fP(1), \fBlockdown\-watcher\-events\fP(7), \fBsystemd.exec\fP(5)",
    ]


def tables() -> list[tuple[str, Mapping[str, Any]]]:
    """Give every table with its title and schema: one for each kind of sink."""
    schema: Any = config.json_schema()
    found: list[tuple[str, Mapping[str, Any]]] = []
    for name, table in schema["properties"].items():
        if table.get("type") == "array":
            kinds = table["items"]["oneOf"]
            found += [(f'[[{name}]] kind = "{_kind(each)}"', each) for each in kinds]
        else:
            found.append((f"[{name}]", table))
    return found


def _kind(schema: Mapping[str, Any]) -> str:
    return str(schema["properties"]["kind"]["const"])


def _table(title: str, schema: Mapping[str, Any]) -> list[str]:
    said = schema.get("description", "").removeprefix(f"{title}: ")
    lines = subsection(title, said[:1].upper() + said[1:])
    for name, option in schema["properties"].items():
        if "const" not in option:
            lines += item(f"{name} = {_values(option)}", _told(option))
    return lines


def _values(option: Mapping[str, Any]) -> str:
    if "enum" in option:
        return " | ".join(json.dumps(value) for value in option["enum"])
    kinds = [each["type"] for each in option.get("anyOf", (option,)) if "type" in each]
    return " | ".join(kind for kind in kinds if kind != "null") or "value"


def _told(option: Mapping[str, Any]) -> str:
    said = option.get("description", "")
    bounds = [
        f"{word} {option[key]}"
        for key, word in (("minimum", "at least"), ("maximum", "at most"))
        if key in option
    ]
    default = option.get("default")
    if default not in (None, ""):
        bounds.append(f"default {json.dumps(default)}")
    facts = f"({'; '.join(bounds)})" if bounds else ""
    return f"{said} {facts}".strip() or "No default."
