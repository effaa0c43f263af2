"""lockdown-watcher(1): every command as its own --help tells it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from docs.man.roff import filled, item, literal, paragraph, section, subsection
from watcher.cli.main import cli

_NAME = "lockdown-watcher"
_STATUS = (
    ("0", "Done. Also when a pipe was closed early, or a text file holds binary noise."),
    ("1", "The answer is no, or --fail-on found what it was asked for."),
    ("2", "Wrong usage, configuration or rules. One line on stderr says what, and what to do."),
    ("3", "A log cannot be read; what can be read was."),
)
_FILES = (
    ("/etc/lockdown-watcher/config.toml", "The system's configuration: lockdown-watcher.toml(5)."),
    (
        "$XDG_CONFIG_HOME/lockdown-watcher/config.toml",
        "The user's own (~/.config without that variable); its tables replace those of the first.",
    ),
    (
        "/etc/lockdown-watcher/rules/*.yml",
        "Your own Sigma rules, and beside the user's configuration. The same id replaces a rule.",
    ),
    (
        "$STATE_DIRECTORY/events.sqlite3",
        "What the daemon recorded; without systemd in $XDG_STATE_HOME/lockdown-watcher.",
    ),
)
_ENVIRONMENT = (
    ("LOCKDOWN_WATCHER_CONFIG", "One configuration instead of both, as --config has it."),
    ("NO_COLOR", "If it is set, nothing is coloured."),
    ("XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_CACHE_HOME", "Where a user's files are."),
    ("STATE_DIRECTORY, CACHE_DIRECTORY, CREDENTIALS_DIRECTORY", "Where a service's are: systemd."),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID, INVOCATION_ID, JOURNAL_STREAM",
        "How the daemon speaks with systemd.",
    ),
    ("DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR", "Where notify finds the session's bus."),
)


def body() -> list[str]:
    """Give the page below its first line."""
    return [
        *section("NAME"),
        r"lockdown\-watcher \- what the kernel\(aqs lockdown refused, explained",
        *section("SYNOPSIS"),
        r"\fBlockdown\-watcher\fP \fICOMMAND\fP [\fIOPTION\fP...] [\fIARGUMENT\fP...]",
        *section("DESCRIPTION"),
        *filled(
            "A Linux kernel under lockdown, most often because UEFI Secure Boot is on, refuses"
            " things even to root. The failing program says EPERM; the true reason is one line in"
            " the kernel log, elsewhere, printed once, perhaps suppressed. This program follows"
            " that log and says what happened, what it means and what to do."
        ),
        *paragraph(
            "On a terminal the output is for people, in a pipe it is JSON Lines; -o says it"
            " outright. Data goes to stdout, all else to stderr. Every command has --help."
        ),
        *section("COMMANDS"),
        *(line for path, command in commands() for line in _command(path, command)),
        *section("EXIT STATUS"),
        *(line for row in _STATUS for line in item(*row)),
        *section("FILES"),
        *(line for row in _FILES for line in item(*row)),
        *section("ENVIRONMENT"),
        *(line for row in _ENVIRONMENT for line in item(*row)),
        *section("SEE ALSO"),
        r"\fBlockdown\-watcher.toml\fP(5), \fBlockdown\-watcher\-events\fP(7),",
        r"\fBkernel_lockdown\fP(7), \fBjournalctl\fP(1), \fBdmesg\fP(1)",
    ]


def commands() -> Iterator[tuple[str, click.Command]]:
    """Give every command with the words that call it, in click's order."""
    yield from _below(_NAME, cli)


def _below(path: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        if command := group.get_command(context, name):
            yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _below(f"{path} {name}", command)


def _command(path: str, command: click.Command) -> list[str]:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    first, *more = inspect.cleandoc(command.help or "").split("\n\n")
    lines = subsection(usage, first)
    for block in more:
        if block.startswith("\b"):
            lines += literal(_examples(block.removeprefix("\b\n")))
        else:
            lines += paragraph(block)
    for parameter in command.params:  # without --help, which all have
        record = parameter.get_help_record(context)
        if record and isinstance(parameter, click.Option):
            lines += item(*record)
    return lines


def _examples(block: str) -> list[str]:
    """Give what stands behind "Example: ", line by line, all from the same column."""
    lines = block.splitlines()
    width = max((len(word) for word in ("Examples: ", "Example: ") if block.startswith(word)),
                default=0)  # fmt: skip
    return [line[width:] for line in lines] if width else lines
