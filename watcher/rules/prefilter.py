"""Which records are worth a look at all, told from the raw line, or from a field or two.

Nearly every line of a log is about something else. A rule that needs, say, "Lockdown: " in
MESSAGE cannot match a line without it, so such a line need not be parsed, nor its other fields
read. Few stems, sought by Aho-Corasick (0.25 us for a line of 58 bytes and the shipped pack) or,
where that library is missing, by one alternation entered at each stem's rarest letter (0.45 us),
by re2 where they are many; a loop of `in` takes 1.8 us (CPython 3.11, tests/bench).

A rule that needs no text in MESSAGE is `bare`: it is held against the fields, which are read one by
one as it asks for them. Only one that needs no value of an indexed field either has every entry
looked at; of those rules each entry meets the few that are for its kind and whose texts it holds
(select.py).
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from watcher.rules import many
from watcher.rules.evaluate import Fields
from watcher.rules.needs import LONG, Equal, Literals, Needs
from watcher.rules.select import Selection
from watcher.rules.values import FOLD_TO_ASCII

Search = Callable[[bytes], object]


class Bare(NamedTuple):
    """A rule that needs no text in MESSAGE: what else it needs, and whether it matches.

    `entries`: the kinds of journal entries that it may match, of ENTRIES.
    """

    needs: Needs
    matches: Callable[[Fields], bool]
    entries: frozenset[str]


ENTRIES: Final = frozenset({"kernel", "audit", "process"})
"""By _TRANSPORT, which is any other in an entry of a process. Each kind has fields of its own."""


class Prefilter:
    """Decides by literals alone; `also` are texts, lower case, that the caller wants besides.

    `may` is quick and says no to nearly all; what it lets pass, `wants` decides. Where both say no
    and there are `bare` rules, `fits` decides. `equal`: all records that matter have one of these
    values of an indexed field, or are the kernel's own; None: any record may matter.
    """

    def __init__(
        self,
        rules: Iterable[Literals | None],
        *also: bytes,
        bare: Sequence[Bare] = (),
        equal: Equal | None = frozenset(),
    ) -> None:
        sets = list(rules)
        self.equal = equal
        self._bare = {kind: _Bares([b for b in bare if kind in b.entries]) for kind in ENTRIES}
        self.looks_deeper = any(each.rules for each in self._bare.values())
        """Whether there are bare rules: then `fits` must see what `wants` does not want."""
        self.may: Search = _always
        self._sure: Search = _always
        self.literals: frozenset[bytes] | None = None
        if None not in sets:
            texts = {*also, *(text.encode() for each in sets for text in each or ())}
            texts |= _beyond_ascii(texts)
            self.literals = frozenset(texts)
            self.may = _finder(stems(texts))
            self._sure = _finder(sorted(texts), often=False)  # what `may` lets pass

    def wants(self, raw: bytes) -> bool:
        """Tell whether `raw` (UTF-8, any case) may match a rule."""
        low = raw.lower()
        return bool(self.may(low) and self._sure(low))

    def fits(self, fields: Mapping[str, str]) -> bool:
        """Tell whether a bare rule matches a record; asks for no more fields than it must."""
        known = Fields(fields)
        transport = known.low["_TRANSPORT"]
        return self._bare[transport if transport in _TRANSPORTS else "process"].fit(known)

    def of_kernel(self) -> Prefilter:
        """Give one for a log of the kernel's lines alone: some rules cannot match there."""
        found = Prefilter((), bare=self._bare["kernel"].rules, equal=self.equal)
        found.may, found._sure, found.literals = self.may, self._sure, self.literals
        return found

    def wants_line(self, raw: bytes) -> bool:
        """Tell whether a line of text, whose fields are not known yet, may match a rule."""
        return self.looks_deeper or self.wants(raw)


_TRANSPORTS: Final = ENTRIES - {"process"}


class _Bares:
    """Bare rules that may match one kind of entry."""

    def __init__(self, rules: list[Bare]) -> None:
        self.rules = rules
        self._select = Selection([each.needs for each in rules])

    def fit(self, known: Fields) -> bool:
        return any(self.rules[each].matches(known) for each in self._select.of(known))


