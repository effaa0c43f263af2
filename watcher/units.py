"""What systemd needs of us, put where it looks: for those who have no package.

`units/` at the top level is what packages take as it is; here only the program's path is another.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watcher.errors import UsageError

_PROGRAM: Final = "/usr/bin/lockdown-watcher"
"""What the shipped units start."""

_PLACES: Final = {
    "lockdown-watcher.service": "lib/systemd/system",
    "lockdown-watcher-notify.service": "lib/systemd/user",
    "lockdown-watcher.catalog": "lib/systemd/catalog",
    "90-lockdown-watcher.preset": "lib/systemd/system-preset",
    "90-lockdown-watcher-user.preset": "lib/systemd/user-preset",
}
_CONFIG: Final = "lockdown-watcher/config.toml"
_NETWORK: Final = "systemd/system/lockdown-watcher.service.d/network.conf"

_HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - names, no use
"""What ProtectHome= and PrivateTmp= take from the service's sight."""

_PLAIN: Final = re.compile(r"[\w/.+@:,=~-]+", re.ASCII)
"""What needs no quoting in a unit file (systemd.syntax(7), systemd.unit(5) on specifiers)."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A file of ours, and what became of it: written, removed, or kept as somebody changed it."""

    file: Path
    done: str


def shipped() -> Path:
    """Give the folder of the shipped units: in the package once installed, else in the checkout."""
    here = Path(__file__).parent
    installed = here / "shipped_units"
    return installed if installed.is_dir() else here.parent / "units"


def install(prefix: Path, *, dry_run: bool) -> list[Placed]:
    """Write the units for this program below `prefix`; `dry_run` only says which.

    A configuration that is there is kept. Raises UsageError where the service could not run.
    """
    program = _program()
    files = {file: text.replace(_PROGRAM, program) for file, text in _units(prefix)}
    config = _etc(prefix) / _CONFIG
    placed = [_written(file, text, dry_run=dry_run) for file, text in files.items()]
    if config.exists():
        return [*placed, Placed(config, "kept")]
    return [*placed, _written(config, _text("config.toml"), dry_run=dry_run)]


def network(prefix: Path, *, dry_run: bool) -> list[Placed]:
    """Write the drop-in that gives the service the network."""
    return [_written(_etc(prefix) / _NETWORK, _text("network.conf"), dry_run=dry_run)]


def remove(prefix: Path, *, dry_run: bool) -> list[Placed]:
    """Remove what `install` and `network` wrote; what somebody changed in /etc is kept."""
    ours = [file for file, _ in _units(prefix) if file.exists()]
    changed = {_etc(prefix) / _CONFIG: "config.toml", _etc(prefix) / _NETWORK: "network.conf"}
    there = [file for file in changed if file.exists()]
    kept = [file for file in there if file.read_bytes() != _text(changed[file]).encode()]
    ours += [file for file in there if file not in kept]
    if not dry_run:
        for file in ours:
            file.unlink()
            _forget_empty(file.parent)
    return [*(Placed(file, "removed") for file in ours), *(Placed(file, "kept") for file in kept)]


def _units(prefix: Path) -> Iterator[tuple[Path, str]]:
    for name, folder in _PLACES.items():
        yield prefix / folder / name, _text(name)


def _text(name: str) -> str:
    return (shipped() / name).read_text(encoding="utf-8")


def _etc(prefix: Path) -> Path:
    """Give the /etc that goes with a prefix: that of /usr and /usr/local is /etc itself."""
    above = {"usr": prefix.parent, "local": prefix.parent.parent}
    is_usr = prefix.name == "usr" or prefix.parts[-2:] == ("usr", "local")
    return (above[prefix.name] if is_usr else prefix) / "etc"


def _written(file: Path, text: str, *, dry_run: bool) -> Placed:
    if not dry_run:
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.part")
        part.unlink(missing_ok=True)
        with part.open("x", encoding="utf-8") as fresh:  # never through a link that lies there
            fresh.write(text)
            os.fchmod(fresh.fileno(), 0o644)  # whatever the umask: the service's user reads it
        part.rename(file)
    return Placed(file, "written")


def _forget_empty(folder: Path) -> None:
    """Remove a folder that was ours alone; a link to one is somebody else's."""
    ours = "lockdown-watcher" in folder.name and not folder.is_symlink()
    if ours and not any(folder.iterdir()):
        folder.rmdir()


# --- the program, as the service will see it


def _program() -> str:
    """Give what starts this program, as a unit has it. Raises UsageError where it cannot."""
    python = Path(sys.executable)
    script = python.parent / "lockdown-watcher"
    words = [str(script)] if script.exists() else [str(python), "-m", "watcher"]
    for file in (Path(words[0]), python.resolve(), Path(__file__).resolve()):
        if why := _unseen(file):
            raise UsageError(
                f"the service could not start {file}: {why}; install it so that all may read it:"
                " python3 -m venv /opt/lockdown-watcher"
            )
    return " ".join(words)


def _unseen(file: Path) -> str | None:
    """Tell why the service's user, who is nobody, could not see `file` in its sandbox."""
    for where in (file, file.resolve()):
        if hidden := next((h for h in _HIDDEN if where.is_relative_to(h)), None):
            return f"{hidden} is hidden from it"
        if not _PLAIN.fullmatch(str(where)):
            return "a blank or a special character is in its path"
        for each in (where, *where.parents):
            if not _open_to_all(each):
                return f"{each} is not open to all"
    return None


def _open_to_all(path: Path) -> bool:
    mode = path.stat().st_mode
    wanted = stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
    return bool(mode & wanted) and os.access(path, os.R_OK)
