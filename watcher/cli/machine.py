"""The commands about how a machine stands: status, why, boots, report, compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn, get_args

import click

from watcher.cli.terminal import (
    Output,
    complain,
    complete_files,
    complete_folders,
    journal_dir_option,
    namespace_option,
    output_option,
    wants_json,
)
from watcher.errors import SourceError, UsageError

if TYPE_CHECKING:
    from watcher.boots import Boot
    from watcher.posture import Posture


@click.command()
@click.option("--root", default="/", show_default=True, metavar="DIR",
              help="Another system's files: a mounted disk, a captured tree.",
              shell_complete=complete_folders)  # fmt: skip
@output_option
def status(root: str, output: Output | None) -> None:
    """Tell how this machine stands: locked down or not, how far, by what, since when.

    It reads files and the log and tries nothing, so it leaves no line behind.

    \b
    Examples: lockdown-watcher status
              lockdown-watcher status -o json --root /mnt
    """
    from watcher.pages import status_page

    click.echo(status_page.render(_posture(root), as_json=wants_json(output)))


def _topics(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from watcher.diagnose import TOPICS

    return [topic for topic in TOPICS if topic.startswith(incomplete)]


@click.command()
@click.argument("words", nargs=-1, metavar="[TOPIC | TEXT | -- CMD ARG...]",
                shell_complete=_topics)  # fmt: skip
@click.option("--root", default="/", metavar="DIR", help="Another system's files.",
              shell_complete=complete_folders)  # fmt: skip
@click.option("--probe", type=click.Choice(["bpf"]),
              help="Ask the kernel by harmless calls; where it refuses, it logs that.")  # fmt: skip
@output_option
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
        _witness(command, as_json=output == "json", more=words or probe or root != "/")
    if probe:
        return _probe(as_json=wants_json(output), more=words or root != "/")
    from watcher.diagnose import TOPICS, diagnose, symptom
    from watcher.pages import diagnosis_page

    if not words:
        raise click.UsageError(f"what was refused? One of {', '.join(TOPICS)}, or an error text")
    trouble = symptom(" ".join(words))
    if trouble is None:
        complain(f"nothing is known about this text; topics: {', '.join(TOPICS)}")
        return 1
    found = diagnose(trouble, _posture(root))
    click.echo(diagnosis_page.render(found, as_json=wants_json(output)))
    return 0


def _probe(*, as_json: bool, more: object) -> int:
    from watcher.diagnose.probed import probed
    from watcher.pages import diagnosis_page
    from watcher.probe import probe_bpf

    if more:
        raise click.UsageError("--probe stands alone")
    steps = probe_bpf()
    found = probed(steps, _posture("/"))
    click.echo(diagnosis_page.render_probed(found, steps, as_json=as_json))
    return 0


def _witness(command: list[str], *, as_json: bool, more: object) -> NoReturn:
    from watcher import aftermath, witness

    if more or not command:
        raise click.UsageError(
            "-- takes a command after it, and neither TOPIC nor --root before it"
        )
    witness.end_as(witness.run(command), lambda seen: aftermath.tell(seen, as_json=as_json))


def _posture(root: str) -> Posture:
    from watcher.posture import inspect
    from watcher.this_boot import boot_of_tree, this_boot

    if not Path(root).is_dir():
        raise SourceError(f"{root}: no such folder")
    here = Path(root).resolve() == Path("/")
    return inspect(root).with_log(this_boot() if here else boot_of_tree(root))


@click.command()
@journal_dir_option
@namespace_option
@output_option
def boots(journal_dir: str | None, namespace: str | None, output: Output | None) -> int:
    """One row a boot of the journal: kernel, level, cause, Secure Boot, denials; what changed.

    A level with + is the least its lines prove.

    \b
    Example: lockdown-watcher boots
    """
    from watcher import boots as reading
    from watcher.pages import boot_table

    if journal_dir and namespace:
        raise click.UsageError("--journal-dir and --namespace exclude each other")
    rows = reading.boots(journal_dir, namespace)
    if not rows:
        complain("the journal holds no boot (of this machine, to this user)")
        return 1
    click.echo(boot_table.render(rows, as_json=wants_json(output)))
    return 0


Format = Literal["markdown", "json"]


@click.command()
@click.option("--html", metavar="FILE", help="Write one self-contained page instead.",
              shell_complete=complete_files)  # fmt: skip
@click.option("-o", "--output", type=click.Choice(get_args(Format)), default="markdown",
              show_default=True, help="What to print.")  # fmt: skip
@click.option("--anonymous", is_flag=True, help="Leave out the host's name and all ids.")
@journal_dir_option
@namespace_option
def report(
    html: str | None,
    output: Format,
    journal_dir: str | None,
    namespace: str | None,
    *,
    anonymous: bool,
) -> None:
    """Gather how this machine stands, its boots and denials, to attach to a bug.

    No secrets: of the command line only parameters about lockdown are kept.

    \b
    Examples: lockdown-watcher report --anonymous > report.md
              lockdown-watcher report --html report.html
    """
    import json

    from watcher import report as reporting

    if journal_dir and namespace:
        raise click.UsageError("--journal-dir and --namespace exclude each other")
    rows, unseen = _boots_if_any(journal_dir, namespace)
    made = reporting.report(_posture("/"), rows, unseen, named=not anonymous)
    if html:
        from watcher.pages import report_html

        _write(html, report_html.render(made, reporting.embedded(made)))
        complain(f"written to {html}")
    elif output == "json":
        click.echo(json.dumps(made))
    else:
        from watcher.pages import report_markdown

        click.echo(report_markdown.render(made))


def _boots_if_any(journal_dir: str | None, namespace: str | None) -> tuple[list[Boot], str | None]:
    """Give the boots; where no journal can be read the report goes without, and says so."""
    from watcher import boots as reading

    try:
        return reading.boots(journal_dir, namespace), None
    except SourceError as error:
        if journal_dir or namespace:
            raise
        return [], str(error)


def _write(file: str, page: str) -> None:
    try:
        Path(file).write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from error


@click.command()
@click.argument("a", metavar="A", shell_complete=complete_files)
@click.argument("b", metavar="B", shell_complete=complete_files)
@output_option
def compare(a: str, b: str, output: Output | None) -> int:
    """Hold two reports against each other: only what differs and matters, likely reason first.

    Takes reports of any format. Exit status 1 if something differs.

    \b
    Example: lockdown-watcher compare works.md fails.html
    """
    from watcher import report as reporting
    from watcher.pages import comparison

    found = reporting.differences(*map(_load, (a, b)))
    click.echo(comparison.render(found, as_json=wants_json(output)))
    return int(bool(found))


def _load(file: str) -> dict[str, object]:
    from watcher import report as reporting

    try:
        return reporting.load(file)
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror}") from error


COMMANDS: Final = (status, why, boots, report, compare)
