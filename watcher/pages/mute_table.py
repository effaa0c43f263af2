"""What a user has muted, as a numbered list or as JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from watcher.sinks.plain import plain


class Mute(Protocol):
    """What is listed."""

    @property
    def text(self) -> str:
        """How a person knows it."""

    @property
    def until_s(self) -> float | None:
        """Until when it holds (Epoch seconds), or for good."""


def render(mutes: Sequence[Mute], *, as_json: bool) -> str:
    """Give the text to print, without a newline at its end; numbers are for --unmute."""
    if as_json:
        return "\n".join(
            json.dumps({"number": at, "what": each.text, "until": _until(each)})
            for at, each in enumerate(mutes, 1)
        )
    rows = [f"{at:>3}  {plain(each.text)}{_until_said(each)}" for at, each in enumerate(mutes, 1)]
    return "\n".join(rows) or "nothing is muted"


def _until(mute: Mute) -> str | None:
    if mute.until_s is None:
        return None
    return datetime.fromtimestamp(mute.until_s).astimezone().isoformat()


def _until_said(mute: Mute) -> str:
    if mute.until_s is None:
        return ""
    return f", until {datetime.fromtimestamp(mute.until_s).astimezone():%Y-%m-%d %H:%M}"
