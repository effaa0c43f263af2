"""Where the program starts: `lockdown-watcher`, or python -m watcher."""

from __future__ import annotations

import gc
import os


def main() -> None:
    """Run the command line and exit with its status."""
    # Imports make many objects and little rubbish: collecting takes a tenth of a short command.
    gc.disable()
    # A plugin that happens to be installed has no business in here, and looking takes 15 ms.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "1"
    from watcher import cli

    cli.main()


if __name__ == "__main__":
    main()
