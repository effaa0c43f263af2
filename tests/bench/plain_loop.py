"""What one would write first: Reader's own loop, a match, and `in`. Usage: plain_loop.py DIR."""

from __future__ import annotations

import sys

from systemd import journal

reader = journal.Reader(path=sys.argv[1])
reader.add_match(_TRANSPORT="kernel")
for entry in reader:
    if "Lockdown:" in entry["MESSAGE"]:
        print(entry["__REALTIME_TIMESTAMP"], entry["MESSAGE"])
