"""A report as one self-contained page: no script, no request, light, dark and on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final

from watcher.pages.report_markdown import facts
from watcher.pages.timeline import timeline
from watcher.sinks.plain import plain

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a browser may do with this page: show it, and its empty icon (Content Security Policy 3)."""

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #57606a; --line: #d0d7de;
  --none: #fff1c2; --integrity: #b9e6c4; --confidentiality: #a9cdf5; --locked: #b9e6c4;
  --unknown: #eaeef2; --denial: #cf4a22; --warn: #9a3412; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --faint: #9198a1;
  --line: #3d444d; --none: #5c4813; --integrity: #1b5e34; --confidentiality: #1d4a80;
  --locked: #1b5e34; --unknown: #262c36; --denial: #ff8a65; --warn: #ffb38a; } }
@media print { :root { --ink: #000; --paper: #fff; --faint: #333; --line: #999; --none: #fff1c2;
  --integrity: #b9e6c4; --confidentiality: #a9cdf5; --locked: #b9e6c4; --unknown: #eee;
  --denial: #b03a14; --warn: #7a2a0d; } section, tr, figure { break-inside: avoid; }
  * { print-color-adjust: exact; } .scroll { overflow: visible; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 64rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; } .scroll { overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid var(--line); }
.facts td { overflow-wrap: anywhere; }
th { font-weight: 600; color: var(--faint); } .facts th { width: 11rem; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.warn { border-left: 4px solid var(--warn); padding: .3rem .8rem; margin: .8rem 0; }
code { font: .9em ui-monospace, monospace; }
figure { margin: 0; }
svg { display: block; max-width: 100%; height: auto; } svg text { fill: var(--ink);
  font: 11px system-ui, sans-serif; } svg .faint { fill: var(--faint); }
svg .grid { stroke: var(--line); } svg .denial { fill: var(--denial); }
svg .warn { fill: var(--warn); }
svg .none { fill: var(--none); } svg .integrity { fill: var(--integrity); } svg .locked {
  fill: var(--locked); } svg .confidentiality { fill: var(--confidentiality); } svg .unknown {
  fill: var(--unknown); }
@media screen and (max-width: 40rem) { svg { max-width: none; }
  .facts th { width: 7rem; } body { font-size: 14px; } }
"""


_DRAWN: Final = 30
"""Boots in the picture, the latest: more would be too small to read on paper."""


def render(made: dict[str, Any], embedded: str) -> str:
    """Give the page; `embedded` is the report as JSON that cannot end a script element."""
    status = made["status"]
    title = f"Kernel lockdown: {status['level'] or 'cannot be seen'}"
    body = "\n".join(_sections(made))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{text(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{text(title)}</h1>\n{body}\n"
        f'<script type="application/json" id="report">{embedded}</script>\n</body>\n</html>\n'
    )


def text(value: object) -> str:
    """Make anything harmless in a page: no markup, no control, no character that reorders."""
    return escape(plain(str(value)), quote=True)


def _sections(made: dict[str, Any]) -> Iterator[str]:
    status = made["status"]
    for each in status["contradictions"]:
        yield f'<p class="warn">{text(each["text"])}</p>'
    yield _facts(facts(made))
    works = [(name, area["state"], area["text"]) for name, area in status["areas"].items()]
    if made["boots"]:
        picture = timeline(made["boots"][-_DRAWN:], text)
        yield f'<h2>Boots</h2>\n<figure class="scroll">{picture}</figure>'
        yield _table(("booted", "kernel", "Secure Boot", "changed"), _changes(made["boots"]))
    yield f"<h2>What works</h2>\n{_table(('area', '', ''), works)}"
    if rows := _programs(made["boots"]):
        yield f"<h2>Who was refused what</h2>\n{_table(('program', 'reason', 'times'), rows)}"
    if made["lines"]:
        lines = [(each["time"] or "", each["line"]) for each in made["lines"]]
        yield f"<h2>Denials of this boot</h2>\n{_table(('time', 'line'), lines)}"


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>\n" for name, value in rows
    )
    return f'<table class="facts">\n{cells}</table>'


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    top = "".join(f"<th>{text(each)}</th>" for each in head)
    cells = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f'<div class="scroll"><table>\n<tr>{top}</tr>\n{cells}\n</table></div>'


def _cell(value: object) -> str:
    mark = ' class="n"' if isinstance(value, int) else ""
    return f"<td{mark}>{text(value)}</td>"


def _changes(boots: list[dict[str, Any]]) -> Iterator[tuple[object, ...]]:
    for each in boots:
        if each["changes"]:
            when = (each["first"] or "?")[:16].replace("T", " ")
            state = each["secure_boot"] or "not told"
            yield when, each["kernel"] or "?", state, "; ".join(each["changes"])


def _programs(boots: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    counts: Counter[tuple[str, str]] = Counter()
    for boot in boots:
        for each in boot["programs"]:
            counts[each["comm"], each["reason"]] += each["count"]
    return [(comm, reason, count) for (comm, reason), count in counts.most_common(20)]
