"""Words that stand for words: what manuals, source code and patterns have in a line's place.

A process may call itself anything, so only the kernel's part of a line is asked about.
"""

from __future__ import annotations

from typing import Final

from watcher.patterns import late

_FORMS: Final = late(
    r"<[^<>]{0,64}>|\[[^\[\]]{0,64}\]|\$?\{[^{}]{0,64}\}|\$\w{1,64}|\$\([^()]{0,64}\)"
    r"|\.{2,}|\u2026|\*{1,3}|_{2,}|-{2,}|\?{1,3}"
    r"|(.)\1{1,15}|\w|(?i:blah(?: blah){0,3})"
)
"""<reason>, [feature], ${what}, {}, $what, ..., *, xxx and Y."""
_CONVERSION: Final = late(r"%[-+ #0]{0,4}(?:\d{1,4}|\*)?(?:\.\d{0,4})?[a-zA-Z]")
_PATTERN: Final = late(r"[.\])][*+]|\\[A-Za-z]|\(\?|\[\^|\{\d{0,4},\d{0,4}\}")
_PLACES: Final = frozenset(
    ("REASON", "FEATURE", "WHAT", "WHERE", "SOMETHING", "ACTION", "OPERATION", "CAUSE")
) | frozenset(("SOURCE", "STRING", "TEXT", "NAME", "THING", "FOO", "BAR", "PLACEHOLDER"))
_CAPITALS: Final = late(r"[A-Z][A-Z_-]*")


def is_template(words: str, name: str | None = None) -> bool:
    """Tell whether `words`, the kernel's own, stand in the place of words.

    `name` is where a process name stands: two words in capitals are a pair of such places.
    """
    words = words.strip()
    if _FORMS.fullmatch(words) or _CONVERSION.search(words) or _PATTERN.search(words):
        return True
    if words in _PLACES:
        return True
    return bool(name and _CAPITALS.fullmatch(words) and _CAPITALS.fullmatch(name))
