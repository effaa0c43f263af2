"""`report` and `compare`: something to attach to a bug, harmless whatever stands in the log."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest

from tests.browser import Page, browser
from tests.journal.real import build
from tests.test_boots import DEBIAN, LOCKED, SECURE, lines
from watcher.boots import boots
from watcher.errors import UsageError
from watcher.host import this_host
from watcher.pages import report_html, report_markdown
from watcher.posture import inspect
from watcher.report import differences, embedded, load, report
from watcher.this_boot import boot_of_tree

TREE: Final = Path(__file__).parents[1]
HOSTS: Final = TREE / "tests/hosts"
HOSTILE: Final = (
    "</script><b>x", "<img src=x>", '" onload="1', "a]]><svg/o", "`|</td>*_[x](y)",
    "\x1b[2J\x9b\u202e", "```\n# x", "evil: hib\n<0>x",
)  # fmt: skip
"""Process names, 15 bytes at most, that want to be more than text."""


def host_report(name: str, *, named: bool = False) -> dict[str, Any]:
    """The report of one of the trees."""
    root = str(HOSTS / name / "root")
    return report(inspect(root).with_log(boot_of_tree(root)), [], None, named=named)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A report of thirty boots whose programs have chosen hostile names."""
    folder = tmp_path_factory.mktemp("journal")
    denials = [
        f"Lockdown: {comm[:15]}: {what} is restricted; see man kernel_lockdown.7"
        for comm in HOSTILE
        for what in ("hibernation", "/dev/mem,kmem,port", "raw MSR access")
    ]
    texts = [DEBIAN.format("25-amd64"), LOCKED, SECURE.format("enabled")]
    unlocked = [texts[0], SECURE.format("disabled")]
    entries = [
        entry
        for number in range(30)
        for entry in lines(number, *(texts if number % 7 else unlocked), *denials[: number % 7 * 4])
    ]
    build(folder / "a.journal", entries)
    root = str(HOSTS / "ubuntu-24.04/root")
    return report(inspect(root), boots(str(folder)), None, named=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser for all."""
    with browser(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, hostile: dict[str, Any]) -> Path:
    """The hostile report as a page."""
    target = tmp_path_factory.mktemp("page") / "report.html"
    target.write_text(report_html.render(hostile, embedded(hostile)))
    return target


# --- the page in a real browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_in_a_browser(page: Page, file: Path, width: int, scheme: str) -> None:
    """No complaint, no request but the file itself, nothing wider than the window, readable."""
    page.errors.clear()
    page.requests.clear()
    page.show(file, width, scheme)
    if folder := os.environ.get("PICTURES"):
        page.picture(Path(folder, f"report-{width}-{scheme}.png"))
    assert page.errors == []
    assert [each for each in page.requests if not each.startswith("data:")] == [file.as_uri()]
    assert page.ask("document.documentElement.scrollWidth <= innerWidth")
    assert page.ask("document.querySelectorAll('svg rect').length") == 30
    assert contrast(*map(rgb, page.ask(COLOURS))) > 7
    assert contrast(*map(rgb, page.ask(BAND))) > 4.5
    dark = sum(rgb(page.ask(COLOURS)[1])) < 300
    assert dark == (scheme == "dark")


COLOURS: Final = "(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))"
BAND: Final = (
    "[getComputedStyle(document.querySelector('svg text')).fill,"
    " getComputedStyle(document.querySelector('svg rect')).fill]"
)


def rgb(colour: str) -> tuple[int, ...]:
    """The three numbers of a computed colour."""
    return tuple(map(int, re.findall(r"\d+", colour)[:3]))


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The contrast ratio of two colours (WCAG 2.2)."""

    def light(colour: tuple[int, ...]) -> float:
        parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_on_paper(page: Page, file: Path, tmp_path: Path) -> None:
    """Black on white, even for who reads in the dark."""
    page.show(file, 800, "dark", "print")
    assert [rgb(each) for each in page.ask(COLOURS)] == [(0, 0, 0), (255, 255, 255)]
    page.paper(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_nothing_hostile_becomes_markup(page: Page, file: Path) -> None:
    """The browser itself sees no element, attribute or script that is not ours."""
    page.show(file, 1280, "light")
    assert page.ask("document.querySelectorAll('b, img, iframe, object, form, a').length") == 0
    assert page.ask("document.scripts.length") == 1
    assert page.ask("document.scripts[0].type") == "application/json"
    every = "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes])"
    assert page.ask(f"{every}.filter(a => /^on/.test(a.name)).length") == 0
    assert "</script><b>x" in page.ask("document.body.innerText")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.addresses: list[str | None] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.addresses += [v for k, v in attributes if k in ("src", "href")]


def test_the_page_without_a_browser(file: Path) -> None:
    """Only our own elements, no address but the empty icon, a policy that forbids everything."""
    text = file.read_text()
    tags = _Tags()
    tags.feed(text)
    assert tags.found <= {
        "html", "head", "meta", "link", "title", "style", "body", "h1", "h2", "p", "table", "tr",
        "th", "td", "div", "figure", "svg", "g", "rect", "text", "circle", "line", "path", "script",
    }  # fmt: skip
    assert tags.addresses == ["data:,"]
    assert "default-src 'none'" in text
    assert not set(text) & {"\x1b", "\x9b", "\u202e"}


# --- no secrets


@pytest.mark.parametrize("name", sorted(each.name for each in HOSTS.iterdir() if each.is_dir()))
def test_no_secret_and_no_name(name: str) -> None:
    """In no format; and without names none of this host's."""
    made = host_report(name)
    host = this_host()
    for text in (
        json.dumps(made),
        report_markdown.render(made),
        report_html.render(made, embedded(made)),
    ):
        assert "hunter2" not in text
        assert not host.machine_id or host.machine_id not in text
        assert made["host"] is None


def test_boot_ids_are_left_out_too(hostile: dict[str, Any]) -> None:
    """With --anonymous; otherwise they are there."""
    assert hostile["boots"][0]["boot_id"]
    done = run("report", "--anonymous", "-o", "json")
    assert all(each["boot_id"] is None for each in json.loads(done.stdout)["boots"])


# --- Markdown and JSON


def test_hostile_names_stay_text_in_markdown(hostile: dict[str, Any]) -> None:
    """No table is broken, no HTML, no fence ended, outside of the folded JSON."""
    text = report_markdown.render(hostile)
    shown, _, folded = text.partition("```json\n")
    assert "<img" not in shown
    assert "</script>" not in shown
    assert folded.count("\n```") == 1
    for row in (each for each in shown.splitlines() if each.startswith("|")):
        assert len(re.findall(r"(?<!\\)\|", row)) in (3, 4, 8)


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    environment = os.environ | {"PYTHONPATH": str(TREE)}
    return subprocess.run(
        [sys.executable, "-m", "watcher", *args], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_every_format_can_be_read_again(tmp_path: Path, hostile: dict[str, Any]) -> None:
    """What is attached to a bug is all that `compare` needs."""
    texts = (json.dumps(hostile), report_markdown.render(hostile),
             report_html.render(hostile, embedded(hostile)))  # fmt: skip
    for number, text in enumerate(texts):
        target = tmp_path / str(number)
        target.write_text(text)
        assert load(str(target)) == hostile


def test_this_machine(tmp_path: Path) -> None:
    """The program itself: Markdown by default, a page on demand, both the same to compare."""
    markdown, html = tmp_path / "a.md", tmp_path / "b.html"
    markdown.write_text(run("report").stdout)
    assert run("report", "--html", str(html)).returncode == 0
    done = run("compare", str(markdown), str(html), "-o", "human")
    assert (done.returncode, done.stdout) == (
        0,
        "Nothing differs that matters to lockdown or looks like it.\n",
    )
    assert run("report", "--html", str(tmp_path / "no/such")).returncode == 2


# --- compare


@pytest.mark.parametrize(
    ("a", "b", "likely"),
    [
        ("ubuntu-24.04", "debian-12-confidentiality", "level"),
        ("ubuntu-24.04", "fedora-30", "level"),
        ("ubuntu-24.04", "ubuntu-24.04-user", "capabilities"),
        ("fedora-now", "shim-validation-off", "level"),
        ("malformed", "msr-writes-off", "contradictions"),
        ("malformed", "sig-enforce", "contradictions"),
        ("msr-writes-off", "sig-enforce", "sig_enforce"),
        ("uek-4.14", "rhel-8", "kernel"),
    ],
)
def test_the_likely_reason_comes_first(a: str, b: str, likely: str) -> None:
    """Works for me: what differs first is what explains it."""
    found = differences(host_report(a), host_report(b))
    assert found[0].id == likely


def test_what_a_kernel_version_means_is_said() -> None:
    """5.2 to 6.8 crosses every change that matters."""
    found = differences(host_report("fedora-30"), host_report("ubuntu-24.04"))
    (kernel,) = [each for each in found if each.id == "kernel"]
    assert "5.4" in kernel.means
    assert "5.11" in kernel.means


@pytest.mark.parametrize(
    "text", ["", "{}", "[" * 100_000, '{"report": 1}', '{"report": 1, "status": 3}', "x" * 99]
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    """In one line, with status 2; a file that is not there, 3."""
    target = tmp_path / "x"
    target.write_text(text)
    with pytest.raises(UsageError):
        load(str(target))
    done = run("compare", str(target), str(target))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert run("compare", str(tmp_path / "none"), str(target)).returncode == 3


def test_a_forged_report_is_harmless(tmp_path: Path) -> None:
    """Values of any type, and controls in them, are shown as text."""
    forged = host_report("ubuntu-24.04")
    forged["status"] |= {"level": ["\x1b[2J"], "kernel": {"x": 1}, "blocked": 7,
                         "contradictions": "x", "lsm": [[1]], "secure_boot": "\u202e"}  # fmt: skip
    one, other = tmp_path / "a", tmp_path / "b"
    one.write_text(json.dumps(forged))
    other.write_text(json.dumps(host_report("ubuntu-24.04")))
    done = run("compare", str(one), str(other), "-o", "human")
    assert done.returncode == 1
    assert not set(done.stdout) & {"\x1b", "\u202e"}
