"""What the commands that look through the past have in common: which part of it, by which rules."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watcher.cli.terminal import (
    complain,
    complete_files,
    epoch_us,
    journal_dir_option,
    namespace_option,
)
from watcher.errors import UsageError

if TYPE_CHECKING:
    from watcher.rules import Pack


def past_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command FILES and the options that say which part of the past is looked through.

    It is called with the Extent of all of them as `asked`, and with its own options.
    Raises click.UsageError where they exclude each other.
    """

    @functools.wraps(command)
    def asking(  # noqa: PLR0913 - this is the one list of them
        *,
        files: tuple[str, ...],
        journal_dir: str | None,
        namespace: str | None,
        boot: str,
        since: str | None,
        until: str | None,
        **others: Any,
    ) -> int:
        from watcher.scan import Extent

        if journal_dir and namespace:
            raise click.UsageError("--journal-dir and --namespace exclude each other")
        if files and (journal_dir or namespace):
            raise click.UsageError("FILE and --journal-dir or --namespace exclude each other")
        bounds = [None if each is None else epoch_us(each) for each in (since, until)]
        if None not in bounds and bounds[0] > bounds[1]:  # type: ignore[operator]
            raise click.UsageError(f"--since {since} is later than --until {until}")
        asked = Extent(files, journal_dir, namespace, boot, *bounds)
        return command(asked=asked, **others)

    for option in (
        click.option("--until", metavar="TIME", help="Up to here."),
        click.option("--since", metavar="TIME", help="From here on: 2026-11-23, 18:00, -2h, ..."),
        click.option("--boot", default="all", show_default=True, metavar="ID|0|-1|all",
                     help="One boot of the journal: 0 is the last one in it."),
        namespace_option,
        journal_dir_option,
        click.argument("files", nargs=-1, metavar="[FILE... | -]", shell_complete=complete_files),
    ):  # fmt: skip
        asking = option(asking)
    return asking


def chosen(paths: tuple[str, ...]) -> Pack:
    """Load the rules of files and folders, or, where none is named, those that always run.

    What is wrong with single ones is told, and the others run; raises UsageError if none is left.
    """
    from watcher import pack

    if not paths:
        return pack.load_pack()
    found, faults = pack.load_only([Path(path) for path in paths])
    for fault in faults:
        complain(fault)
    if not found.rules:
        raise UsageError(f"no rule to run in {', '.join(paths)}")
    return found
