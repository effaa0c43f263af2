"""What one line says: the answer of the catalogue."""

from typing import Final, NamedTuple

from watcher.kinds import Kind
from watcher.lockdown.causes import CauseId
from watcher.lockdown.lines import SecureBootState
from watcher.lockdown.reasons import Level

CUT: Final = "the line was cut on its way; what is missing was not guessed"
_COMM_BYTES: Final = 15


class Finding(NamedTuple):
    """What one line says. Absent facts are None; an empty process name is "".

    `title`, `meaning` and `instead` are for people: what happened, what it blocks, the ways on.

    """

    kind: Kind
    row: str
    title: str
    meaning: str
    instead: str
    reason: str | None = None
    text: str | None = None
    cause: CauseId | None = None
    level: Level | None = None
    lineage: str | None = None
    suppressed: int | None = None
    comm: str | None = None
    pid: int | None = None
    module: str | None = None
    secure_boot: SecureBootState | None = None
    since: str | None = None
    until: str | None = None
    read: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def advice(self) -> str:
        """One paragraph: what was refused, by what, and the safe ways on."""
        return f"{self.meaning} {self.instead}".strip()


def comm_warnings(comm: str | None) -> tuple[str, ...]:
    """Say what is odd about a process name: whoever runs a program chooses it."""
    if comm is None:
        return ()
    warnings = []
    if not comm.isprintable() or ": " in comm:
        warnings.append("the process chose a name that could mislead a reader of the log")
    if len(comm.encode(errors="surrogatepass")) > _COMM_BYTES and "\\x" not in comm:
        warnings.append("the process name is longer than the kernel's 15 bytes")
    return tuple(warnings)
