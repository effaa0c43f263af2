"""The commands that monitoring calls: `metrics`, and whether all is well."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from watcher.cli.terminal import Output, kept_folder, output_option, wants_json

_config = click.option("--config", "chosen", metavar="FILE", help="This configuration alone.")


@click.command()
@click.option(
    "--write",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write there, at once and whole: for node_exporter's textfile collector.",
)
@_config
def metrics(file: Path | None, chosen: str | None) -> None:
    """Tell level, events, gaps, lag and sinks as Prometheus text.

    \b
    Example: lockdown-watcher metrics --write /var/lib/node_exporter/lockdown_watcher.prom
    """
    from watcher.health import exposition, figures

    found = figures.gather(kept_folder(chosen))
    text = exposition.render(figures.families(found))
    if file:
        exposition.write(text, file)
    else:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()


@click.command()
@_config
@output_option
def health(chosen: str | None, output: Output | None) -> int:
    """Tell whether the kernel log is really seen: 0 if so; 1 if not, with what is missing.

    \b
    Example: lockdown-watcher health || logger -p daemon.crit "lockdown-watcher is blind"
    """
    from watcher.health import report

    found, within_s = report.look(kept_folder(chosen))
    lines = report.as_json if wants_json(output) else report.for_people
    click.echo(lines(found, within_s))
    return 0 if report.is_healthy(found) else 1


COMMANDS: Final = (metrics, health)
