"""What a note on the desktop is about, as one self-contained page for a browser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from watcher.explain import explain
from watcher.pages.report_html import text

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #57606a;
  --line: #d0d7de; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --faint: #9198a1;
  --line: #3d444d; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 44rem; }
h1 { font-size: 1.35rem; line-height: 1.3; }
section + section { border-top: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0;
  overflow-wrap: anywhere; }
th { font-weight: 600; color: var(--faint); width: 9rem; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
footer { color: var(--faint); font-size: .85rem; margin-top: 2rem; }
"""


def render(events: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Give the page about events (schema 1, as data), each with its title."""
    head = events[0][0] if len(events) == 1 else f"Kernel lockdown: {len(events)} things"
    sections = "\n".join(_section(*each) for each in events)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{text(head)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{sections}\n"
        "<footer>How this machine stands: <code>lockdown-watcher status</code>. Why something is"
        " refused: <code>lockdown-watcher why -- COMMAND</code>. What was muted:"
        " <code>lockdown-watcher notify --mutes</code>.</footer>\n</body>\n</html>\n"
    )


def _section(title: str, event: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><th>{text(n)}</th><td>{text(v)}</td></tr>\n" for n, v in _facts(event))
    return (
        f"<section><h1>{text(title)}</h1>\n<p>{text(event['advice'])}</p>\n"
        f"<p><code>{text(event['message'][:2000])}</code></p>\n<table>\n{rows}</table></section>"
    )


def _facts(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in (
        ("when", _local(event["time"])),
        ("program", event["process"]["comm"]),
        ("severity", event["severity"]),
        ("kind", event["kind"]),
    ):
        if value is not None:
            yield name, value
    reason = event["lockdown"]["reason"]
    if reason and (known := explain(reason)):
        yield from known.facts
    yield from (("rule", rule["title"]) for rule in event["rules"])
    yield from (("note", warning) for warning in event["warnings"])
    yield "event", event["id"]


def _local(time: str | None) -> str | None:
    """Give a time of the event in this user's time zone."""
    return time and f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M:%S}"
