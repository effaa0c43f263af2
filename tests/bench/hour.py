"""An hour of the daemon, half of it quiet and half busy, as a picture.

    make hour ARGS='[--minutes N] [--output FILE.png]'

goeffel samples the daemon from outside; it comes with the dependency group `hour`. It is no part
of `python -m tests.bench`, for it takes an hour; the figures it prints go into the page by hand.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.journal.real import Journald
from tests.outage.parts import Daemon

LINES_S: Final = 100
"""Lines a second in the busy half, in tenths of a second; one in HIT is an event."""
HIT: Final = 20
EVERY_S: Final = 2.0
"""Time between two samples; a rate is the mean over it."""
_NOISE: Final = "usb 1-1: new high-speed USB device number {} using xhci_hcd"
_DENIAL: Final = "Lockdown: app{}: hibernation is restricted; see man kernel_lockdown.7"


@dataclass(frozen=True)
class Sample:
    """One moment: minutes since the start, megabytes, per cent of one core, wake-ups a second."""

    minute: float
    rss_mb: float
    cpu: float
    wakeups: float


def main() -> None:
    """Run the hour, draw it, and print the figures of both halves."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.hour", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--output", type=Path, default=Path("docs/hour.png"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples = _hour(Path(folder), args.minutes * 60)
    _draw(samples, args.minutes / 2, args.output)
    print(_figures(samples, args.minutes / 2))


def _hour(folder: Path, seconds: float) -> list[Sample]:
    # Its own lines alone: what else goes on in this machine's kernel log is no part of it.
    with Journald("ReadKMsg=no\n") as journald:
        config = (
            f'[source]\nkind = "journal"\nnamespace = "{journald.namespace}"\n'
            f'[[sink]]\nkind = "file"\npath = "{folder / "events.jsonl"}"\n'
            f'[[sink]]\nkind = "syslog"\naddress = "unix://{folder / "nobody"}"\n'
        )
        with Daemon(folder, config) as daemon:
            time.sleep(5)  # its start is measured elsewhere
            with _sampled(daemon.pid, folder / "hour.hdf5"):
                time.sleep(seconds / 2)
                _busy(journald, seconds / 2)
    return _read(folder / "hour.hdf5")


def _busy(journald: Journald, seconds: float) -> None:
    number, start = 0, time.monotonic()
    while (now := time.monotonic() - start) < seconds:
        while number < now * LINES_S:
            text = (_NOISE if number % HIT else _DENIAL).format(number)
            journald.native({"MESSAGE": text, "SYSLOG_IDENTIFIER": "kernel", "PRIORITY": "5"})
            number += 1
        time.sleep(0.1)


@contextlib.contextmanager
def _sampled(pid: int, file: Path) -> Iterator[None]:
    goeffel = Path(sys.executable).with_name("goeffel")
    tool = str(goeffel) if goeffel.exists() else shutil.which("goeffel")
    if tool is None:
        raise SystemExit("goeffel is missing: make hour installs it")
    argv = [tool, "--pid", str(pid), "-i", str(EVERY_S), "--no-system-metrics"]
    with subprocess.Popen(
        [*argv, "--outfile-hdf5-path", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)


def _read(file: Path) -> list[Sample]:
    import tables

    with tables.open_file(str(file)) as opened:
        rows = opened.root.goeffel_timeseries.read()
    start = rows["monotime"][0]
    columns = ("proc_mem_rss", "proc_cpu_util_percent_total", "proc_ctx_switch_rate_hz")
    taken = zip(rows["monotime"], *(rows[name] for name in columns), strict=True)
    return [
        Sample(float(at - start) / 60, float(rss) / (1 << 20), float(cpu), float(rate))
        for at, rss, cpu, rate in taken
    ]


def _draw(samples: Sequence[Sample], turn: float, target: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(3, 1, sharex=True, figsize=(8, 6), layout="constrained")
    minutes = [each.minute for each in samples]
    shown = (("rss_mb", "RSS, MB"), ("cpu", "CPU, % of a core"), ("wakeups", "switches/s"))
    for panel, (name, label) in zip(panels, shown, strict=True):
        panel.plot(minutes, [getattr(each, name) for each in samples], linewidth=0.8)
        panel.axvline(turn, color="grey", linewidth=0.8, linestyle=":")
        panel.set_ylabel(label)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    panels[0].set_title(f"quiet, then {LINES_S} lines and {LINES_S // HIT} events a second")
    panels[-1].set_xlabel("minutes")
    figure.savefig(target, dpi=100)


def _figures(samples: Sequence[Sample], turn: float) -> str:
    halves = {
        "quiet": [each for each in samples if each.minute < turn],
        "busy": [each for each in samples if each.minute >= turn],
    }
    rows = ["| half | RSS, median | RSS, most | CPU, mean | switches/s, mean |"]
    rows.append("| --- | ---: | ---: | ---: | ---: |")
    for name, half in halves.items():
        rss = [each.rss_mb for each in half]
        cpu = statistics.fmean(each.cpu for each in half)
        rate = statistics.fmean(each.wakeups for each in half)
        middle = statistics.median(rss)
        rows.append(f"| {name} | {middle:.1f} MB | {max(rss):.1f} MB | {cpu:.2f} % | {rate:.2f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
