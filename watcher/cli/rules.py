"""The commands about rules: which run, what is wrong with them, what they would have found."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from watcher.cli.past import chosen, past_options
from watcher.cli.terminal import (
    Output,
    complain,
    complete_files,
    counted,
    output_option,
    wants_json,
)
from watcher.convert import TARGETS
from watcher.errors import SourceError, UsageError
from watcher.sinks.plain import plain

if TYPE_CHECKING:
    from watcher.rules import Pack, Rule
    from watcher.scan import Extent


@click.group("rules")
def rules_group() -> None:
    """The rules: which lines become events, and how grave they are."""


@rules_group.command("list")
@click.option("--config", "chosen_config", metavar="FILE", help="This configuration alone.")
@output_option
def rules_list(chosen_config: str | None, output: Output | None) -> None:
    """List the rules that run, with how often each has matched since the daemon records.

    \b
    Example: lockdown-watcher rules list
    """
    from watcher.pack import load_pack
    from watcher.pages import rule_table

    hits = _hits(chosen_config)
    click.echo(rule_table.render(load_pack(chosen_config), hits, as_json=wants_json(output)))


def _hits(chosen_config: str | None) -> dict[str, int] | None:
    """Count the store's events by rule; None where there is no store to read."""
    from watcher import config
    from watcher.daemon import service
    from watcher.delivery.store import Reading
    from watcher.errors import WatcherError

    try:
        with Reading(service.kept_folder(config.load(chosen_config))) as reading:
            return reading.hits()
    except WatcherError:  # nobody ran the daemon here, or it is not this user's to read
        return None


@rules_group.command("check")
@click.argument("paths", nargs=-1, metavar="[FILE|DIR...]", shell_complete=complete_files)
def rules_check(paths: tuple[str, ...]) -> int:
    """Check rule files, or all that would be loaded; every fault is told.

    Rules that no entry of a journal can match are told too: they load, but do nothing.

    \b
    Example: lockdown-watcher rules check /etc/lockdown-watcher/rules
    """
    from watcher import pack

    texts, found, told = pack.check_only([Path(path) for path in paths] or pack.sources()[0])
    rules = [rule for rule in found if rule["file"] in texts]
    for fault in told:
        complain(fault)
    idle = [rule for rule in rules if rule["never"]]
    for rule in idle:
        complain(f"{rule['file']}: can match nothing here: it {rule['never']}")
    silent = f", {len(idle):,} of them can match nothing here" if idle else ""
    click.echo(f"{counted(len(rules), 'rule')}, {counted(len(told), 'fault')}{silent}")
    return 2 if told else 0


@rules_group.command("test")
@click.argument("rule", metavar="RULE", shell_complete=complete_files)
@past_options
@click.option("--samples", default=3, show_default=True, type=click.IntRange(0, 1000),
              help="Entries shown of each rule.")  # fmt: skip
@output_option
def rules_test(
    asked: Extent,
    rule: str,
    samples: int,
    output: Output | None,
) -> int:
    """Tell what RULE would have matched in the past: how often, on which days, with samples.

    RULE is a file or a folder of Sigma rules, or the id or title of one that runs. The past is
    this machine's journal, or what the options name. Nothing is recorded.

    \b
    Example: lockdown-watcher rules test denied.yml --since -30d
             lockdown-watcher rules test /srv/sigma/rules/linux --boot 0
    """
    from watcher import trial
    from watcher.pages import trial_page

    found = trial.run(asked, *_meant(rule), samples)
    gc.freeze()
    for failure in found.failures:
        complain(failure)
    for text in trial_page.render(found, as_json=wants_json(output)):
        click.echo(text)
    sys.stdout.flush()
    return SourceError.exit_status if found.failures else 0


def _meant(name: str) -> tuple[Pack, set[str]]:
    """Find the rules a user means: a path first, for that is what a shell completes.

    Give them with what they count, and their ids.
    """
    from watcher.pack import load_pack

    if Path(name).exists():
        pack = chosen((name,))
        return pack, {r.id for r in pack.rules if Path(r.file).is_relative_to(name)}
    pack = load_pack()
    ids = {rule.id for rule in _named(pack, name)}
    return pack.with_counted(ids), ids


def _named(pack: Pack, name: str) -> tuple[Rule, ...]:
    """Find rules by id, title or file name. Raises UsageError where there is none."""
    found = tuple(rule for rule in pack.rules if _is_called(rule, name))
    if not found:
        raise UsageError(f"no rule {name!r}: it is no file, and no id, title or file name of one"
                         " that runs (rules list shows them)")  # fmt: skip
    return found


def _is_called(rule: Rule, name: str) -> bool:
    file = Path(rule.file)
    return name.casefold() in {rule.id, rule.title.casefold(), file.name, file.stem}


@rules_group.command("convert")
@click.option("--target", required=True, type=click.Choice(list(TARGETS)), help="The language.")
@click.argument("rules", nargs=-1, metavar="[FILE|DIR|NAME...]", shell_complete=complete_files)
@output_option
def rules_convert(target: str, rules: tuple[str, ...], output: Output | None) -> int:
    """Convert rules into a query language of a SIEM; without any, all that run.

    Exit status 1: some have no equal there, each told with the reason; 2: some are faulty.

    \b
    Example: lockdown-watcher rules convert --target splunk denied lifted
    """
    from watcher import convert

    to = convert.backend(target)
    texts, wanted, faults = _to_convert(rules)
    missed = 0
    for each in convert.convert(texts, wanted, to):
        if each.query is None:
            missed += 1
            complain(f"{each.title}: cannot be said in {target}: {each.fault}")
        elif wants_json(output):
            row = {"id": each.id, "title": each.title, "target": target, "query": each.query}
            click.echo(json.dumps(row))
        else:
            shown = "\n".join(map(plain, each.query.split("\n")))
            click.echo(f"# {plain(each.title)}\n{shown}\n")
    return UsageError.exit_status if faults else int(missed > 0)


def _to_convert(names: tuple[str, ...]) -> tuple[list[str], frozenset[str], int]:
    """Give the texts of all files that loaded, the ids of the rules meant, the count of faults."""
    from watcher import pack
    from watcher.rule_check import check

    loaded, expand = pack.sources()
    paths = [Path(name) for name in names if Path(name).exists()]
    texts, unread = pack.read_texts([*loaded, *paths])
    rules, faults = check(texts, expand)
    told = [*unread, *map(str, faults)]
    for fault in told:
        complain(fault)
    asked = pack.read_texts(paths)[0]
    wanted = {rule["id"] for rule in rules if not names or rule["file"] in asked}
    running = pack.load_pack() if len(paths) < len(names) else None
    for name in names:
        if running and not Path(name).exists():
            wanted |= {rule.id for rule in _named(running, name)}
    broken = {fault.file for fault in faults}
    sound = [text for file, text in texts.items() if file not in broken]
    return sound, frozenset(wanted), len(told)


COMMANDS: Final = (rules_group,)
