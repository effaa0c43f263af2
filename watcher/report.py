"""A report to attach to a bug, and two of them side by side: "works for me" answered.

A report is plain data. It holds no secret: of the command line only known parameters are kept,
of the log only the kernel's own lines about lockdown; names of the host are left out on demand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from watcher import __version__
from watcher.boots import Boot
from watcher.errors import UsageError
from watcher.event import rfc3339
from watcher.host import now_us, this_host
from watcher.pages.boot_table import boot_object
from watcher.pages.status_page import status_object
from watcher.posture import Posture

FORMAT: Final = 1
MOST_BOOTS: Final = 60
MOST_LINES: Final = 60
MOST_BYTES: Final = 16 << 20
"""Bytes of a report that is read; ours are a thousandth of it."""

Report = dict[str, Any]


def report(posture: Posture, boots: Sequence[Boot], unseen: str | None, *, named: bool) -> Report:
    """Gather a report; `named`: with the host's name and ids. `unseen`: why there are no boots."""
    host = this_host()
    rows = [boot_object(each) for each in boots[-MOST_BOOTS:]]
    return {
        "report": FORMAT,
        "program": __version__,
        "made": rfc3339(now_us()),
        "host": {"name": host.name, "machine_id": host.machine_id} if named else None,
        "status": status_object(posture),
        "boots": [row if named else row | {"boot_id": None} for row in rows],
        "boots_unseen": unseen,
        "lines": [
            {"time": rfc3339(each.time_us), "reason": each.reason, "comm": each.comm,
             "line": each.text}
            for each in list(posture.log.denials)[-MOST_LINES:]
        ],
    }  # fmt: skip


# --- reading one again


def load(file: str) -> Report:
    """Read a report in any of its formats. Raises UsageError if it is none, OSError."""
    with Path(file).open("rb") as opened:
        text = opened.read(MOST_BYTES).decode(errors="replace")
    for part in _json_in(text):
        try:
            found = json.loads(part)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found.get("report") == FORMAT and _sound(found):
            return found
    raise UsageError(f"{file} is no report of lockdown-watcher (of format {FORMAT})")


def _json_in(text: str) -> Iterator[str]:
    yield text
    for pattern in (
        r'(?s)<script type="application/json"[^>]*>(.*?)</script>',
        r"(?s)```json\n(.*?)\n```",
    ):
        if found := re.search(pattern, text):
            yield found[1]


def _sound(found: Report) -> bool:
    status = found.get("status")
    parts = ("settings", "process")
    return isinstance(status, dict) and all(isinstance(status.get(p, {}), dict) for p in parts)


def embedded(made: Report) -> str:
    """Give a report as JSON that may stand in a page: nothing in it can end the script element."""
    return json.dumps(made).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# --- two of them


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs and matters; `means` says what for."""

    id: str
    title: str
    a: str
    b: str
    means: str = ""


def differences(a: Report, b: Report) -> list[Difference]:
    """Give what differs and matters, the likely reason first."""
    found = []
    for row in _ROWS:
        one, other = row.read(a["status"]), row.read(b["status"])
        if one != other:
            means = row.means if isinstance(row.means, str) else row.means(one, other)
            found.append(Difference(row.id, row.title, _words(one), _words(other), means))
    return found


def _words(value: Any) -> str:
    if value is None:
        return "not seen"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return " ".join(f"{k}={v}" if v else str(k) for k, v in value.items()) or "none"
    return str(value)


Means = Callable[[Any, Any], str]


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    title: str
    read: Callable[[Report], Any]
    means: str | Means = ""


def _top(name: str) -> Callable[[Report], Any]:
    return lambda status: status.get(name)


def _in(part: str, name: str) -> Callable[[Report], Any]:
    return lambda status: status.get(part, {}).get(name)


def _ids(name: str) -> Callable[[Report], Any]:
    def read(status: Report) -> list[str]:
        rows = status.get(name)
        return (
            [str(r.get("id")) for r in rows if isinstance(r, dict)]
            if isinstance(rows, list)
            else []
        )

    return read


def _blocked_means(one: Any, other: Any) -> str:
    sides = [set(map(str, side)) if isinstance(side, list) else set() for side in (one, other)]
    only = [", ".join(sorted(sides[at] - sides[1 - at])) for at in (0, 1)]
    said = [f"only {name} refuses {what}" for name, what in zip("AB", only, strict=True) if what]
    return "; ".join(said)


_VERSIONS: Final = (
    ((5, 4), "from 5.4 on lockdown has levels, and integrity mode lets BPF be"),
    ((5, 8), "from 5.8 on CAP_BPF and CAP_PERFMON do for what took CAP_SYS_ADMIN"),
    ((5, 11), "from 5.11 on BPF memory does not count against RLIMIT_MEMLOCK"),
    ((5, 13), "from 5.13 on confidentiality refuses BPF helpers when a program is loaded (EINVAL)"),
    ((6, 1), "from 6.1 on the kernel logs at most ten denials in 5 s"),
)


def _kernel_means(one: Any, other: Any) -> str:
    from watcher.posture.kernel import version_of

    versions = sorted(version_of(str(each)) for each in (one, other))
    return "; ".join(words for since, words in _VERSIONS if versions[0] < since <= versions[1])


_WHO: Final = "the program may do more on one side"
_ROWS: Final = (
    _Row("level", "lockdown level", _top("level"), "this alone decides what root may do"),
    _Row("blocked", "what the kernel refuses", _top("blocked"), _blocked_means),
    _Row("cause", "locked down by", _top("cause")),
    _Row("secure_boot", "Secure Boot", _top("secure_boot"), "most kernels lock down under it"),
    _Row("shim_validation", "shim validates", _top("shim_validation"),
         "where it does not, the kernel takes Secure Boot for off"),
    _Row("setup_mode", "firmware in setup mode", _top("setup_mode")),
    _Row("contradictions", "contradictions", _ids("contradictions")),
    _Row("user_namespace", "in a user name space", _in("process", "user_namespace"),
         "root in one is nobody to bpf(), modules and kexec"),
    _Row("capabilities", "capabilities of who asked", _in("process", "capabilities"), _WHO),
    _Row("seccomp", "seccomp", _in("process", "seccomp"), "a filter may answer EPERM"),
    _Row("container", "container", _in("process", "container")),
    _Row("memlock", "RLIMIT_MEMLOCK (bytes)", _in("process", "memlock"),
         "counts for BPF before 5.11"),
    _Row("sig_enforce", "module.sig_enforce", _in("settings", "sig_enforce")),
    _Row("modules_disabled", "kernel.modules_disabled", _in("settings", "modules_disabled")),
    _Row("kexec_load_disabled", "kernel.kexec_load_disabled",
         _in("settings", "kexec_load_disabled")),
    _Row("unprivileged_bpf_disabled", "kernel.unprivileged_bpf_disabled",
         _in("settings", "unprivileged_bpf_disabled")),
    _Row("perf_event_paranoid", "kernel.perf_event_paranoid",
         _in("settings", "perf_event_paranoid")),
    _Row("msr_allow_writes", "msr.allow_writes", _in("settings", "msr_allow_writes")),
    _Row("selinux", "SELinux", _in("settings", "selinux")),
    _Row("swap", "swap on a disk", _in("settings", "swap")),
    _Row("command_line", "command line (known parameters)", _top("command_line")),
    _Row("kernel", "kernel", _top("kernel"), _kernel_means),
    _Row("lsm", "security modules", _top("lsm")),
    _Row("distribution", "distribution", _top("distribution")),
)  # fmt: skip
"""What is compared, the likely reasons first."""
