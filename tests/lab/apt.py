"""apt beside the machine's own: other suites, from the mirror that this machine already uses."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.cache import scratch
from tests.lab.command import LabError, run

_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_NOT_THERE: Final = re.compile(
    r"does not have a Release file|No packages found|Unable to locate package"
)


class NotInArchive(LabError):  # noqa: N818 -- it says what is so
    """The archive has no such suite or package now."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite of Debian's archive; `security`: with its updates from the security archive."""

    name: str
    security: bool = True


@contextmanager
def apt(suite: Suite) -> Iterator[Apt]:
    """Give an apt that knows this suite alone. Raises LabError, NotInArchive if it is gone."""
    with scratch() as state:
        yield Apt(suite, state)


class Apt:
    """apt with sources, lists and status of its own, all under `state`."""

    def __init__(self, suite: Suite, state: Path) -> None:
        for folder in ("lists/partial", "archives/partial"):
            (state / folder).mkdir(parents=True)
        self._state = state
        (state / "sources.list").write_text(sources(suite))
        settings = {
            "Dir::Etc::SourceList": state / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": state,
            "Dir::State::status": "/dev/null",
            "Dir::Cache": state,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        self._options = [f"-o{name}={value}" for name, value in settings.items()]
        self._run("apt-get", "--error-on=any", "update")

    def _run(self, tool: str, *argv: str, cwd: Path | None = None) -> str:
        try:
            # C: what it says is looked at, in its own words.
            return run("env", "LC_ALL=C", tool, *self._options, "-qq", *argv, cwd=cwd)
        except LabError as error:
            if _NOT_THERE.search(str(error)):
                raise NotInArchive(str(error)) from error
            raise

    def field(self, package: str, name: str) -> str:
        """Give a field of the newest version of a package; "" if it has none of that name."""
        shown = self._run("apt-cache", "show", "--no-all-versions", package)
        found = re.search(rf"^{name}: (.*)$", shown, re.MULTILINE)
        return found[1] if found else ""

    def closure(self, package: str, parts: str) -> list[str]:
        """Give the packages that `package` leads to by dependencies named linux-(`parts`)-..."""
        names = [package]
        for name in names:  # grows while it runs
            depends = re.findall(rf"(?:^|, )(linux-(?:{parts})-\S+)", self.field(name, "Depends"))
            names += [found for found in depends if found not in names]
        return names

    def unpack(self, packages: list[str], root: Path) -> None:
        """Download the packages and unpack them all into `root`."""
        self._run("apt-get", "download", *packages, cwd=self._state)
        for file in sorted(self._state.glob("*.deb")):
            run("dpkg-deb", "-x", file, root)
            file.unlink()


def sources(suite: Suite) -> str:
    """Give what sources.list says of a suite. Raises LabError where no mirror is known."""
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    archives = {suite.name: codename}
    if suite.security:
        archives[f"{suite.name}-security"] = f"{codename}-security"
    mirrors = _mirrors()
    lines = [
        f"deb [arch=amd64 signed-by={_KEYRING}] {mirrors[ours]} {name} main\n"
        for name, ours in archives.items()
        if ours in mirrors
    ]
    if not lines:
        raise LabError(f"this machine's apt has no source for {codename}, so no mirror is known")
    return "".join(lines)


def _mirrors() -> dict[str, str]:
    """Give the mirror of each suite that this machine's own apt has configured."""
    form = "$(SITE) $(RELEASE) $(COMPONENT)"
    listed = run("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    rows = [line.split() for line in listed.splitlines()]
    return {row[1]: row[0] for row in reversed(rows) if row[2:] == ["main"]}
