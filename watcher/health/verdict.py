"""Is the kernel log really seen? Each check says what it found, or what is missing. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watcher.delivery.store import Delivery
from watcher.health.canary import GRACE_S, CanaryVitals
from watcher.health.vitals import Vitals

BACKLOG_S: Final = 3600.0
"""A sink that has not got an event for so long is in trouble."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold."""

    id: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Now:
    """What there is to judge. `state`: the daemon's, a letter of proc(5); `clock_s`: monotonic."""

    vitals: Vitals | None
    pid: int | None
    state: str | None
    boot_id: str | None
    clock_s: float
    now_us: int
    deliveries: tuple[Delivery, ...] = ()


def checks(now: Now) -> Iterator[Check]:
    """Give every check; without a daemon that tells, the rest cannot be known."""
    daemon = _daemon(now)
    yield daemon
    if daemon.ok and now.vitals:
        yield _kernel_log(now.vitals)
        yield _reading(now.vitals, now.now_us)
        yield _canary(now.vitals.canary, now.clock_s)
    yield from (_sink(each, now.now_us) for each in now.deliveries)


def within_s(vitals: Vitals | None) -> float | None:
    """Give after how many seconds at most `checks` tell of a journal or a daemon that fails."""
    canary = vitals.canary if vitals else None
    return canary.every_s + GRACE_S if canary else None


def _daemon(now: Now) -> Check:
    def fails(text: str) -> Check:
        return Check("daemon", ok=False, text=text)

    if now.pid is None:
        return fails("the daemon does not run, or this user may not know")
    if now.state in ("T", "t"):
        return fails(f"the daemon (pid {now.pid}) is stopped: kill -CONT {now.pid}")
    vitals = now.vitals
    if vitals is None or (vitals.pid, vitals.boot_id) != (now.pid, now.boot_id):
        return fails(f"the daemon (pid {now.pid}) has recorded nothing yet: it starts, or cannot")
    return Check("daemon", ok=True, text=f"the daemon runs (pid {now.pid})")


def _kernel_log(vitals: Vitals) -> Check:
    if vitals.kernel:
        return Check("kernel_log", ok=True, text=f"the daemon sees kernel lines in {vitals.kernel}")
    missing = "the daemon sees no kernel line: /dev/kmsg is not open to it, and the journal shows"
    return Check("kernel_log", ok=False, text=f"{missing} none of this boot")


def _reading(vitals: Vitals, now_us: int) -> Check:
    late = [
        f"reading {name} stands still"
        for name, log in vitals.logs.items()
        if not log.caught_up and now_us - log.read_us > GRACE_S * 1e6
    ]
    return Check("reading", ok=not late, text="; ".join(late) or "all that was logged is read")


def _canary(canary: CanaryVitals | None, clock_s: float) -> Check:
    if canary is None:
        text = "no canary: that the daemon is alive rests on systemd's watchdog alone"
        return Check("canary", ok=True, text=text)
    back = "no canary has come back yet"
    if canary.seen_s is not None:
        back = f"the last canary came back {clock_s - canary.seen_s:,.0f} s ago"
    if canary.trouble:
        return Check("canary", ok=False, text=f"the journal takes no entry: {canary.trouble}")
    if why := _overdue(canary, clock_s):
        return Check("canary", ok=False, text=f"{back}: {why}")
    return Check("canary", ok=True, text=back)


def _overdue(canary: CanaryVitals, clock_s: float) -> str | None:
    if canary.seen_s is None:
        return "nothing proves yet that what is logged is read"
    sent_s = canary.sent_s or 0.0
    is_lost = canary.seen_s < sent_s < clock_s - GRACE_S
    is_late = clock_s - canary.seen_s > canary.every_s + GRACE_S
    if not (is_lost or is_late):
        return None
    if canary.seen_s < sent_s:
        return "what is written to the journal no longer reaches the daemon"
    return "the daemon hangs, or cannot write its store"


def _sink(each: Delivery, now_us: int) -> Check:
    name = f"sink {each.sink}"
    waits_s = 0.0 if each.oldest_us is None else (now_us - each.oldest_us) / 1e6
    if waits_s > BACKLOG_S:
        why = f": {each.trouble}" if each.trouble else ""
        text = f"{name}: {each.backlog:,} events wait, the first for {waits_s / 3600:,.0f} h{why}"
        return Check("sink", ok=False, text=text)
    aside = f", {each.parked:,} were set aside" if each.parked else ""
    return Check("sink", ok=True, text=f"{name}: {each.backlog:,} events wait{aside}")
