"""Make hostile text harmless: what a terminal would obey is shown instead (promise 7)."""

from __future__ import annotations

from typing import Final

from watcher.hidden import HIDDEN

_CONTROLS: Final = {code: f"\\x{code:02x}" for code in range(0x20)}
_SHOWN: Final = _CONTROLS | {code: f"\\u{code:04x}" for code in HIDDEN}


def plain(text: str) -> str:
    """Give `text` with every control, bidi and invisible character written as an escape."""
    return text.translate(_SHOWN)
