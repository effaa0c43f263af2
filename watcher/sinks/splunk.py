"""Splunk's HTTP Event Collector (HEC), with indexer acknowledgement where the token has it.

Without acknowledgement a 200 means that the events look valid; with it a batch is delivered when
the indexers have it, and what is not acknowledged in time is sent again.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from watcher.encodings import Encoding, Event, document, json_text, line
from watcher.encodings.common import epoch_us, moment
from watcher.sinks.encoded import deliver_encoded
from watcher.sinks.http_client import Answer, BaseUrl, HttpClient, HttpOptions
from watcher.sinks.network import Credential, CredentialFile, Deadline, reason_of
from watcher.sinks.sink import Delivered, Parcel, Refused, Retry, Sink, Verdict

_COLLECTOR: Final = "/services/collector"
_FIRST_LOOK_S: Final = 0.05
_SLOWEST_LOOK_S: Final = 2.0
_NOT_THE_EVENT: Final = {
    1: "the token is switched off",
    7: "the token may not write to this index",
    10: "the token wants a channel",
    11: "the channel is not valid",
    14: "acknowledgement is off for this token",
}
"""HEC codes that come as 4xx and tell of the token, not of the event."""


class Options(HttpOptions):
    """An HTTP Event Collector: its address, its token and what its events are called there."""

    kind: Literal["splunk"]
    url: BaseUrl = Field(description="where to: http://HOST[:PORT][/PATH] or https://...")
    timeout_s: Annotated[float, Field(gt=0, le=600)] = Field(
        default=30.0, description="seconds for one delivery, acknowledgement included"
    )
    token_file: CredentialFile = Field(
        description="a file or systemd credential with the HEC token"
    )
    encoding: Encoding = Field(default="native", description="native, ecs, ocsf or cef")
    index: str | None = Field(default=None, description="the index; by default the token's")
    source: str = Field(default="lockdown-watcher", description="Splunk's source")
    sourcetype: str = Field(default="lockdown:event", description="Splunk's sourcetype")


def open_sink(options: Options) -> Sink:
    """Open the sink; nothing is sent yet. Raises UsageError for what is missing."""
    return _Splunk(options)


class _Splunk:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._base = options.url.rstrip("/").removesuffix(_COLLECTOR) + _COLLECTOR
        self._channel = str(uuid.uuid4())
        self._client = HttpClient(options, {"Content-Type": "application/json"})
        self._token = Credential(options.token_file)
        self._unsure: tuple[list[str], int] | None = None  # ids taken, but not acknowledged

    def deliver(self, batch: Sequence[Parcel]) -> list[Verdict]:
        deadline = self._client.deadline()
        known = self._known_by_now(batch, deadline)
        return [Delivered()] * known + deliver_encoded(
            batch[known:],
            self._envelope,
            lambda parcels, envelopes: self._send(parcels, envelopes, deadline),
        )

    def close(self) -> None:
        self._client.close()

    def _known_by_now(self, batch: Sequence[Parcel], deadline: Deadline) -> int:
        """Ask about what was taken last time; give how many of this batch are indexed since."""
        ids, ack = self._unsure or ([], 0)
        self._unsure = None
        same = bool(ids) and ids == [parcel.id for parcel in batch[: len(ids)]]
        return len(ids) if same and self._known(ack, deadline) else 0

    def _send(
        self, batch: Sequence[Parcel], envelopes: Sequence[str], deadline: Deadline
    ) -> list[Verdict]:
        answer = self._post("/event", "".join(envelopes).encode(), deadline)
        if isinstance(answer, Retry):
            return [answer] * len(batch)
        ack = _ack_id(answer)
        if ack is None:
            return [_verdict(answer)] * len(batch)
        self._unsure = ([parcel.id for parcel in batch], ack)
        return [self._acknowledged(ack, deadline)] * len(batch)

    def _post(self, path: str, body: bytes, deadline: Deadline) -> Answer | Retry:
        try:
            headers = {
                "Authorization": f"Splunk {self._token.read()}",
                "X-Splunk-Request-Channel": self._channel,
            }
        except OSError as error:
            return Retry(reason_of(error))
        return self._client.post(f"{self._base}{path}", body, headers, deadline)

    def _envelope(self, event: Event) -> str:
        encoding, host = self._options.encoding, event["host"]["name"]
        envelope = {
            "time": epoch_us(moment(event)[0]) / 1_000_000,
            "source": self._options.source,
            "sourcetype": self._options.sourcetype,
            "event": line(encoding, event) if encoding == "cef" else document(encoding, event),
        }
        envelope |= {"host": host} if host else {}
        envelope |= {"index": self._options.index} if self._options.index else {}
        return json_text(envelope)

    def _acknowledged(self, ack: int, deadline: Deadline) -> Verdict:
        """Ask until the indexers have it or the time is over, more slowly each time."""
        pause = _FIRST_LOOK_S
        while not deadline.over:
            if self._known(ack, deadline):
                self._unsure = None
                return Delivered()
            deadline.pause(pause)
            pause = min(2 * pause, _SLOWEST_LOOK_S)
        return Retry(f"taken, but not acknowledged within {self._options.timeout_s:g} s")

    def _known(self, ack: int, deadline: Deadline) -> bool:
        path = f"/ack?channel={self._channel}"
        answer = self._post(path, json_text({"acks": [ack]}).encode(), deadline)
        said = None if isinstance(answer, Retry) else answer.json()
        acks = said.get("acks") if isinstance(said, dict) else None
        return isinstance(acks, dict) and acks.get(str(ack)) is True


def _ack_id(answer: Answer) -> int | None:
    said = answer.json()
    ack = said.get("ackId") if isinstance(said, dict) else None
    return ack if isinstance(answer.verdict(), Delivered) and isinstance(ack, int) else None


def _verdict(answer: Answer) -> Verdict:
    """One verdict for all: where one event is bad, HEC does not say how many others it took.

    Refused, each is then tried alone; an event twice (its id tells) is better than none.
    """
    verdict, said = answer.verdict(), answer.json()
    if isinstance(verdict, Refused) and isinstance(said, dict) and (why := _reason(said)):
        return Retry(f"{verdict.reason}; {why}")
    return verdict


def _reason(said: dict[str, Any]) -> str | None:
    code = said.get("code")
    return _NOT_THE_EVENT.get(code) if isinstance(code, int) else None
