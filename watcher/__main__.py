"""Where the program starts: `lockdown-watcher`, or python -m watcher."""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False  # typing itself would take 5 ms, which `why -- CMD` has not to give
if TYPE_CHECKING:
    from watcher import witness


def main() -> None:
    """Run the command line and exit with its status."""
    # Imports make many objects and little rubbish: collecting takes a tenth of a short command.
    gc.disable()
    arguments, command = sys.argv[1:], None
    if arguments[:1] == ["why"]:
        from watcher import witness  # first, for it keeps the environment as it is

        arguments, command = witness.split(arguments)
        if command and arguments == ["why"]:
            # Run at once: what comes before is felt by the command, the rest can wait for its end.
            seen = witness.run(command)
            witness.end_as(seen, _tell)
    # A plugin that happens to be installed has no business in here, and looking takes 15 ms.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "1"
    from watcher.cli import main as cli

    cli.main(arguments, command)


def _tell(seen: witness.Seen) -> None:
    if seen.succeeded and not seen.lines and not seen.lost:
        sys.stderr.write(f"lockdown-watcher: it succeeded{_meanwhile(seen.unseen)}\n")
    else:
        from watcher import aftermath

        aftermath.tell(seen, as_json=False)


def _meanwhile(unseen: str | None) -> str:
    if unseen:
        return f"; what the kernel logged meanwhile cannot be seen ({unseen})"
    return ", and the kernel refused nothing meanwhile"


if __name__ == "__main__":
    main()
