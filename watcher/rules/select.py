"""Which of many rules a record may match, at a cost that does not grow with their number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from watcher.rules.evaluate import Fields
from watcher.rules.many import finder
from watcher.rules.needs import Needs
from watcher.rules.values import canonical, fold


class Selection:
    """Finds candidates by what each rule needs: a text in MESSAGE, or a field's value."""

    def __init__(self, rules: Sequence[Needs]) -> None:
        self._any: list[int] = []
        by_text: defaultdict[str, list[int]] = defaultdict(list)
        self._by_value: defaultdict[str, defaultdict[str, list[int]]]
        self._by_value = defaultdict(lambda: defaultdict(list))
        for number, (literals, equal) in enumerate(rules):
            if literals is not None:
                for text in literals:
                    by_text[text].append(number)
            elif equal is not None:
                for field, value in equal:
                    self._by_value[field][fold(value)].append(number)
            else:
                self._any.append(number)
        self._texts = list(by_text)
        self._of_text = list(by_text.values())
        self._find = finder(self._texts)

    def of(self, fields: Fields) -> list[int]:
        """Give the numbers of the rules that may match, in order."""
        found = set(self._any)
        message = fields.low["MESSAGE"] if self._texts else None
        if message is not None:
            for number in self._find(message):
                found.update(self._of_text[number])
        for field, values in self._by_value.items():
            found.update(_with_value(fields.low[field], values))
        return sorted(found)


def _with_value(text: str | None, values: Mapping[str, list[int]]) -> Iterable[int]:
    if text is None:
        return ()
    # A number is compared by value, and found by its plainest spelling.
    return (*values.get(text, ()), *values.get(canonical(text), ()))
