"""One HTTP POST, bounded in time and size, and what its answer means.

httpcore2 does the protocol and is imported when a sink needs it. Redirects are not followed, the
environment is not looked at for proxies, and no answer is decompressed.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from watcher import __version__
from watcher.errors import UsageError
from watcher.sinks.network import (
    Credential,
    CredentialFile,
    Deadline,
    NetworkOptions,
    address_parts,
    reason_of,
    tls_context,
)
from watcher.sinks.plain import plain
from watcher.sinks.sink import Delivered, Refused, Retry, Verdict

if TYPE_CHECKING:
    import httpcore2

LONGEST_ANSWER: Final = 65_536
"""Bytes of an answer that are read, if a sink does not want more."""

_QUOTED: Final = 300
_LONGEST_WAIT_S: Final = 31_536_000.0
"""A year: only so that it is a number. How long is really waited the forwarder says."""

_SHORTEST_SECRET: Final = 8
_NOT_THE_EVENT: Final = {
    401: "the credentials are missing, wrong or expired",
    402: "the account there is not paid for",
    403: "these credentials may not do this",
    404: "there is nothing at this address: look at url",
    405: "this address takes no POST: look at url",
    406: "it takes no such content: look at url and encoding",
    407: "the proxy wants credentials (proxy_login_file)",
    410: "what was at this address is gone: look at url",
    411: "something between here and there dropped the length",
    415: "it takes no such content: look at url and encoding",
    421: "another server answers at this address: look at url",
    426: "it wants another protocol: look at url",
    428: "it wants a condition: look at url",
    431: "the token is too long for it",
    451: "it may not take this",
}
"""4xx that tell of us, not of the event: with these nothing may be set aside."""


def _address(url: str) -> str:
    parts = address_parts(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be http://HOST... or https://HOST...")
    if not all("!" <= char <= "~" for char in url):
        raise ValueError("must be ASCII without spaces: write %XX, and xn-- for a host")
    if "#" in url:
        raise ValueError("must not hold a #, which no receiver ever sees: write %23")
    return url


def _without_query(url: str) -> str:
    if "?" in url:
        raise ValueError("must not hold a query: a path is put behind it")
    return url


HttpUrl = Annotated[str, AfterValidator(_address)]
BaseUrl = Annotated[HttpUrl, AfterValidator(_without_query)]
"""An address that a sink puts a path of its own behind."""


class HttpOptions(NetworkOptions):
    """What every sink that speaks HTTP is told."""

    url: HttpUrl = Field(description="where to: http://HOST[:PORT][/PATH] or https://...")
    proxy: HttpUrl | None = Field(
        default=None,
        description="an HTTP proxy to go through; proxies in the environment are not used",
    )
    proxy_login_file: CredentialFile | None = Field(
        default=None, description="a file or systemd credential with USER:PASSWORD for the proxy"
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said: status, headers in lower case, the first bytes of the body."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool

    def json(self) -> Any:
        """Give the body as data; None if it is no JSON or was too long to be read whole."""
        try:
            return json.loads(self.body) if self.whole else None
        except (ValueError, RecursionError):
            return None

    @property
    def after_s(self) -> float | None:
        """Give how long the receiver asks to be left alone (Retry-After), in seconds."""
        return _retry_after(self.headers.get("retry-after", ""))

    @property
    def quoted(self) -> str:
        """Give the beginning of the body, harmless, for a reason."""
        return quoted(self.body.decode("utf-8", "replace"))

    def verdict(self) -> Verdict:
        """Give what the status alone says of all that was sent."""
        if 200 <= self.status <= 299:  # noqa: PLR2004 - HTTP's own number
            return Delivered()
        said = f"HTTP {self.status}" + (f", {self.quoted}" if self.quoted else "")
        if self.status in _NOT_THE_EVENT:
            return Retry(f"{said}; {_NOT_THE_EVENT[self.status]}", self.after_s)
        if 300 <= self.status <= 399:  # noqa: PLR2004
            # Without its query: a receiver may give back the token of an address there.
            where = quoted(self.headers.get("location", "nowhere").partition("?")[0])
            return Retry(f"HTTP {self.status} to {where}: not followed, correct url", self.after_s)
        if self.status in {408, 425, 429} or not 400 <= self.status <= 499:  # noqa: PLR2004
            return Retry(said, self.after_s)
        return Refused(said)


def quoted(text: str) -> str:
    """Give the beginning of what a stranger wrote, on one harmless line."""
    short = " ".join(text[: 2 * _QUOTED].split())
    return plain(short[:_QUOTED])


def _retry_after(value: str) -> float | None:
    try:
        seconds = float(value) if value[:1].isdigit() else _seconds_until(value)
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT_S)


def _seconds_until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()


class HttpClient:
    """Posts to one receiver over a connection that is kept. Not for two threads at once."""

    def __init__(self, options: HttpOptions, headers: dict[str, str]) -> None:
        """Raises UsageError if the library or a file is missing."""
        try:
            import httpcore2
        except ImportError:
            raise UsageError(
                f"sink {options.name or options.kind}: needs httpcore2:"
                " pip install 'lockdown-watcher[siem]'"
            ) from None
        from watcher.sinks.http_deadline import DeadlineBackend

        self._errors = (
            httpcore2.NetworkError,
            httpcore2.TimeoutException,
            httpcore2.ProtocolError,
            httpcore2.ProxyError,
            httpcore2.UnsupportedProtocol,
            OSError,
        )
        self._backend = DeadlineBackend()
        self._timeout_s = options.timeout_s
        self._in_url = re.split(r"[/?&=]", urlsplit(options.url)._replace(netloc="").geturl())
        self._headers = {"User-Agent": f"lockdown-watcher/{__version__}"} | headers
        self._pool = httpcore2.ConnectionPool(
            ssl_context=tls_context(options),
            proxy=_proxy(options),
            max_connections=1,
            network_backend=self._backend,
        )

    def deadline(self) -> Deadline:
        """Give the deadline of a delivery that begins now."""
        return Deadline(self._timeout_s)

    def post(
        self,
        url: str,
        body: bytes,
        headers: dict[str, str],
        deadline: Deadline,
        most: int = LONGEST_ANSWER,
    ) -> Answer | Retry:
        """Post once; give the answer with `most` bytes of its body, or why there is none.

        Secrets of ours that the receiver says again are blanked: answers are quoted in the log.
        """
        self._backend.deadline = deadline
        try:
            with self._pool.stream(
                "POST",
                url,
                headers=list((self._headers | headers).items()),
                content=body,
                extensions={"timeout": {"pool": deadline.left()}},
            ) as response:
                return _blanked(_answer(response, most), [*self._in_url, *_sent(headers)])
        except self._errors as error:
            return Retry(f"{_place(url)}: {_cause(error)}")

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()


def _proxy(options: HttpOptions) -> httpcore2.Proxy | None:
    import httpcore2

    if options.proxy is None:
        return None
    if options.proxy_login_file is None:
        return httpcore2.Proxy(options.proxy)
    user, _, password = Credential(options.proxy_login_file).read().partition(":")
    return httpcore2.Proxy(options.proxy, auth=(user, password))


def _answer(response: httpcore2.Response, most: int) -> Answer:
    headers = {name.lower().decode(): value.decode("latin-1") for name, value in response.headers}
    body = bytearray()
    for chunk in response.iter_stream():
        body += chunk
        if len(body) > most:
            return Answer(response.status, headers, bytes(body[:most]), whole=False)
    return Answer(response.status, headers, bytes(body), whole=True)


def _sent(headers: dict[str, str]) -> list[str]:
    """Give the credentials in headers, with and without the word before them."""
    value = headers.get("Authorization", "")
    return [value, value.partition(" ")[2]]


def _blanked(answer: Answer, secrets: Iterable[str]) -> Answer:
    headers, body = dict(answer.headers), answer.body
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            body = body.replace(secret.encode(), b"***")
            headers = {name: value.replace(secret, "***") for name, value in headers.items()}
    return replace(answer, headers=headers, body=body)


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _cause(error: BaseException) -> str:
    """Say why; httpcore2's errors wrap the operating system's or OpenSSL's."""
    inner = error.__cause__ or error.__context__
    if "Timeout" in type(error).__name__:
        return "timed out"
    return reason_of(inner if isinstance(inner, OSError) else error)
