"""Where the program starts: `lockdown-watcher`, or python -m watcher."""

from __future__ import annotations

import gc
import os
import sys
from types import ModuleType
from typing import Final

QUIET: Final = "lockdown-watcher: it succeeded, and the kernel refused nothing meanwhile\n"


def _prepare() -> ModuleType:
    """Load what is needed after a command has failed, while it still runs."""
    from watcher import aftermath

    return aftermath


def main() -> None:
    """Run the command line and exit with its status."""
    # Imports make many objects and little rubbish: collecting takes a tenth of a short command.
    gc.disable()
    # A plugin that happens to be installed has no business in here, and looking takes 15 ms.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "1"
    from watcher import witness

    arguments, command = witness.split(sys.argv[1:])
    if command and arguments == ["why"]:
        # Run at once: what comes before is felt by the command, the rest can wait for its end.
        seen = witness.run(command, _prepare)
        if seen.succeeded and not seen.lines and not seen.unseen and not seen.lost:
            sys.stderr.write(QUIET)
            witness.end_as(seen)
        _prepare().tell(seen, as_json=False)
        witness.end_as(seen)
    from watcher import cli

    cli.main(arguments, command)


if __name__ == "__main__":
    main()
