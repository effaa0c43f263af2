"""A log record as read, whatever the source, and a gap where records were lost.

Both are plain data. Sources make them, the middle reads them; neither knows the other.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Trust = Literal["kernel", "injected", "unverified"]
SourceName = Literal["journal", "kmsg", "text", "posture", "watcher"]


class Host(NamedTuple):
    """The machine and boot a line comes from; whatever its frame does not tell is None."""

    name: str | None = None
    machine_id: str | None = None
    boot_id: str | None = None


class Place(NamedTuple):
    """Where a record was read, so that it can be found again.

    `seq` is the kernel's sequence number (/dev/kmsg), `line` counts from 1.
    """

    source: SourceName
    cursor: str | None = None
    seq: int | None = None
    file: str | None = None
    line: int | None = None


class Record(NamedTuple):
    """One log record with its provenance.

    `text` is the line as the kernel (or a forger) wrote it, escapes undone, put together again
    where journald took it apart. `fields` are journald's names and values, which rules see.
    Times are microseconds: `time_us` since the Epoch (None: the frame has no date), its error
    `time_error_us`, and `monotonic_us` the kernel's own clock since boot.
    """

    text: str
    place: Place
    trust: Trust
    fields: Mapping[str, str]
    host: Host
    observed_us: int
    time_us: int | None = None
    time_error_us: int = 0
    monotonic_us: int | None = None
    warnings: tuple[str, ...] = ()


class Gap(NamedTuple):
    """A stretch in which lines may have been lost; `count` is None where nobody can know it.

    `from_us` and `to_us` are Epoch microseconds of the last line before and the first after.
    """

    cause: str
    count: int | None  # type: ignore[assignment]  # a tuple has a method of that name
    place: Place
    host: Host
    observed_us: int
    detail: str
    from_us: int | None = None
    to_us: int | None = None
    warnings: tuple[str, ...] = ()
