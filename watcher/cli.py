"""The command line. Data goes to stdout, all else to stderr; errors are one line each."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from watcher import __version__
from watcher.errors import SourceError, WatcherError
from watcher.kinds import SEVERITIES, Severity

if TYPE_CHECKING:
    from watcher.event import Event
    from watcher.posture import Posture

Output = Literal["human", "json"]
_SOURCES = ("auto", "journal", "kmsg")
_output = click.option(
    "-o",
    "--output",
    type=click.Choice(get_args(Output)),
    help="human: for people (the default on a terminal); json: JSON Lines (the default in a pipe).",
)
_verbose = click.option("-v", "--verbose", is_flag=True, help="The whole explanation.")
_journal_dir = click.option("--journal-dir", metavar="DIR", help="A directory of journal files.")
_namespace = click.option("--namespace", metavar="NS", help="A journal namespace.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lockdown-watcher")
def cli() -> None:
    """What the kernel's lockdown refused, explained, from the kernel's own log.

    \b
    lockdown-watcher watch                 follow the kernel log
    lockdown-watcher scan dmesg.txt        look through a saved log
    lockdown-watcher explain hibernation   what a reason, a line or an error means
    """


@cli.command()
@click.option("--source", "kind", type=click.Choice(_SOURCES), default="auto",
              show_default=True, help="auto: the journal, else kmsg.")  # fmt: skip
@_journal_dir
@_namespace
@click.option("--since", default="boot", show_default=True, metavar="boot|now|TIME")
@_output
@_verbose
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
    start = since if since in ("boot", "now") else _epoch_us(since)
    wish = choose.Wish(kind, journal_dir, namespace, start)  # type: ignore[arg-type]
    source, why = choose.live(wish, pack)
    said = log.logger()
    gc.enable()
    with Stop() as stop:
        said.info(f"{why}; {posture.inspect()}")
        if sys.stderr.isatty():
            said.info("silence is normal; make demo plays a story; Ctrl-C ends")
        write = _writer(output, verbose=verbose)
        follow(source, Detector(pack), write, drained=sys.stdout.flush, stop=stop)


@cli.command()
@click.argument("files", nargs=-1, metavar="[FILE... | -]")
@_journal_dir
@_namespace
@click.option("--boot", default="all", show_default=True, metavar="ID|0|-1|all",
              help="One boot of the journal: 0 is the last one in it.")  # fmt: skip
@click.option("--since", metavar="TIME", help="From here on: 2026-11-23, 18:00, -2h, ...")
@click.option("--until", metavar="TIME", help="Up to here.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit 1 if such an event was found.")
@_output
@_verbose
def scan(  # noqa: PLR0913, PLR0917
    files: tuple[str, ...],
    journal_dir: str | None,
    namespace: str | None,
    boot: str,
    since: str | None,
    until: str | None,
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
    from watcher.pack import load_pack

    if journal_dir and namespace:
        raise click.UsageError("--journal-dir and --namespace exclude each other")
    if files and (journal_dir or namespace):
        raise click.UsageError("FILE and --journal-dir or --namespace exclude each other")
    bounds = [None if each is None else _epoch_us(each) for each in (since, until)]
    if None not in bounds and bounds[0] > bounds[1]:  # type: ignore[operator]
        raise click.UsageError(f"--since {since} is later than --until {until}")
    extent = scanning.Extent(files, journal_dir, namespace, boot, *bounds)
    tally = scanning.Tally()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        write = _writer(output, verbose=verbose)
        scanning.scan(extent, load_pack(), _unheard(write) if fail_on else write, tally)
    except KeyboardInterrupt:
        sys.stdout.flush()
        _complain(f"stopped after {tally.lines:,} lines; the rest was not read")
        return 130
    return _outcome(tally.lines, tally.events, tally.failures, files) or int(
        fail_on is not None and tally.reaches(fail_on)
    )


def _outcome(lines: int, events: int, failures: list[str], files: tuple[str, ...]) -> int:
    for failure in failures:
        _complain(failure)
    unseen = not lines and not files  # a journal without one kernel entry is worth a word
    if not events and not failures and (unseen or sys.stdout.isatty()):
        what = "lines" if files else "kernel entries"
        _complain(f"nothing about lockdown in {lines:,} {what}")
    return SourceError.exit_status if failures else 0


@cli.command()
@click.argument("text", nargs=-1, required=True)
@_output
def explain(text: tuple[str, ...], output: Output | None) -> int:
    """Explain a kernel line, a reason, or what a program printed.

    \b
    Examples: lockdown-watcher explain hibernation
              lockdown-watcher explain "Key was rejected by service"
    """
    from watcher import explain as explaining
    from watcher.sinks import explanation

    words = " ".join(text)
    found = explaining.explain(words)
    if found is None:
        near = explaining.nearest(words)
        hint = f"did you mean {' or '.join(near)}?" if near else "try a kernel line or a reason"
        _complain(f"nothing is known about this text; {hint}")
        return 1
    click.echo(explanation.render(found, as_json=_wants_json(output)))
    return 0


@cli.command()
@click.option("--root", default="/", show_default=True, metavar="DIR",
              help="Another system's files: a mounted disk, a captured tree.")  # fmt: skip
@_output
def status(root: str, output: Output | None) -> None:
    """Tell how this machine stands: locked down or not, how far, by what, since when.

    It reads files and the log and tries nothing, so it leaves no line behind.

    \b
    Examples: lockdown-watcher status
              lockdown-watcher status -o json --root /mnt
    """
    from watcher.sinks import status_page

    click.echo(status_page.render(_posture(root), as_json=_wants_json(output)))


@cli.command()
@click.argument("words", nargs=-1, metavar="[TOPIC | TEXT | -- CMD ARG...]")
@click.option("--root", default="/", metavar="DIR", help="Another system's files.")
@click.option("--probe", type=click.Choice(["bpf"]),
              help="Ask the kernel by harmless calls; where it refuses, it logs that.")  # fmt: skip
@_output
@click.pass_obj
def why(
    command: list[str] | None,
    words: tuple[str, ...],
    root: str,
    probe: str | None,
    output: Output | None,
) -> int:
    """Tell whether a refusal is lockdown or something else, how sure that is, and what to do.

    Topics: bpf, perf, module, kexec, hibernation, msr, ioport, debugfs, tracefs. Or paste what
    the program printed.

    With -- CMD the command is run as it is, and what the kernel refused to it is told on stderr;
    its exit status is kept.

    \b
    Examples: lockdown-watcher why bpf
              lockdown-watcher why "unknown func bpf_probe_read_kernel#113"
              lockdown-watcher why -- bpftrace -l
    """
    if command is not None:
        return _witness(command, as_json=output == "json", more=words or probe or root != "/")
    if probe:
        return _probe(as_json=_wants_json(output), more=words or root != "/")
    from watcher.diagnose import TOPICS, diagnose, symptom
    from watcher.sinks import diagnosis_page

    if not words:
        raise click.UsageError(f"what was refused? One of {', '.join(TOPICS)}, or an error text")
    trouble = symptom(" ".join(words))
    if trouble is None:
        _complain(f"nothing is known about this text; topics: {', '.join(TOPICS)}")
        return 1
    found = diagnose(trouble, _posture(root))
    click.echo(diagnosis_page.render(found, as_json=_wants_json(output)))
    return 0


def _probe(*, as_json: bool, more: object) -> int:
    from watcher.diagnose.probed import probed
    from watcher.probe import probe_bpf
    from watcher.sinks import diagnosis_page

    if more:
        raise click.UsageError("--probe stands alone")
    steps = probe_bpf()
    found = probed(steps, _posture("/"))
    click.echo(diagnosis_page.render_probed(found, steps, as_json=as_json))
    return 0


def _witness(command: list[str], *, as_json: bool, more: object) -> int:
    from watcher import aftermath, witness

    if more or not command:
        raise click.UsageError(
            "-- takes a command after it, and neither TOPIC nor --root before it"
        )
    seen = witness.run(command)
    aftermath.tell(seen, as_json=as_json)
    witness.end_as(seen)
    return 0  # never reached: the process ended as the command did


def _posture(root: str) -> Posture:
    from watcher.posture import inspect
    from watcher.this_boot import boot_of_tree, this_boot

    if not Path(root).is_dir():
        raise SourceError(f"{root}: no such folder")
    here = Path(root).resolve() == Path("/")
    return inspect(root).with_log(this_boot() if here else boot_of_tree(root))


@cli.command()
@_journal_dir
@_namespace
@_output
def boots(journal_dir: str | None, namespace: str | None, output: Output | None) -> int:
    """One row a boot of the journal: kernel, level, cause, Secure Boot, denials; what changed.

    A level with + is the least its lines prove.

    \b
    Example: lockdown-watcher boots
    """
    from watcher import boots as reading
    from watcher.sinks import boot_table

    if journal_dir and namespace:
        raise click.UsageError("--journal-dir and --namespace exclude each other")
    rows = reading.boots(journal_dir, namespace)
    if not rows:
        _complain("the journal holds no boot (of this machine, to this user)")
        return 1
    click.echo(boot_table.render(rows, as_json=_wants_json(output)))
    return 0


@cli.group()
def rules() -> None:
    """The rule pack: which lines become events, and how grave they are."""


@rules.command("list")
@_output
def rules_list(output: Output | None) -> None:
    """List the rules that run.

    \b
    Example: lockdown-watcher rules list
    """
    from watcher.pack import load_pack
    from watcher.sinks import rule_table

    click.echo(rule_table.render(load_pack(), as_json=_wants_json(output)))


@rules.command("check")
@click.argument("paths", nargs=-1, metavar="[FILE|DIR...]")
def rules_check(paths: tuple[str, ...]) -> int:
    """Check rule files, or all that would be loaded; every fault is told.

    \b
    Example: lockdown-watcher rules check /etc/lockdown-watcher/rules
    """
    from watcher import pack

    texts, unread = pack.read_texts([Path(path) for path in paths] or pack.folders())
    rules, faults = pack.check(texts)
    told = [*unread, *map(str, faults)]
    for fault in told:
        _complain(fault)
    click.echo(f"{len(rules)} rules, {len(told)} faults")
    return 2 if told else 0


@cli.command()
def schema() -> None:
    """Print the JSON Schema of an event.

    \b
    Example: lockdown-watcher schema > event.schema.json
    """
    import json

    from watcher.event import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


# --- shared


def _wants_json(output: Output | None) -> bool:
    return output == "json" if output else not sys.stdout.isatty()


def _writer(output: Output | None, *, verbose: bool) -> Callable[[Event], None]:
    from watcher.sinks.console import Console, JsonLines

    if _wants_json(output):
        return JsonLines(sys.stdout).write
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return Console(sys.stdout, colour=colour, verbose=verbose).write


def _unheard(write: Callable[[Event], None]) -> Callable[[Event], None]:
    """Go on when nobody reads any more: what is found still counts."""

    def unheard(event: Event) -> None:
        try:
            write(event)
        except BrokenPipeError:
            _hang_up()

    return unheard


def _epoch_us(text: str) -> int:
    from watcher.moment import epoch_us

    return epoch_us(text, datetime.now().astimezone())


def _complain(text: str) -> None:
    from watcher.sinks.plain import plain

    click.echo(f"lockdown-watcher: {plain(text)}", err=True)


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
        _complain(f"cannot write: {error.strerror}")
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
            _complain(line)
        return error.exit_status
