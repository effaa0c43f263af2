"""Which of many rules a record may match, at a cost that does not grow with their number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from watcher.rules.evaluate import Fields
from watcher.rules.many import finder
from watcher.rules.needs import Needs
from watcher.rules.values import canonical, fold


class Selection:
    """Finds candidates by what each rule needs: a text in a field, or a field's value."""

    def __init__(self, rules: Sequence[Needs]) -> None:
        self._any: list[int] = []
        by_text: _Numbers = defaultdict(lambda: defaultdict(list))
        self._by_value: _Numbers = defaultdict(lambda: defaultdict(list))
        for number, needs in enumerate(rules):
            if (sought := needs.sought()) is None:
                self._any.append(number)
                continue
            held, equal = sought
            for field, text in held:
                by_text[field][text].append(number)
            for field, value in equal:
                self._by_value[field][fold(value)].append(number)
        self._by_text = [
            (field, finder(list(texts)), list(texts.values())) for field, texts in by_text.items()
        ]

    def of(self, fields: Fields) -> list[int]:
        """Give the numbers of the rules that may match, in order."""
        found = set(self._any)
        for field, find, numbers in self._by_text:
            if text := fields.low[field]:
                for each in find(text):
                    found.update(numbers[each])
        for field, values in self._by_value.items():
            found.update(_with_value(fields.low[field], values))
        return sorted(found)


_Numbers = defaultdict[str, defaultdict[str, list[int]]]
"""Of rules, by a field and what it is to have."""


def _with_value(text: str | None, values: Mapping[str, list[int]]) -> Iterable[int]:
    if text is None:
        return ()
    # A number is compared by value, and found by its plainest spelling.
    return (*values.get(text, ()), *values.get(canonical(text), ()))
