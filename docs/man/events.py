"""lockdown-watcher-events(7): what every kind of event and every reason means, and why."""

from __future__ import annotations

from functools import cache

from docs.man.roff import filled, item, paragraph, section, subsection
from watcher import pack
from watcher.explain import explain
from watcher.gaps import ADVICE, told
from watcher.kinds import KINDS, MEANINGS, Kind
from watcher.lockdown import CAUSES, LINES, REASONS
from watcher.lockdown.causes import CAUSE_NAMES
from watcher.rule_check import check
from watcher.rules.rule import RuleData


def body() -> list[str]:
    """Give the page below its first line."""
    return [
        *section("NAME"),
        r"lockdown\-watcher\-events \- what each event of lockdown\-watcher means",
        *section("DESCRIPTION"),
        *filled(
            "An event is one explained line of the kernel log, one stretch in which lines were"
            " lost, or one change of how the machine stands. lockdown-watcher schema describes its"
            " JSON; lockdown-watcher explain tells what follows here for a single line, reason or"
            " error text. Whether a line becomes an event, and how grave it is, is decided by"
            " Sigma rules; what it says, by the catalogue that this page is made of."
        ),
        *section("EVENTS"),
        *(line for kind in KINDS for line in _kind(kind)),
        *section("REASONS"),
        *filled(
            "What the kernel refuses to a program, with event kind lockdown.denied, by the id in"
            " the event's field lockdown.reason."
        ),
        *(line for reason in REASONS for line in _reason(reason)),
        *section("SEE ALSO"),
        r"\fBlockdown\-watcher\fP(1), \fBlockdown\-watcher.toml\fP(5), \fBkernel_lockdown\fP(7)",
    ]


@cache
def _shipped() -> list[RuleData]:
    """Give the shipped rules alone, whatever this machine's own are."""
    return check(pack.read_texts([pack.shipped()])[0])[0]


def _kind(kind: Kind) -> list[str]:
    lines = subsection(kind, MEANINGS[kind])
    for rule in _shipped():
        if rule["kind"] == kind:
            lines += item(f"{rule['title']} ({rule['level']})", rule["description"])
    for row in LINES:
        if row.kind == kind:
            title = row.title.format(count="Some", module="NAME")
            lines += item(title, row.meaning, row.instead)
    return lines + _more(kind)


def _more(kind: Kind) -> list[str]:
    if kind == "lockdown.enabled":
        rows = [(f"from {each.text}", _sentence(CAUSE_NAMES[each.id])) for each in CAUSES.values()]
    elif kind == "watch.gap":
        rows = [(cause, ". ".join(told(cause, None))) for cause in ADVICE]
        rows.append(("any other cause", told("", None)[1]))
    else:
        return []
    return [line for row in rows for line in item(*row)]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _reason(reason: str) -> list[str]:
    found = explain(reason)
    if found is None:
        raise LookupError(f"the catalogue does not explain its own reason {reason}")
    lines = subsection(reason, f"{found.title}.")
    for text in found.paragraphs:
        lines += paragraph(text)
    for name, value in found.facts:
        if name != "reason":
            lines += item(name, value)
    return lines
