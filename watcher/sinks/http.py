"""Any receiver that takes a POST: a batch as NDJSON or as one JSON array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import Field

from watcher.encodings import DocumentEncoding, Event, line
from watcher.sinks.encoded import deliver_encoded
from watcher.sinks.http_client import HttpClient, HttpOptions
from watcher.sinks.network import Credential, CredentialFile, reason_of
from watcher.sinks.sink import Parcel, Retry, Sink, Verdict

_TYPES: Final = {"ndjson": "application/x-ndjson", "array": "application/json"}


class Options(HttpOptions):
    """A receiver of HTTP POST; all of a batch is in one request."""

    kind: Literal["http"]
    encoding: DocumentEncoding = Field(default="native", description="native, ecs or ocsf")
    format: Literal["ndjson", "array"] = Field(
        default="ndjson", description="ndjson: one object a line; array: one JSON array"
    )
    token_file: CredentialFile | None = Field(
        default=None, description="a file or systemd credential with the token"
    )
    token_scheme: str = Field(
        default="Bearer", pattern=r"^[!-~]*$", description="the word before the token"
    )


def open_sink(options: Options) -> Sink:
    """Open the sink; nothing is sent yet. Raises UsageError for what is missing."""
    return _Http(options)


class _Http:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._client = HttpClient(options, {"Content-Type": _TYPES[options.format]})
        self._token = Credential(options.token_file) if options.token_file else None

    def deliver(self, batch: Sequence[Parcel]) -> list[Verdict]:
        return deliver_encoded(batch, self._line, self._send)

    def _send(self, batch: Sequence[Parcel], lines: Sequence[str]) -> list[Verdict]:
        try:
            headers = self._authorization()
        except OSError as error:
            return [Retry(reason_of(error))] * len(batch)
        body = self._body(lines)
        answer = self._client.post(self._options.url, body, headers, self._client.deadline())
        return [answer if isinstance(answer, Retry) else answer.verdict()] * len(batch)

    def close(self) -> None:
        self._client.close()

    def _authorization(self) -> dict[str, str]:
        if self._token is None:
            return {}
        return {"Authorization": f"{self._options.token_scheme} {self._token.read()}".lstrip()}

    def _line(self, event: Event) -> str:
        return line(self._options.encoding, event)

    def _body(self, lines: Sequence[str]) -> bytes:
        if self._options.format == "ndjson":
            return "".join(f"{text}\n" for text in lines).encode()
        return f"[{','.join(lines)}]".encode()
