"""A syslog receiver over TLS, for inside the full guest: what it gets is appended to a file as is.

receiver.py PORT CERTIFICATE KEY FILE. A thread for each client, for one whose network is taken
away says no goodbye.
"""

from __future__ import annotations

import socketserver
import ssl
import sys
from pathlib import Path


def main() -> None:
    """Receive until killed."""
    port, certificate, key, file = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Client(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                context.wrap_socket(self.request, server_side=True) as secured,
                Path(file).open("ab", buffering=0) as got,
            ):
                while data := secured.recv(65_536):
                    got.write(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", int(port)), Client) as server:
        server.daemon_threads = True
        server.serve_forever()


if __name__ == "__main__":
    main()
