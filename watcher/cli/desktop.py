"""The command of the desktop: notes in one user's session."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from watcher.cli.terminal import (
    Output,
    complain,
    journal_dir_option,
    namespace_option,
    output_option,
    wants_json,
)
from watcher.errors import UsageError, WatcherError

if TYPE_CHECKING:
    from watcher.desktop.mutes import Mutes
    from watcher.desktop.words import Event
    from watcher.log import Say


@click.command()
@click.option("--config", "chosen", metavar="FILE", help="This configuration alone.")
@journal_dir_option
@namespace_option
@click.option("--mutes", "listing", is_flag=True, help="List what was muted.")
@click.option("--unmute", metavar="NUMBER|all", help="Undo a mute, by its number in that list.")
@output_option
def notify(  # noqa: PLR0913, PLR0917 - one parameter an option
    chosen: str | None,
    journal_dir: str | None,
    namespace: str | None,
    listing: bool,  # noqa: FBT001 - click gives it by name
    unmute: str | None,
    output: Output | None,
) -> None:
    """Show what the daemon records as notes on this desktop, until the session ends.

    It reads the journal, so the daemon needs a sink of the kind journal, and this user the group
    systemd-journal.

    \b
    Examples: lockdown-watcher notify
              lockdown-watcher notify --mutes
              lockdown-watcher notify --unmute all
    """
    from watcher.desktop.mutes import Mutes

    mutes = Mutes(_state_folder())
    if unmute:
        for each in mutes.undo(unmute, time.time()):
            click.echo(f"no longer muted: {each.text}")
    elif listing:
        _list(mutes, as_json=wants_json(output))
    elif journal_dir and namespace:
        raise click.UsageError("--journal-dir and --namespace exclude each other")
    else:
        _run(chosen, journal_dir, namespace, mutes)


def _list(mutes: Mutes, *, as_json: bool) -> None:
    from watcher.pages import mute_table

    if found := mute_table.render(mutes.mutes(time.time()), as_json=as_json):
        click.echo(found)


def _run(chosen: str | None, journal_dir: str | None, namespace: str | None, mutes: Mutes) -> None:
    from watcher import config, log
    from watcher.desktop.agent import Agent
    from watcher.desktop.bus import Bus
    from watcher.desktop.choice import Choice
    from watcher.desktop.entries import Entries, NotPermittedError
    from watcher.follow import Stop
    from watcher.sources.journal_files import Where

    options = config.desktop(chosen)
    position = _state_folder() / "notified"
    gc.enable()
    with Stop() as stop:
        where = Where(directory=journal_dir, namespace=namespace)
        try:
            entries = Entries(options.unit, where, _read(position))
        except NotPermittedError as error:
            _tell_once(str(error))
            raise
        bus = Bus()
        choice = Choice(options.min_severity, _notify(chosen))
        say = log.logger()
        Agent(entries, bus, choice, mutes, position, _explain(say), say).run(stop)
        bus.close()
        entries.close()


def _tell_once(text: str) -> None:
    """Say on the desktop, once for ever, why no note will come: nobody reads a unit's log."""
    from watcher.desktop.bus import Bus
    from watcher.desktop.mutes import write

    told = _state_folder() / "told-not-permitted"
    if told.exists():
        return
    with contextlib.suppress(WatcherError), contextlib.closing(Bus()) as bus:
        if bus.tell("lockdown-watcher cannot show anything", text, 5.0):
            write(told, "")


def _state_folder() -> Path:
    from watcher.config_files import home

    if folder := home("XDG_STATE_HOME", ".local/state"):
        return folder
    raise UsageError("this user has no home: set XDG_STATE_HOME to a folder to remember things in")


def _read(position: Path) -> str | None:
    try:
        return position.read_text(encoding="utf-8")[:4096] or None
    except (OSError, ValueError):
        return None


def _notify(chosen: str | None) -> dict[str, bool]:
    """Give what each rule says; where the rules are faulty their severity decides."""
    from watcher.pack import load_pack

    try:
        return {rule.id: rule.notify for rule in load_pack(chosen).rules}
    except WatcherError as error:
        complain(f"severity alone decides, for of the rules: {error}")
        return {}


def _explain(say: Say) -> Callable[[list[Event]], None]:
    from watcher.desktop.opener import Opener

    opener = Opener(say)

    def explain(events: list[Event]) -> None:
        from watcher.desktop.words import title
        from watcher.pages import event_html

        try:
            opener.show(event_html.render([(title(each), each) for each in events]))
        except WatcherError as error:
            say(str(error), "error")

    return explain


COMMANDS: Final = (notify,)
