"""The manual pages: made of what the program knows, so that they cannot go stale."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.man.commands import commands
from docs.man.options import tables
from docs.man.roff import filled, item, literal, paragraph
from tests.package.parts import TREE, need
from watcher.explain import explain
from watcher.kinds import KINDS, MEANINGS
from watcher.lockdown import CAUSES, LINES, REASONS

NAMES = ("lockdown-watcher.1", "lockdown-watcher.toml.5", "lockdown-watcher-events.7")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages as the package's build writes them."""
    folder = tmp_path_factory.mktemp("man")
    epoch = {**os.environ, "SOURCE_DATE_EPOCH": "1795824000"}
    subprocess.run([sys.executable, "-m", "docs.man", folder], check=True, cwd=TREE, env=epoch)
    return {file.name: file for file in folder.iterdir()}


def read(file: Path) -> str:
    """A page as people see it, with every run of blanks as one."""
    need("mandoc")
    show = ["mandoc", "-T", "utf8", str(file)]
    shown = subprocess.run(show, check=True, capture_output=True, text=True).stdout
    return flat(re.sub(".\b", "", shown))


def flat(text: str) -> str:
    """Text with every run of blanks as one."""
    return " ".join(text.split())


def test_names(pages: dict[str, Path]) -> None:
    """There is a page for the command, its configuration and its events, of a day that repeats."""
    assert sorted(pages) == sorted(NAMES)
    assert all("2026-11-28" in file.read_text().splitlines()[0] for file in pages.values())


@pytest.mark.parametrize("name", NAMES)
def test_clean(pages: dict[str, Path], name: str) -> None:
    """Neither mandoc nor groff has anything to say about a page."""
    need("mandoc", "groff")
    for tool in (["mandoc", "-T", "lint"], ["groff", "-man", "-T", "utf8", "-ww", "-z"]):
        run = subprocess.run([*tool, pages[name]], check=False, capture_output=True, text=True)
        assert (run.returncode, run.stdout, run.stderr) == (0, "", ""), tool


def test_commands(pages: dict[str, Path]) -> None:
    """lockdown-watcher(1) has every command, with what its --help says and each of its options."""
    page = read(pages["lockdown-watcher.1"])
    for path, command in commands():
        start = page.index(f"{path} [OPTIONS]")
        for paragraph_ in (command.help or "").split("\n\n"):
            if "\b" not in paragraph_:
                assert flat(paragraph_) in page[start:], path
        for option in command.params:
            assert max(option.opts, key=len) in page[start:] or option.param_type_name != "option"


def test_environment(pages: dict[str, Path]) -> None:
    """lockdown-watcher(1) names every variable that the program reads."""
    page = read(pages["lockdown-watcher.1"])
    texts = [file.read_text() for file in (TREE / "watcher").rglob("*.py")]
    pattern = r'environ\.get\("([A-Z_]+)"|"([A-Z_]+)" (?:not )?in os\.environ'
    names = {a or b for text in texts for a, b in re.findall(pattern, text)}
    assert "LOCKDOWN_WATCHER_CONFIG" in names
    assert {name for name in names if name not in page} == set()


def test_options(pages: dict[str, Path]) -> None:
    """lockdown-watcher.toml(5) has every option of every table, with what the schema says of it."""
    page = read(pages["lockdown-watcher.toml.5"])
    for title, schema in tables():
        place = page.index(title)
        for name, option in schema["properties"].items():
            if "const" not in option:
                place = page.index(f"{name} = ", place)
                assert flat(option.get("description", "")) in page[place:], (title, name)


def test_events(pages: dict[str, Path]) -> None:
    """lockdown-watcher-events(7) says what every kind, line, cause and reason means, and why."""
    page = read(pages["lockdown-watcher-events.7"])
    assert [text for text in map(flat, MEANINGS.values()) if text not in page] == []
    assert set(MEANINGS) == set(KINDS)
    assert [cause for cause in CAUSES if f"from {cause}" not in page] == []
    assert [line.id for line in LINES if flat(f"{line.meaning} {line.instead}") not in page] == []
    for reason in REASONS:
        place = page.index(f" {reason} ", page.index("REASONS"))
        found = explain(reason)
        assert found
        assert [text for text in found.paragraphs if flat(text) not in page[place:]] == []


def test_own_rules(tmp_path: Path) -> None:
    """The rules of whoever builds the package are not in its manual."""
    own = tmp_path / "lockdown-watcher" / "rules"
    own.mkdir(parents=True)
    (own / "a.yml").write_text(
        (TREE / "rules/denied.yml").read_text().replace("title: ", "title: MY ")
    )
    home = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "docs.man", tmp_path], check=True, cwd=TREE, env=home)
    assert "MY " not in (tmp_path / "lockdown-watcher-events.7").read_text()


def test_roff_is_text(tmp_path: Path) -> None:
    """Text that looks like roff is printed as it stands, wherever it is put."""
    odd = r".so /etc/passwd \fBx\fP 'br `a` ^ ~ -- \\n \(bu \" .TH"
    page = tmp_path / "odd.7"
    lines = ['.TH "ODD" "7" "2026-11-28" "x" "y"', ".SH NAME", r"odd \- odd", ".SH ODD"]
    for part in (filled(odd), paragraph(odd), literal([odd, ""]), item(odd, odd, odd)):
        lines += part
    page.write_text("\n".join(lines) + "\n")
    assert read(page).count(flat(odd)) == 6
