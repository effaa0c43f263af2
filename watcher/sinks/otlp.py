"""OpenTelemetry: logs over OTLP/HTTP in JSON, to a Collector or whatever speaks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from watcher.encodings.otlp import LogRecord, record, request
from watcher.sinks.encoded import deliver_encoded
from watcher.sinks.http_client import Answer, BaseUrl, HttpClient, HttpOptions, quoted
from watcher.sinks.network import Credential, CredentialFile, reason_of
from watcher.sinks.sink import Delivered, Parcel, Refused, Retry, Sink, Verdict


class Options(HttpOptions):
    """A receiver of OTLP/HTTP; /v1/logs is added to a url without a path."""

    kind: Literal["otlp"]
    url: BaseUrl = Field(description="where to: http://HOST[:PORT][/PATH] or https://...")
    token_file: CredentialFile | None = Field(
        default=None, description="a file or systemd credential with the bearer token"
    )


def open_sink(options: Options) -> Sink:
    """Open the sink; nothing is sent yet. Raises UsageError for what is missing."""
    return _Otlp(options)


class _Otlp:
    def __init__(self, options: Options) -> None:
        path = urlsplit(options.url).path
        self._url = options.url if path.strip("/") else f"{options.url.rstrip('/')}/v1/logs"
        self._client = HttpClient(options, {"Content-Type": "application/json"})
        self._token = Credential(options.token_file) if options.token_file else None

    def deliver(self, batch: Sequence[Parcel]) -> list[Verdict]:
        return deliver_encoded(batch, record, self._send)

    def _send(self, batch: Sequence[Parcel], records: Sequence[LogRecord]) -> list[Verdict]:
        try:
            headers = {"Authorization": f"Bearer {self._token.read()}"} if self._token else {}
        except OSError as error:
            return [Retry(reason_of(error))] * len(batch)
        body = request(records).encode()
        answer = self._client.post(self._url, body, headers, self._client.deadline())
        return [answer if isinstance(answer, Retry) else _verdict(answer)] * len(batch)

    def close(self) -> None:
        self._client.close()


def _verdict(answer: Answer) -> Verdict:
    """A receiver that took a part does not say which: refused, so that each is tried alone."""
    verdict, said = answer.verdict(), answer.json()
    partial = said.get("partialSuccess") if isinstance(said, dict) else None
    if isinstance(verdict, Delivered) and isinstance(partial, dict):
        # An int64, which JSON may write as text.
        count = str(partial.get("rejectedLogRecords", 0))
        if count.isdecimal() and count.strip("0"):
            return Refused(quoted(f"rejected {count}: {partial.get('errorMessage', '')}"))
    return verdict
