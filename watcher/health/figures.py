"""All that `metrics` tells, gathered from this machine, the store and the daemon. Plain data."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from watcher import __version__, posture
from watcher.delivery import store
from watcher.delivery.totals import Total
from watcher.errors import StoreError
from watcher.gaps import CAUSES
from watcher.health.verdict import Check, Now, checks
from watcher.health.vitals import Vitals, parsed
from watcher.host import now_us, this_host
from watcher.kinds import KINDS, SEVERITIES
from watcher.lockdown.causes import CAUSE_NAMES

UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store and the process tell. `pid` and `state` (proc(5)) are the daemon's."""

    vitals: Vitals | None = None
    totals: tuple[Total, ...] = ()
    deliveries: tuple[store.Delivery, ...] = ()
    pid: int | None = None
    state: str | None = None
    bytes: int | None = None

    def checks(self) -> tuple[Check, ...]:
        """Judge it as of now."""
        clock_s, boot = time.monotonic(), this_host().boot_id
        now = Now(self.vitals, self.pid, self.state, boot, clock_s, now_us(), self.deliveries)
        return tuple(checks(now))


@dataclass(frozen=True, slots=True)
class Figures:
    """All of it, with how this machine stands; `now_us` is Epoch microseconds."""

    posture: posture.Posture
    kept: Kept
    now_us: int

    @property
    def vitals(self) -> Vitals:
        """What the daemon told, or nothing."""
        return self.kept.vitals or Vitals()


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: `samples` are values of its labels, and the value; a counter ends in _total."""

    name: str
    told: str
    labels: tuple[str, ...]
    samples: Sequence[tuple[tuple[str, ...], float]]


def gather(folder: Path, vitals: Vitals | None = None) -> Figures:
    """Look at everything. `vitals`: as the daemon itself knows them. Raises StoreError.

    Where no daemon has run yet there is only the machine to tell of.
    """
    found = kept(folder, vitals) if vitals or _has_store(folder) else Kept()
    return Figures(posture.inspect(), found, now_us())


def kept(folder: Path, vitals: Vitals | None = None) -> Kept:
    """Read the store, and look whether the daemon runs. Raises StoreError."""
    with store.Reading(folder) as reading:
        try:
            told, totals = reading.vitals(), tuple(reading.totals())
        except sqlite3.Error as error:
            raise StoreError(
                f"{folder / store.FILE}: {error}: a daemon of this version has not run yet"
            ) from error
        deliveries = tuple(reading.deliveries())
    pid = store.daemon_pid(folder)
    state = _state(pid) if pid else None
    return Kept(vitals or parsed(told), totals, deliveries, pid, state, _bytes(folder))


def _state(pid: int) -> str | None:
    """Give the state of a process, a letter of proc(5); its name may hold anything."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()
    return None


