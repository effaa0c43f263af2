"""The commands that put the service's files in place, where no package does."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from watcher.cli.terminal import Output, complain, output_option, wants_json

if TYPE_CHECKING:
    from watcher.units import Placed

_prefix = click.option(
    "--prefix",
    metavar="DIR",
    default="/usr/local",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    # Not through links: /usr/local is one to /var/usrlocal where /usr is read-only (ostree), and
    # its /etc is /etc all the same.
    callback=lambda _context, _option, given: Path(os.path.abspath(given)),  # noqa: PTH100
    help="Below it; systemd looks in /usr/local and /usr.",
)
_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@click.group("units")
def units_group() -> None:
    """The systemd service, where no package installs it."""


@units_group.command()
@_prefix
@_dry_run
@output_option
def install(prefix: Path, output: Output | None, *, dry_run: bool) -> None:
    """Install the service, the desktop's agent, the journal's catalogue and a configuration.

    The service starts this very program, so that must lie where every user may read it.

    \b
    Example: lockdown-watcher units install
    """
    from watcher import units

    _tell(units.install(prefix, dry_run=dry_run), output, dry_run=dry_run)
    complain(
        "then: systemctl daemon-reload; journalctl --update-catalog;"
        " systemctl enable --now lockdown-watcher"
    )


@units_group.command()
@_prefix
@_dry_run
@output_option
def network(prefix: Path, output: Output | None, *, dry_run: bool) -> None:
    """Give the service the network, which it does without until a sink needs it.

    \b
    Example: lockdown-watcher units network
    """
    from watcher import units

    _tell(units.network(prefix, dry_run=dry_run), output, dry_run=dry_run)
    complain("then: systemctl daemon-reload; systemctl restart lockdown-watcher")


@units_group.command()
@_prefix
@_dry_run
@output_option
def remove(prefix: Path, output: Output | None, *, dry_run: bool) -> None:
    """Remove what `install` and `network` wrote, but what you changed in /etc.

    What was recorded goes by systemctl's own command, before the unit does.

    \b
    Example: systemctl disable --now lockdown-watcher
             systemctl clean --what=state --what=cache --what=logs lockdown-watcher
             lockdown-watcher units remove
    """
    from watcher import units

    _tell(units.remove(prefix, dry_run=dry_run), output, dry_run=dry_run)
    complain("then: systemctl daemon-reload; journalctl --update-catalog")


def _tell(placed: Sequence[Placed], output: Output | None, *, dry_run: bool) -> None:
    for each in placed:
        if wants_json(output):
            row = {"file": str(each.file), "done": each.done, "dry_run": dry_run}
            click.echo(json.dumps(row))
        else:
            would = "would be " if dry_run and each.done != "kept" else ""
            click.echo(f"{would}{each.done}: {each.file}")


COMMANDS: Final = (units_group,)
