"""What the commands share: the options they have in common, and how they speak."""

from __future__ import annotations

import sys
from typing import Literal, get_args

import click

Output = Literal["human", "json"]
output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(get_args(Output)),
    help="human: for people (the default on a terminal); json: JSON Lines (the default in a pipe).",
)
journal_dir_option = click.option(
    "--journal-dir", metavar="DIR", help="A directory of journal files."
)
namespace_option = click.option("--namespace", metavar="NS", help="A journal namespace.")


def wants_json(output: Output | None) -> bool:
    """Tell whether to write JSON: as asked, or where nobody sits at a terminal."""
    return output == "json" if output else not sys.stdout.isatty()


def complain(text: str) -> None:
    """Say on stderr what is wrong, in one harmless line."""
    from watcher.sinks.plain import plain

    click.echo(f"lockdown-watcher: {plain(text)}", err=True)