def _has_store(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return (folder / store.FILE).exists()
    return True  # it cannot be seen: Reading says why


def _bytes(folder: Path) -> int:
    size = 0
    for name in (store.FILE, f"{store.FILE}-wal"):
        with contextlib.suppress(OSError):
            size += (folder / name).stat().st_size
    return size


def _cause(found: Figures) -> str | None:
    """Give what the kernel announced in this boot, or what must be."""
    now, told = found.posture, found.vitals
    if now.level == "none":
        return "none"
    announced = told.cause if told.boot_id == this_host().boot_id else None
    return (announced if now.level else None) or now.standing.cause


def families(found: Figures) -> Iterator[Family]:
    """Give the metrics; those whose value nobody knows have no sample."""
    yield Family(
        "build_info", "Version of lockdown-watcher.", ("version",), [((__version__,), 1.0)]
    )
    yield _one("up", "Whether the daemon runs.", found.kept.pid is not None)
    yield from _of_health(found)
    yield from _of_machine(found)
    yield from _of_events(found.kept.totals)
    yield from _of_logs(found)
    yield from _of_sinks(found)
    spent = [((rule, title), s) for rule, (title, s) in found.vitals.rules.items()]
    yield Family("rule_seconds_total", "Time spent on matching a rule.", ("rule", "title"), spent)
    yield _one("store_bytes", "Bytes of the store on disk.", found.kept.bytes)


def _one(name: str, told: str, value: float | None) -> Family:
    return Family(name, told, (), [] if value is None else [((), float(value))])


def _states(name: str, told: str, label: str, known: tuple[str, ...], now: str | None) -> Family:
    """Tell of a state: 1 for what it is, 0 for all else, so that changes are seen."""
    is_now = now or UNKNOWN
    samples = [((each,), float(each == is_now)) for each in (*known, UNKNOWN)]
    return Family(name, told, (label,), samples)


_SECURE_BOOT: Final = {True: "enabled", False: "disabled", None: None}


def _of_health(found: Figures) -> Iterator[Family]:
    well: dict[tuple[str, ...], bool] = {}
    for each in found.kept.checks():
        well[(each.id,)] = each.ok and well.get((each.id,), True)
    yield Family("healthy", "Whether a check of `lockdown-watcher health` holds.", ("check",),
                 [(check, float(ok)) for check, ok in well.items()])  # fmt: skip
    canary = found.vitals.canary
    yield _one("canary_seconds", "How long the last canary took through the journal.",
               canary.took_s if canary else None)  # fmt: skip


def _of_machine(found: Figures) -> Iterator[Family]:
    secure_boot = _SECURE_BOOT[found.posture.firmware.secure_boot]
    states = tuple(filter(None, _SECURE_BOOT.values()))
    causes = ("none", *CAUSE_NAMES)
    yield _states("lockdown_level", "How far this kernel is locked down (1: so it is).",
                  "level", get_args(posture.PostureLevel), found.posture.level)  # fmt: skip
    yield _states("lockdown_cause", "Why this kernel is locked down (1: so it is).",
                  "cause", causes, _cause(found))  # fmt: skip
    yield _states("secure_boot", "What the firmware says of UEFI Secure Boot (1: so it is).",
                  "state", states, secure_boot)  # fmt: skip
    yield _one("contradictions", "Things about lockdown here that do not fit together.",
               len(found.posture.contradictions))  # fmt: skip


def _of_events(totals: tuple[Total, ...]) -> Iterator[Family]:
    # What has not happened is told as 0: Prometheus sees no increase in what begins with 1.
    kinds: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    severities: Counter[str] = Counter(dict.fromkeys(SEVERITIES, 0))
    gaps: Counter[str] = Counter(dict.fromkeys(CAUSES, 0))
    lines: Counter[str] = Counter(dict.fromkeys(CAUSES, 0))
    for each in totals:
        kinds[each.kind] += each.events
        severities[each.severity] += each.events
        if each.cause:
            gaps[each.cause] += each.events
            lines[each.cause] += each.lines
    yield _counted("events_total", "Events recorded.", "kind", kinds)
    yield _counted("events_by_severity_total", "Events recorded.", "severity", severities)
    yield _counted("gaps_total", "Stretches in which something may have been lost.", "cause", gaps)
    yield _counted("gap_lines_total", "Lines, or events of a full store, that were lost, as far as"
                   " their number is known.", "cause", lines)  # fmt: skip


def _counted(name: str, told: str, label: str, counts: Mapping[str, int]) -> Family:
    return Family(name, told, (label,), [((key,), float(count)) for key, count in counts.items()])


def _of_logs(found: Figures) -> Iterator[Family]:
    logs = found.vitals.logs
    started, now = found.vitals.started_us, found.now_us

    def family(name: str, told: str, value: dict[str, float | None]) -> Family:
        known = [((log,), at) for log, at in value.items() if at is not None]
        return Family(name, told, ("log",), known)

    def each(of: str) -> dict[str, float | None]:
        return {name: _seconds(getattr(log, of)) for name, log in logs.items()}

    yield family("log_lines_total", "Lines read since the daemon started.",
                 {name: float(log.lines) for name, log in logs.items()})  # fmt: skip
    yield family("last_line_timestamp_seconds", "When the last line read was written.",
                 each("line_us"))  # fmt: skip
    yield family("last_read_timestamp_seconds", "When the last line was read.", each("read_us"))
    yield family("lag_seconds", "How late the last line was read, or while catching up the next.",
                 {name: log.lag_s(started, now) for name, log in logs.items()})  # fmt: skip
    yield family("caught_up", "Whether nothing was left to read at the last look.",
                 {name: float(log.caught_up) for name, log in logs.items()})  # fmt: skip


def _seconds(us: int | None) -> float | None:
    return us / 1e6 if us else None


def _of_sinks(found: Figures) -> Iterator[Family]:
    def family(name: str, told: str, value: dict[str, float]) -> Family:
        return Family(name, told, ("sink",), [((sink,), at) for sink, at in value.items()])

    sinks = found.kept.deliveries
    yield family("sink_waiting_events", "Events recorded that the sink has not got.",
                 {each.sink: each.backlog for each in sinks})  # fmt: skip
    yield family("sink_oldest_waiting_seconds", "For how long the oldest of them has waited.",
                 {each.sink: _age_s(each.oldest_us, found.now_us) for each in sinks})  # fmt: skip
    yield family("sink_delivered_events_total", "Events the sink has got.",
                 {each.sink: each.delivered for each in sinks})  # fmt: skip
    yield family("sink_retries_total", "Deliveries that came to nothing and were tried again.",
                 {each.sink: each.retries for each in sinks})  # fmt: skip
    yield family("sink_parked_events", "Events set aside that the sink refused for good.",
                 {each.sink: each.parked for each in sinks})  # fmt: skip


def _age_s(since_us: int | None, now_us: int) -> float:
    return 0.0 if since_us is None else max(0, now_us - since_us) / 1e6
