"""The commands about the daemon: running it, its configuration, and what it has recorded."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from typing import Final

import click

from watcher.cli.terminal import (
    Output,
    complain,
    complete_files,
    counted,
    epoch_us,
    kept_folder,
    output_option,
    verbose_option,
    wants_json,
    writer,
)

_config = click.option(
    "--config",
    "chosen",
    metavar="FILE",
    help="This configuration alone.",
    shell_complete=complete_files,
)


@click.command()
@_config
def daemon(chosen: str | None) -> None:
    """Record events and deliver them to the sinks of config.toml: what the service runs.

    \b
    Example: lockdown-watcher daemon --config /etc/lockdown-watcher/config.toml
    """
    from watcher import config, log
    from watcher.daemon.service import serve

    gc.enable()
    serve(lambda: config.load(chosen, open_sinks=True), log.logger())


@click.group("config")
def config_group() -> None:
    """The configuration: what is wrong with it, what it comes to, what it may say."""


@config_group.command("check")
@_config
def config_check(chosen: str | None) -> int:
    """Tell every fault at once, with file and line; missing libraries and files too.

    \b
    Example: lockdown-watcher config check
    """
    from watcher import config

    _, faults = config.check(chosen, open_sinks=True)
    for fault in faults:
        complain(str(fault))
    click.echo(counted(len(faults), "fault"))
    return 2 if faults else 0


@config_group.command("show")
@_config
def config_show(chosen: str | None) -> None:
    """Show every option as it stands, defaults too; secrets are files, and stay there.

    \b
    Example: lockdown-watcher config show
    """
    from watcher import config

    click.echo(config.show(config.load(chosen)))


@config_group.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of config.toml.

    \b
    Example: lockdown-watcher config schema > config.schema.json
    """
    import json

    from watcher import config

    click.echo(json.dumps(config.json_schema(), indent=2))


@click.command()
@click.option("--since", metavar="TIME", help="Recorded since: 2026-11-23, 18:00, -2h, ...")
@_config
@output_option
@verbose_option
def events(since: str | None, chosen: str | None, output: Output | None, *, verbose: bool) -> None:
    """Show what the daemon has recorded.

    \b
    Example: lockdown-watcher events --since yesterday
    """
    import json

    from watcher.delivery.store import Reading
    from watcher.event_model import event_of

    with Reading(kept_folder(chosen)) as reading:
        lines = reading.lines(epoch_us(since) if since else 0)
        if wants_json(output):
            for line in lines:
                click.echo(line)
            return
        write = writer(output, verbose=verbose)
        for line in lines:
            write(event_of(json.loads(line)))


@click.group(invoke_without_command=True)
@_config
@output_option
@click.pass_context
def deliveries(context: click.Context, chosen: str | None, output: Output | None) -> None:
    """Show how each sink stands: delivered, waiting, set aside, and what troubles it.

    \b
    Example: lockdown-watcher deliveries
    """
    from watcher.delivery.store import Reading
    from watcher.pages.deliveries import render

    context.obj = kept_folder(chosen)
    if context.invoked_subcommand is None:
        with Reading(context.obj) as reading:
            click.echo(render(reading, as_json=wants_json(output)))


@deliveries.command("retry")
@click.argument("sink")
@_config
@click.pass_obj
def deliveries_retry(folder: Path, sink: str, chosen: str | None) -> None:
    """Deliver once more what was set aside for a sink.

    \b
    Example: lockdown-watcher deliveries retry splunk
    """
    from watcher.delivery import store

    if chosen:
        folder = kept_folder(chosen)
    if count := store.try_again(folder, sink):
        click.echo(f"to {sink} again: {counted(count, 'event')}, {_wake(store.daemon_pid(folder))}")
    else:
        click.echo(f"nothing was set aside for {sink}")


def _wake(pid: int | None) -> str:
    """Ring the daemon; give when it will deliver."""
    if pid is None:
        return "when the daemon runs again"
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        return "when the daemon runs again"
    except PermissionError:
        return "with the next event"
    return "now"


COMMANDS: Final = (daemon, config_group, events, deliveries)