def _beyond_ascii(texts: set[bytes]) -> set[bytes]:
    """Give the letters beyond ASCII that stand for one of ASCII in `texts`, as logs write them.

    UTF-8, as /dev/kmsg escapes it, and as JSON may.
    """
    letters = (found for ascii_, found in FOLD_TO_ASCII.items() if _holds(texts, ascii_.encode()))
    return {form for letter in letters for form in _forms(letter)}


def _holds(texts: set[bytes], letter: bytes) -> bool:
    return any(letter in text for text in texts)


def _forms(letter: str) -> tuple[bytes, ...]:
    raw = letter.encode()
    escaped = "".join(f"\\x{byte:02x}" for byte in raw)
    return raw, escaped.encode(), f"\\u{ord(letter):04x}".encode()


def _finder(texts: list[bytes], *, often: bool = True) -> Search:
    automaton = many.automaton(texts, often=often)
    found: Search = plain_finder(texts) if automaton is None else automaton.find_matches_as_indexes
    return found


def plain_finder(texts: list[bytes]) -> Search:
    """Give a search for texts without the library that is for it alone."""
    if len(texts) > _BRANCHES:
        found: Search = many.by_re2(texts).Match
        return found
    return _any_of(map(_entered_at_rarest, texts))


_BRANCHES: Final = 32
"""Up to so many branches Python's own pattern is quicker than re2's (0.9 us a line)."""


def _always(_: bytes) -> bool:
    return True


def _any_of(patterns: Iterable[bytes]) -> Search:
    return re.compile(b"|".join(patterns) or _NEVER).search


_NEVER: Final = rb"(?!)"
_BY_FREQUENCY: Final = b" etaoinsrhldcumfpgwybvkxjqz"
"""Letters of English text and log lines, the commonest first."""

_COVERED: Final = 512
"""More literals than this are not covered by stems: that takes longer than it saves."""


def stems(literals: set[bytes]) -> list[bytes]:
    """Give few texts such that every literal holds at least one of them.

    Rules repeat each other: " is restricted" stands in sixty literals of the shipped pack.
    Greedy cover by pieces of LONG bytes, each then made as long as all it covers allow.
    """
    texts = sorted(literals)
    if len(texts) > _COVERED:
        return texts
    holders: dict[bytes, int] = {}
    for bit, text in enumerate(texts):
        for piece in _pieces(text):
            holders[piece] = holders.get(piece, 0) | 1 << bit
    left, found = (1 << len(texts)) - 1, []
    queue = [_urgency(piece, mask) for piece, mask in holders.items()]
    heapq.heapify(queue)
    while left:
        piece = _best(queue, holders, left)
        covered = [text for bit, text in enumerate(texts) if holders[piece] & left & 1 << bit]
        found.append(_extended(piece, covered))
        left &= ~holders[piece]
    return found


def _pieces(text: bytes) -> set[bytes]:
    return {text[at : at + LONG] for at in range(max(1, len(text) - LONG + 1))}


_Urgency = tuple[int, int, bytes]


def _urgency(piece: bytes, mask: int) -> _Urgency:
    return -mask.bit_count(), -_rarity(piece), piece


def _best(queue: list[_Urgency], holders: dict[bytes, int], left: int) -> bytes:
    """Give the piece that most of `left` hold, the rarest of those that tie."""
    while True:
        piece = queue[0][-1]
        # How many it still covers only ever falls, so what is first when counted anew is best.
        now = _urgency(piece, holders[piece] & left)
        if now == queue[0]:
            return piece
        heapq.heapreplace(queue, now)


def _rarity(piece: bytes) -> int:
    return sum(piece.translate(_RANKS))


def _rank(letter: int) -> int:
    found = _BY_FREQUENCY.find(letter)
    return found if found >= 0 else len(_BY_FREQUENCY) // 2


_RANKS: Final = bytes(map(_rank, range(256)))


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
