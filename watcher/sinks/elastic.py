"""Elasticsearch and OpenSearch: `_bulk` with `create`, the document's id being the event's.

An event that is there already (409) counts as delivered: sent twice, it is stored once.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from watcher.encodings import DocumentEncoding, Event, json_text, line
from watcher.sinks.encoded import deliver_encoded
from watcher.sinks.http_client import Answer, BaseUrl, HttpClient, HttpOptions, quoted
from watcher.sinks.network import Credential, CredentialFile, reason_of
from watcher.sinks.sink import Delivered, Parcel, Refused, Retry, Sink, Verdict

_LONGEST_ITEM: Final = 4096
_FILTER: Final = "filter_path=errors,error,items.*.status,items.*.error"
_ALREADY_THERE: Final = 409
_NOT_THE_EVENT: Final = frozenset({401, 403, 404, 408, 429})
"""Of one item: no right to the index, no such index, too busy."""


class Options(HttpOptions):
    """A cluster's address and where events go in it."""

    kind: Literal["elastic"]
    url: BaseUrl = Field(description="where to: http://HOST[:PORT][/PATH] or https://...")
    encoding: DocumentEncoding = Field(default="ecs", description="ecs, native or ocsf")
    index: str = Field(
        default="logs-lockdown.events-default",
        pattern=r"^[^A-Z\s\\/*?\"<>|,#:_+.-][^A-Z\s\\/*?\"<>|,#:]{0,254}$",
        description="the index or data stream; native and ocsf have no @timestamp, so no stream",
    )
    api_key_file: CredentialFile | None = Field(
        default=None, description="a file or systemd credential with the encoded API key"
    )
    login_file: CredentialFile | None = Field(
        default=None, description="a file or systemd credential with USER:PASSWORD"
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> Options:
        if self.api_key_file and self.login_file:
            raise ValueError("api_key_file or login_file, not both")
        return self


def open_sink(options: Options) -> Sink:
    """Open the sink; nothing is sent yet. Raises UsageError for what is missing."""
    return _Elastic(options)


class _Elastic:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._url = f"{options.url.rstrip('/')}/_bulk?{_FILTER}"
        self._client = HttpClient(options, {"Content-Type": "application/x-ndjson"})
        file = options.api_key_file or options.login_file
        self._secret = Credential(file) if file else None

    def deliver(self, batch: Sequence[Parcel]) -> list[Verdict]:
        return deliver_encoded(batch, self._action, self._send)

    def _send(self, batch: Sequence[Parcel], actions: Sequence[str]) -> list[Verdict]:
        try:
            headers = self._authorization()
        except OSError as error:
            return [Retry(reason_of(error))] * len(batch)
        body = "".join(actions).encode()
        most = _LONGEST_ITEM * (len(batch) + 1)
        answer = self._client.post(self._url, body, headers, self._client.deadline(), most)
        if isinstance(answer, Retry):
            return [answer] * len(batch)
        return _verdicts(answer, len(batch))

    def close(self) -> None:
        self._client.close()

    def _authorization(self) -> dict[str, str]:
        if self._secret is None:
            return {}
        secret = self._secret.read()
        if self._options.api_key_file:
            return {"Authorization": f"ApiKey {secret}"}
        return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}

    def _action(self, event: Event) -> str:
        create = {"create": {"_index": self._options.index, "_id": event["id"]}}
        return f"{json_text(create)}\n{line(self._options.encoding, event)}\n"


def _verdicts(answer: Answer, sent: int) -> list[Verdict]:
    verdict = answer.verdict()
    if not isinstance(verdict, Delivered):
        return [verdict] * sent
    said = answer.json()
    said = said if isinstance(said, dict) else {}
    if said.get("errors") is False:
        return [Delivered()] * sent
    items = said.get("items")
    if not isinstance(items, list) or len(items) != sent:
        return [Retry(f"no bulk answer for {sent} events: {answer.quoted}")] * sent
    return [_of_item(item) for item in items]


def _of_item(item: Any) -> Verdict:
    result = item.get("create") if isinstance(item, dict) else None
    result = result if isinstance(result, dict) else {}
    status = result.get("status")
    if not isinstance(status, int):
        return Retry("an item of the bulk answer has no status")
    if status == _ALREADY_THERE or 200 <= status <= 299:  # noqa: PLR2004
        return Delivered()
    said = f"status {status}: {_why(result)}"
    return Refused(said) if _is_final(status) else Retry(said)


def _is_final(status: int) -> bool:
    return 400 <= status <= 499 and status not in _NOT_THE_EVENT  # noqa: PLR2004


def _why(result: dict[str, Any]) -> str:
    error = result.get("error")
    if not isinstance(error, dict):
        return quoted(str(error))
    return quoted(f"{error.get('type')}: {error.get('reason')}")
