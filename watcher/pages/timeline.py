"""The picture of a report: a column a boot, its level, what was refused, what was lost (SVG)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

Text = Callable[[object], str]

_COLUMN: Final = 34
_LEFT: Final = 150
_ROW: Final = 24
_LEVEL_TOP: Final = 18
_LEVEL_HEIGHT: Final = 26
_MOST_REASONS: Final = 8
_SHORT: Final = {"none": "none", "integrity": "int", "confidentiality": "conf", "locked": "lock"}


def timeline(boots: list[dict[str, Any]], text: Text) -> str:
    """Draw the boots, the oldest left; `text` escapes what is not ours."""
    counts: Counter[str] = Counter()
    for boot in boots:
        counts.update(boot["denials"])
    reasons = [reason for reason, _ in counts.most_common(_MOST_REASONS)]
    height = _LEVEL_TOP + _LEVEL_HEIGHT + _ROW * (len(reasons) + 2) + 70
    width = _LEFT + _COLUMN * len(boots) + 10
    said = f"{len(boots)} boots with their lockdown level and denials by reason"
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    svg = f'<svg role="img" aria-label="{text(said)}" {size} xmlns="http://www.w3.org/2000/svg">'
    parts = [svg, *_names(reasons, text)]
    for index, boot in enumerate(boots):
        parts += _column(boot, _LEFT + index * _COLUMN, reasons, text)
    return "\n".join([*parts, "</svg>"])


def _names(reasons: list[str], text: Text) -> Iterator[str]:
    yield _words(_LEFT - 8, _LEVEL_TOP + 17, "level", "end")
    for index, reason in enumerate(reasons):
        yield _words(_LEFT - 8, _middle(index) + 4, text(reason), "end")
    yield _words(_LEFT - 8, _middle(len(reasons)) + 4, "lines lost, not logged", "end")


def _middle(row: int) -> int:
    return _LEVEL_TOP + _LEVEL_HEIGHT + _ROW * row + 18


def _column(boot: dict[str, Any], left: int, reasons: list[str], text: Text) -> Iterator[str]:
    level = boot["level"] if boot["level"] in _SHORT else None
    when = (boot["first"] or "?")[:10]
    tip = f"{when}: {boot['kernel'] or 'unknown kernel'}, {level or 'level unknown'}"
    yield f"<g><title>{text(tip)}</title>"
    yield (
        f'<rect class="{level or "unknown"}" x="{left + 1}" y="{_LEVEL_TOP}"'
        f' width="{_COLUMN - 2}" height="{_LEVEL_HEIGHT}" rx="3"/>'
    )
    center = left + _COLUMN // 2
    yield _words(center, _LEVEL_TOP + 17, _SHORT.get(level or "", "?"), "middle")
    if boot["changes"]:
        yield f'<path class="warn" d="M{center - 5} 4h10l-5 9z"/>'
    if boot["lifted"]:
        yield _words(center, _LEVEL_TOP + _LEVEL_HEIGHT + 8, "lifted", "middle", "warn")
    for index, reason in enumerate(reasons):
        yield from _denials(center, _middle(index), boot["denials"].get(reason, 0))
    if lost := boot["lost"] + boot["suppressed"] or boot["gaps"]:
        yield _words(center, _middle(len(reasons)) + 4, _number(lost), "middle", "warn")
    bottom = _middle(len(reasons)) + _ROW
    yield _date(center, bottom, text(when[2:]))
    yield "</g>"


def _denials(x: int, y: int, count: int) -> Iterator[str]:
    """Draw a bubble that grows with the number's digits, and the number."""
    if count:
        yield f'<circle class="denial" cx="{x}" cy="{y - 7}" r="{1.5 + min(len(str(count)), 4)}"/>'
        yield _words(x, y + 9, _number(count), "middle")
    else:
        yield f'<line class="grid" x1="{x - 3}" x2="{x + 3}" y1="{y}" y2="{y}"/>'


def _number(count: int) -> str:
    for size, mark in ((1_000_000, "M"), (1000, "k")):
        if count >= size:
            return f"{count / size:.0f}{mark}"
    return str(count)


def _date(x: int, y: int, words: str) -> str:
    return (
        f'<text class="faint" transform="translate({x + 4} {y}) rotate(-60)" text-anchor="end">'
        f"{words}</text>"
    )


def _words(x: int, y: int, words: str, anchor: str, kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f'<text{mark} x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>'
