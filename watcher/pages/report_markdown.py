"""A report as Markdown, to be pasted into a bug; the whole of it is folded in as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from watcher.sinks.plain import plain


def render(made: dict[str, Any]) -> str:
    """Give the text, without a newline at its end."""
    return "\n".join(_parts(made))


def _parts(made: dict[str, Any]) -> Iterator[str]:
    status = made["status"]
    yield f"## Kernel lockdown: {_cell(status['level'] or 'cannot be seen')}"
    yield ""
    yield from _table(("", ""), [(name, value) for name, value in facts(made)])
    for each in status["contradictions"]:
        yield f"\n**{_cell(each['id'])}**: {_cell(each['text'])}"
    works = [(i, a["state"], a["text"]) for i, a in status["areas"].items()]
    yield "\n### What works"
    yield ""
    yield from _table(("area", "", ""), works)
    if made["boots"]:
        yield "\n### Boots"
        yield ""
        head = ("booted", "kernel", "level", "by", "Secure Boot", "denials", "changed")
        yield from _table(head, [_boot(each) for each in made["boots"]])
    if made["lines"]:
        yield "\n### Denials of this boot"
        yield ""
        rows = [(each["time"] or "", each["line"]) for each in made["lines"]]
        yield from _table(("time", "line"), rows)
    yield "\n<details><summary>The whole report, for lockdown-watcher compare</summary>\n"
    # A fence cannot be ended from within: JSON has no line that begins with one.
    yield f"```json\n{json.dumps(made)}\n```\n\n</details>"


def facts(made: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give what stands at the head of a report."""
    status, host = made["status"], made["host"] or {}
    cause = status["cause"] or "-"
    unsure = " (inferred)" if status["cause_from"] == "inferred" else ""
    yield "level", f"{status['level'] or 'cannot be seen'}"
    yield "by", f"{cause}{unsure}"
    yield "since", status["since"] or "-"
    yield "kernel", f"{status['kernel'] or 'unknown'} ({status['distribution'] or 'unknown'})"
    no_uefi = status["uefi"] is False
    yield "Secure Boot", "no UEFI here" if no_uefi else _tell(status["secure_boot"])
    yield "shim validates", _tell(status["shim_validation"])
    words = status["command_line"] or {}
    yield "command line", " ".join(f"{k}={v}" if v else k for k, v in words.items()) or "-"
    yield "denials this boot", _counts(status["log"]["denials"]) or "none seen"
    if host.get("name"):
        yield "host", str(host["name"])
    yield "made", f"{made['made']} by lockdown-watcher {made['program']}"
    for each in status["unseen"]:
        yield "unseen", ": ".join(filter(None, (each["what"], each["where"], each["why"])))
    if made["boots_unseen"]:
        yield "unseen", f"boots: {made['boots_unseen']}"


def _tell(value: bool | None) -> str:  # noqa: FBT001 - a value to be shown
    return {True: "on", False: "off", None: "not seen"}[value]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}x" for reason, count in counts.items())


def _boot(each: dict[str, Any]) -> tuple[str, ...]:
    return (
        (each["first"] or "?")[:16].replace("T", " "), each["kernel"] or "?", each["level"] or "?",
        each["cause"] or "", each["secure_boot"] or "", _counts(each["denials"]),
        "; ".join(each["changes"]),
    )  # fmt: skip


def _table(head: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(value: object) -> str:
    """Make text harmless in Markdown: no HTML, no table, no link, no emphasis, no mention."""
    text = plain(str(value)).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*\[\]|~!_#@])", r"\\\1", text)
