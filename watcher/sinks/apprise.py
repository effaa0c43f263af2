"""Mail, chat and phone, through apprise: one message for each batch, to every address of a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from watcher.encodings import Event
from watcher.errors import UsageError
from watcher.kinds import SEVERITIES, Severity
from watcher.lockdown.tried import sentence
from watcher.sinks.encoded import deliver_encoded
from watcher.sinks.network import Credential, CredentialFile, reason_of
from watcher.sinks.plain import plain
from watcher.sinks.sink import Delivered, Parcel, Retry, SinkOptions, Verdict

LISTED: Final = 20
"""Events that a message about many names; the rest is counted."""
LONGEST: Final = 600
_TYPES: Final = {"critical": "failure", "high": "failure", "medium": "warning"}


class Options(SinkOptions):
    """Messages to people: each address in `urls_file` gets what is new, folded."""

    kind: Literal["apprise"]
    urls_file: CredentialFile = Field(
        description="a file or systemd credential with apprise's URLs, one a line"
    )
    min_severity: Severity = Field(default="medium", description="this and graver ones")
    fold_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        default=3600, description="repeats are counted and told of once in so many seconds"
    )


def open_sink(options: Options) -> AppriseSink:
    """Open the sink; nothing is sent yet. Raises UsageError for what is missing."""
    return AppriseSink(options)


class AppriseSink:
    """Sends a batch as one message; what one address has got does not go there again."""

    def __init__(self, options: Options) -> None:
        self._name = options.name or options.kind
        self._urls = Credential(options.urls_file, lines=True)
        self._got: dict[str, set[str]] = {}
        self._receivers(self._urls.lines())

    def deliver(self, batch: Sequence[Parcel]) -> list[Verdict]:
        """Send the batch; it is delivered once every address has it."""
        return deliver_encoded(batch, _checked, self._send)

    def close(self) -> None:
        """Nothing is held open."""

    def _send(self, batch: Sequence[Parcel], _events: Sequence[Event]) -> list[Verdict]:
        try:
            receivers = self._receivers(self._urls.lines())
        except (OSError, UsageError) as error:
            return [Retry(reason_of(error))] * len(batch)
        failed = [
            f"{number} ({receiver[0].service_name})"
            for number, (url, receiver) in enumerate(receivers.items(), 1)
            if not self._sent(url, receiver, batch)
        ]
        if failed:
            said = f"address {', '.join(failed)} took nothing; apprise -vv tells why"
            return [Retry(said)] * len(batch)
        self._got.clear()
        return [Delivered()] * len(batch)

    def _sent(self, url: str, receiver: Any, batch: Sequence[Parcel]) -> bool:
        got = self._got.setdefault(url, set())
        events = [parcel.event for parcel in batch if parcel.id not in got]
        if events and not receiver.notify(**message(events)):
            return False
        got.update(parcel.id for parcel in batch)
        return True

    def _receivers(self, urls: Sequence[str]) -> dict[str, Any]:
        """Give what sends to each URL, none of which is ever quoted: they hold passwords."""
        try:
            import apprise
        except ImportError:
            raise UsageError(
                f"sink {self._name}: needs apprise: pip install 'lockdown-watcher[apprise]'"
            ) from None
        asset = apprise.AppriseAsset(
            app_id="lockdown-watcher", app_desc="lockdown-watcher", app_url="",
            image_url_mask="", image_url_logo="", async_mode=False, secure_logging=True,
        )  # fmt: skip
        made: dict[str, Any] = {}
        for number, url in enumerate(urls, 1):
            receiver = apprise.Apprise(asset=asset)
            if not receiver.add(url):
                raise UsageError(f"urls_file: URL {number} is none that apprise knows")
            made[url] = receiver
        return made


def _checked(event: Event) -> Event:
    """Refuse what is no event."""
    message([event])
    return event


# --- what people read


def message(events: Sequence[Event]) -> dict[str, str]:
    """Give title, body and type of a message about events (schema 1, as data), at least one."""
    gravest = max((event["severity"] for event in events), key=SEVERITIES.index)
    host = safe(events[0]["host"]["name"] or "this machine")
    if len(events) == 1:
        title, body = headline(events[0]), _whole(events[0])
    else:
        title = f"Kernel lockdown: {len(events):,} messages"
        chief = sorted(events, key=lambda each: -SEVERITIES.index(each["severity"]))[:LISTED]
        more = len(events) - len(chief)
        body = "\n".join([*map(headline, chief), *([f"and {more:,} more"] if more else [])])
    kind = _TYPES.get(gravest, "info")
    return {"title": f"{host}: {title}", "body": body, "notify_type": kind, "body_format": "text"}


def headline(event: Event) -> str:
    """Say in one line what happened, to whom and how often."""
    comm = event["process"]["comm"]
    said = sentence(event["kind"], event["lockdown"]["reason"], comm and safe(comm))
    title = said or safe(event["title"]) + (f" ({safe(comm)})" if comm else "")
    folded = event["lockdown"]["suppressed"]
    return f"{title} ({folded:,} times)" if said and folded else title


def _whole(event: Event) -> str:
    when = event["time"] or event["observed"]
    return f"{plain(event['advice'])}\n\n{when}  {safe(event['message'])}\nid {event['id']}"


def safe(text: str) -> str:
    """Make what an attacker may have written harmless in chat, mail and on a phone.

    No mark-up, no mention of anybody, no link: anybody can have a line logged that reads well.
    """
    text = plain(text)
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return re.sub(r"[@<>`*_~|\[\]#&]|:(?=//)|(?<=\w)\.(?=\w)", _escape, short)


def _escape(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"
