"""The command line. Data goes to stdout, all else to stderr; errors are one line each."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from watcher import __version__
from watcher.cli.terminal import complain, hang_up
from watcher.errors import WatcherError

WHERE: Final = {
    "daemon": ("config", "daemon", "deliveries", "events"),
    "desktop": ("notify",),
    "health": ("health", "metrics"),
    "logs": ("explain", "scan", "schema", "watch"),
    "machine": ("boots", "compare", "report", "status", "why"),
    "rules": ("rules",),
    "units": ("units",),
}
"""Which module has which commands: a command waits for its own module alone."""
_MODULES: Final = {name: module for module, names in WHERE.items() for name in names}


class _Commands(click.Group):
    """Commands whose modules are loaded when they are asked for; --help asks for all."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_MODULES, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _MODULES and cmd_name not in self.commands:
            for command in import_module(f"watcher.cli.{_MODULES[cmd_name]}").COMMANDS:
                self.add_command(command)
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lockdown-watcher")
def cli() -> None:
    """What the kernel's lockdown refused, explained, from the kernel's own log.

    \b
    lockdown-watcher watch                 follow the kernel log
    lockdown-watcher scan dmesg.txt        look through a saved log
    lockdown-watcher explain hibernation   what a reason, a line or an error means
    lockdown-watcher status                how this machine stands
    lockdown-watcher why bpf               is it lockdown, or what else
    """


def main(arguments: list[str] | None = None, command: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 no or found, 2 usage, 3 a source is unreadable.

    `command` is what stood behind `why --`.
    """
    _open_closed_streams()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        status = _run(arguments, command)
        sys.stdout.flush()
    except BrokenPipeError:
        hang_up()
        status = 0
    except OSError as error:
        hang_up()
        complain(f"{error.filename or 'cannot write'}: {error.strerror}")
        status = 1
    gc.freeze()  # nothing is worth collecting at the end (__main__.py)
    sys.exit(status)


def _open_closed_streams() -> None:
    """Give Python streams where the caller closed them (`>&-`): to nowhere."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end


def _run(arguments: list[str] | None, command: list[str] | None) -> int:
    try:
        done = cli.main(arguments, prog_name="lockdown-watcher", standalone_mode=False, obj=command)
        return int(done or 0)
    except click.ClickException as error:
        error.show()
        return 2
    except SystemExit:  # click's answer to a closed pipe
        raise BrokenPipeError from None
    except (click.Abort, KeyboardInterrupt):
        return 130
    except WatcherError as error:
        for line in str(error).splitlines():
            complain(line)
        return error.exit_status
