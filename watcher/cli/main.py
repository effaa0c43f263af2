"""The command line. Data goes to stdout, all else to stderr; errors are one line each."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from watcher import __version__
from watcher.cli import daemon, desktop, health, machine, rules, units
from watcher.cli.terminal import (
    Output,
    complain,
    complete_files,
    epoch_us,
    journal_dir_option,
    namespace_option,
    output_option,
    verbose_option,
    wants_json,
    writer,
)
from watcher.errors import SourceError, WatcherError
from watcher.kinds import SEVERITIES, Severity

if TYPE_CHECKING:
    from watcher.event import Event

_SOURCES = ("auto", "journal", "kmsg")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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


@cli.command()
@click.option("--source", "kind", type=click.Choice(_SOURCES), default="auto",
              show_default=True, help="auto: the journal, else kmsg.")  # fmt: skip
@journal_dir_option
@namespace_option
@click.option("--since", default="boot", show_default=True, metavar="boot|now|TIME")
@output_option
@verbose_option
def watch(  # noqa: PLR0913 - one parameter an option
    kind: str,
    journal_dir: str | None,
    namespace: str | None,
    since: str,
    output: Output | None,
    *,
    verbose: bool,
) -> None:
    """Follow the kernel log and tell what lockdown does, from the start of this boot.

    \b
    Example: lockdown-watcher watch --since now -v
    """
    from watcher import choose, log, posture
    from watcher.detect import Detector
    from watcher.follow import Stop, follow
    from watcher.pack import load_pack

    pack = load_pack()
    start = since if since in ("boot", "now") else epoch_us(since)
    wish = choose.Wish(kind, journal_dir, namespace, start)  # type: ignore[arg-type]
    source, why = choose.live(wish, pack)
    said = log.logger()
    gc.enable()
    with Stop() as stop:
        said.info(f"{why}; {posture.inspect()}")
        if sys.stderr.isatty():
            said.info("silence is normal; make demo plays a story; Ctrl-C ends")
        write = writer(output, verbose=verbose)
        follow(source, Detector(pack), write, drained=sys.stdout.flush, stop=stop)


@cli.command()
@click.argument("files", nargs=-1, metavar="[FILE... | -]", shell_complete=complete_files)
@rules.past_options
@click.option("--rules", "rule_files", multiple=True, metavar="FILE|DIR",
              help="These Sigma rules alone, from any folder.",
              shell_complete=complete_files)  # fmt: skip
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit 1 if such an event was found.")
@output_option
@verbose_option
def scan(  # noqa: PLR0913, PLR0917
    files: tuple[str, ...],
    journal_dir: str | None,
    namespace: str | None,
    boot: str,
    since: str | None,
    until: str | None,
    rule_files: tuple[str, ...],
    fail_on: Severity | None,
    output: Output | None,
    *,
    verbose: bool,
) -> int:
    """Look through the past: this machine's journal, journal files, or text of any kind.

    Text may be /dev/kmsg, dmesg or journalctl output in any format, syslog files, mails and
    pasted snippets, also gzip, xz or zstd; - is standard input.

    \b
    Example: dmesg | lockdown-watcher scan -
    """
    from watcher import scan as scanning

    asked = rules.extent(files, journal_dir, namespace, boot, since, until)
    tally = scanning.Tally()
    pack = rules.chosen(rule_files)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        write = writer(output, verbose=verbose)
        scanning.scan(asked, pack, _unheard(write) if fail_on else write, tally)
    except KeyboardInterrupt:
        sys.stdout.flush()
        complain(f"stopped after {tally.lines:,} lines; the rest was not read")
        return 130
    return _outcome(tally.lines, tally.events, tally.failures, files) or int(
        fail_on is not None and tally.reaches(fail_on)
    )


def _outcome(lines: int, events: int, failures: list[str], files: tuple[str, ...]) -> int:
    for failure in failures:
        complain(failure)
    unseen = not lines and not files  # a journal without one kernel entry is worth a word
    if not events and not failures and (unseen or sys.stdout.isatty()):
        what = "lines" if files else "kernel entries"
        complain(f"nothing about lockdown in {lines:,} {what}")
    return SourceError.exit_status if failures else 0


def _reasons(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from watcher import explain as explaining

    return explaining.beginning_with(incomplete)


@cli.command()
@click.argument("text", nargs=-1, required=True, shell_complete=_reasons)
@output_option
def explain(text: tuple[str, ...], output: Output | None) -> int:
    """Explain a kernel line, a reason, or what a program printed.

    \b
    Examples: lockdown-watcher explain hibernation
              lockdown-watcher explain "Key was rejected by service"
    """
    from watcher import explain as explaining
    from watcher.pages import explanation

    words = " ".join(text)
    found = explaining.explain(words)
    if found is None:
        near = explaining.nearest(words)
        hint = f"did you mean {' or '.join(near)}?" if near else "try a kernel line or a reason"
        complain(f"nothing is known about this text; {hint}")
        return 1
    click.echo(explanation.render(found, as_json=wants_json(output)))
    return 0


@cli.command()
def schema() -> None:
    """Print the JSON Schema of an event.

    \b
    Example: lockdown-watcher schema > event.schema.json
    """
    import json

    from watcher.event import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


_PARTS = (daemon, desktop, health, machine, rules, units)

for _command in chain.from_iterable(part.COMMANDS for part in _PARTS):
    cli.add_command(_command)


# --- shared


def _unheard(write: Callable[[Event], None]) -> Callable[[Event], None]:
    """Go on when nobody reads any more: what is found still counts."""

    def unheard(event: Event) -> None:
        try:
            write(event)
        except BrokenPipeError:
            _hang_up()

    return unheard


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


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
        _hang_up()
        status = 0
    except OSError as error:
        _hang_up()
        complain(f"{error.filename or 'cannot write'}: {error.strerror}")
        status = 1
    gc.freeze()  # nothing is worth collecting at the end (__main__.py)
    sys.exit(status)


def _hang_up() -> None:
    """Send what is still to be written nowhere, or Python would complain again at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
