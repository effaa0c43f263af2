"""For inside a user's session in the full guest: a notification server that shows nothing.

On stdout the title of each note that comes over the session's bus, a line each.
"""

from __future__ import annotations

import os
import time

from tests.screen.heard import Monitor, Plain


def main() -> None:
    """Serve until killed."""
    bus = os.environ["DBUS_SESSION_BUS_ADDRESS"]
    monitor, _server = Monitor(bus), Plain(bus)
    while True:
        while monitor.calls:
            print(monitor.calls.pop(0).title, flush=True)
        time.sleep(0.2)


if __name__ == "__main__":
    main()
