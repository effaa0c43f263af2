"""What the commands share: the options they have in common, and how they speak."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from watcher.event import Event


def complete_files(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Let the shell complete a file. click.Path would, but it also looks whether one may read."""
    return _left_to_shell("file", incomplete)


def complete_folders(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Let the shell complete a directory."""
    return _left_to_shell("dir", incomplete)


def _left_to_shell(kind: str, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type=kind)]


Output = Literal["human", "json"]
output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(get_args(Output)),
    help="human: for people (the default on a terminal); json: JSON Lines (the default in a pipe).",
)
journal_dir_option = click.option(
    "--journal-dir",
    metavar="DIR",
    help="A directory of journal files.",
    shell_complete=complete_folders,
)
verbose_option = click.option("-v", "--verbose", is_flag=True, help="The whole explanation.")
namespace_option = click.option("--namespace", metavar="NS", help="A journal namespace.")


def wants_json(output: Output | None) -> bool:
    """Tell whether to write JSON: as asked, or where nobody sits at a terminal."""
    return output == "json" if output else not sys.stdout.isatty()


def complain(text: str) -> None:
    """Say on stderr what is wrong, in one harmless line."""
    from watcher.log import mark
    from watcher.sinks.plain import plain

    click.echo(f"{mark('error')}lockdown-watcher: {plain(text)}", err=True)


def hang_up() -> None:
    """Send what is still to be written nowhere, or Python would complain again at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def kept_folder(chosen: str | None) -> Path:
    """Give the store to look into; a fault elsewhere in the configuration is told, no more.

    Raises UsageError where it hides which store that is.
    """
    from watcher import config
    from watcher.daemon import service

    found, faults = config.with_store(chosen)
    for fault in faults:
        complain(str(fault))
    return service.kept_folder(found)


def writer(output: Output | None, *, verbose: bool) -> Callable[[Event], None]:
    """Give what shows an event on stdout."""
    from watcher.sinks.shown import Console, JsonLines

    if wants_json(output):
        return JsonLines(sys.stdout).write
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return Console(sys.stdout, colour=colour, verbose=verbose).write


def epoch_us(text: str) -> int:
    """Read a moment as people write it (Epoch microseconds). Raises UsageError."""
    from watcher import moment

    return moment.epoch_us(text, datetime.now().astimezone())


def counted(number: int, noun: str) -> str:
    """Give a number with its noun: 1 fault, 2 faults."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
