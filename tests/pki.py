"""Certificates for loopback, made anew: a CA, a server's, a client's, and a stranger's."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Pki:
    """PEM files in a folder; `client` and `stranger` hold key and certificate together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca, other = trustme.CA(), trustme.CA()
        server = self._ca.issue_cert("127.0.0.1", "localhost")
        self.ca = self._file("ca.pem", self._ca.cert_pem)
        self.server = self._file("server.pem", *server.cert_chain_pems)
        self.server_key = self._file("server.key", server.private_key_pem)
        self.client = self._client("client.pem", self._ca)
        self.stranger = self._client("stranger.pem", other)

    def server_context(self, name: str = "127.0.0.1") -> ssl.SSLContext:
        """A server's TLS that can also judge our clients."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(name).configure_cert(context)
        self._ca.configure_trust(context)
        return context

    def _client(self, name: str, authority: trustme.CA) -> str:
        return self._file(
            name, authority.issue_cert("watcher.example").private_key_and_cert_chain_pem
        )

    def _file(self, name: str, *parts: trustme.Blob) -> str:
        file = self._folder / name
        file.write_bytes(b"".join(part.bytes() for part in parts))
        return str(file)
