"""Which raw lines are worth a look at all: those that hold one of the rules' literal texts.

Few stems, sought by Aho-Corasick (0.25 us for a line of 58 bytes and the shipped pack) or, where
that library is missing, by one alternation entered at each stem's rarest letter (0.45 us); a loop
of `in` takes 1.8 us (CPython 3.11, tests/bench).

Nearly every line of a log is about something else. A rule that needs, say, "Lockdown: " in
MESSAGE cannot match a line without it, so such a line need not be parsed, nor its other fields
read. A pack with a rule that needs no text at all lets every line through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

Literals = frozenset[str]


Search = Callable[[bytes], object]


class Prefilter:
    """Decides by literals alone; `also` are texts, lower case, that the caller wants besides.

    `may` is quick and says no to nearly all; what it lets pass, `wants` decides. `entries` are
    kinds of journal entries (kernel, audit, process) that are asked for beside the kernel's lines.
    """

    def __init__(
        self,
        rules: Iterable[Literals | None],
        *also: bytes,
        entries: frozenset[str] = frozenset(),
    ) -> None:
        sets = list(rules)
        self.entries = entries
        self.may: Search = _always
        self._sure: Search = _always
        self.literals: frozenset[bytes] | None = None
        if None not in sets:
            texts = {*also, *(text.encode() for each in sets for text in each or ())}
            self.literals = frozenset(texts)
            self.may = _finder(stems(texts))
            self._sure = _finder(sorted(texts))

    def wants(self, raw: bytes) -> bool:
        """Tell whether `raw` (UTF-8, any case) may match a rule."""
        low = raw.lower()
        return bool(self.may(low) and self._sure(low))


def _finder(texts: list[bytes]) -> Search:
    try:
        from ahocorasick_rs import BytesAhoCorasick
    except ImportError:  # the extra `fast` is not installed: the same answers, a little later
        return _any_of(map(_entered_at_rarest, texts))
    return BytesAhoCorasick(texts).find_matches_as_indexes if texts else _any_of(())


def _always(_: bytes) -> bool:
    return True


def _any_of(patterns: Iterable[bytes]) -> Search:
    return re.compile(b"|".join(patterns) or _NEVER).search


_NEVER: Final = rb"(?!)"
_BY_FREQUENCY: Final = b" etaoinsrhldcumfpgwybvkxjqz"
"""Letters of English text and log lines, the commonest first."""

_STEM: Final = 8
"""Bytes two literals must share to be found by one stem: enough to be rare in a log."""


def stems(literals: set[bytes]) -> list[bytes]:
    """Give few texts such that every literal holds at least one of them.

    Rules repeat each other: " is restricted" stands in sixty literals of the shipped pack.
    Greedy cover by pieces of _STEM bytes, each then made as long as all it covers allow.
    """
    texts = sorted(literals)
    holders: dict[bytes, int] = {}
    for bit, text in enumerate(texts):
        for piece in _pieces(text):
            holders[piece] = holders.get(piece, 0) | 1 << bit
    left, found = (1 << len(texts)) - 1, []
    while left:
        piece = _best(holders, left)
        covered = [text for bit, text in enumerate(texts) if holders[piece] & left & 1 << bit]
        found.append(_extended(piece, covered))
        left &= ~holders[piece]
    return found


def _pieces(text: bytes) -> set[bytes]:
    return {text[at : at + _STEM] for at in range(max(1, len(text) - _STEM + 1))}


def _best(holders: dict[bytes, int], left: int) -> bytes:
    """Give the piece that most of `left` hold, the rarest of those that tie."""
    counts = {piece: (mask & left).bit_count() for piece, mask in holders.items()}
    most = max(counts.values())
    return max((p for p, n in counts.items() if n == most), key=lambda p: (_rarity(p), p))


def _rarity(piece: bytes) -> int:
    return sum(_rank(letter) for letter in piece)


def _rank(letter: int) -> int:
    found = _BY_FREQUENCY.find(letter)
    return found if found >= 0 else len(_BY_FREQUENCY) // 2


def _extended(piece: bytes, texts: list[bytes]) -> bytes:
    """Lengthen `piece` at both ends while every one of `texts` still holds it."""
    model = texts[0]
    start = model.index(piece)
    stop = start + len(piece)
    while start > 0 and all(model[start - 1 : stop] in text for text in texts):
        start -= 1
    while stop < len(model) and all(model[start : stop + 1] in text for text in texts):
        stop += 1
    return model[start:stop]


def _entered_at_rarest(text: bytes) -> bytes:
    # sre finds the first byte of a branch quickly and then looks back and ahead; a branch that
    # begins with a common letter is entered, in vain, at every third byte.
    at = max(range(len(text)), key=lambda i: (_rank(text[i]), -i))
    before, letter, after = text[:at], text[at : at + 1], text[at + 1 :]
    looked_back = b"(?<=" + re.escape(before + letter) + b")" if before else b""
    return re.escape(letter) + looked_back + re.escape(after)


def required(node: list[Any]) -> Literals | None:
    """Give lower-case texts one of which MESSAGE holds if `node` is true; None: cannot tell."""
    name, *rest = node
    if name == "and":
        known = [each for each in map(required, rest[0]) if each is not None]
        return max(known, key=_worth, default=None)
    if name == "or":
        return _all_of([required(each) for each in rest[0]])
    if name == "string" and rest[0] == "MESSAGE":
        return _of_parts(rest[1])
    return None


def _worth(literals: Literals) -> tuple[bool, int, int]:
    shortest = min((len(text) for text in literals), default=0)
    return shortest >= _STEM, -len(literals), shortest


def _all_of(sets: list[Literals | None]) -> Literals | None:
    if any(each is None for each in sets):
        return None
    return frozenset(text for each in sets for text in each or ())


def _of_parts(parts: list[Any]) -> Literals | None:
    # Bytes are lowered as ASCII, str as Unicode: only ASCII runs are sure to agree.
    runs = [run for part in parts if isinstance(part, str) for run in _ascii_runs(part)]
    longest = max(runs, key=len, default="")
    return frozenset({longest.lower()}) if longest else None


def _ascii_runs(text: str) -> list[str]:
    # What /dev/kmsg and journalctl's formats write escaped (controls, backslash, quotes) ends
    # a run, so that a literal stands in the raw line as it does in the message.
    plain = "".join(c if " " <= c <= "~" and c not in '\\"' else "\n" for c in text)
    return plain.split("\n")
