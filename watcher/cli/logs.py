"""The commands about a kernel log: watch, scan, explain, and the schema of what they write."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click

from watcher.cli.past import chosen, past_options
from watcher.cli.terminal import (
    Output,
    complain,
    complete_files,
    epoch_us,
    hang_up,
    journal_dir_option,
    namespace_option,
    output_option,
    verbose_option,
    wants_json,
    writer,
)
from watcher.errors import SourceError
from watcher.kinds import SEVERITIES, Severity

if TYPE_CHECKING:
    from watcher.event import Event
    from watcher.scan import Extent

_SOURCES: Final = ("auto", "journal", "kmsg")


@click.command()
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
    say = log.logger()
    gc.enable()
    with Stop() as stop:
        say(f"{why}; {posture.inspect()}")
        if sys.stderr.isatty():
            say("silence is normal; make demo plays a story; Ctrl-C ends")
        write = writer(output, verbose=verbose)
        follow(source, Detector(pack), write, drained=sys.stdout.flush, stop=stop)


@click.command()
@past_options
@click.option("--rules", multiple=True, metavar="FILE|DIR", shell_complete=complete_files,
              help="These Sigma rules alone, from any folder.")  # fmt: skip
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit 1 if such an event was found.")
@output_option
@verbose_option
def scan(
    asked: Extent,
    rules: tuple[str, ...],
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

    tally = scanning.Tally()
    pack = chosen(rules)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        write = writer(output, verbose=verbose)
        scanning.scan(asked, pack, _unheard(write) if fail_on else write, tally)
    except KeyboardInterrupt:
        sys.stdout.flush()
        complain(f"stopped after {tally.lines:,} lines; the rest was not read")
        return 130
    return _outcome(tally.lines, tally.events, tally.failures, asked.files) or int(
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


def _unheard(write: Callable[[Event], None]) -> Callable[[Event], None]:
    """Go on when nobody reads any more: what is found still counts."""

    def unheard(event: Event) -> None:
        try:
            write(event)
        except BrokenPipeError:
            hang_up()

    return unheard


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _reasons(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from watcher import explain as explaining

    return explaining.beginning_with(incomplete)


@click.command()
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


@click.command()
def schema() -> None:
    """Print the JSON Schema of an event.

    \b
    Example: lockdown-watcher schema > event.schema.json
    """
    import json

    from watcher.event_model import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


COMMANDS: Final = (watch, scan, explain, schema)
