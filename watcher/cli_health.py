"""The commands that monitoring calls: `metrics`, and whether all is well."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

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
    from watcher import config, service
    from watcher.health import exposition, figures

    found = figures.gather(service.kept_folder(config.load(chosen)))
    text = exposition.render(figures.families(found))
    if file:
        exposition.write(text, file)
    else:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()


COMMANDS: Final = (metrics,)
