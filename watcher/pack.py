"""Find rule files and load them: the shipped pack, rules/ beside each config file, [rules] folders.

Every command loads them here, and so has the same. A later rule of the same id replaces an
earlier one; `status: deprecated` switches it off. What pySigma made of the shipped rules lies
beside them (COMPILED); where there are others too, what it made of all is kept as JSON in the
cache directory, keyed by the files' content and this program's version, for pySigma takes 75 ms to
import and 25 to parse the shipped pack.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from watcher import __version__, config_files
from watcher.errors import UsageError
from watcher.rule_check import Expand, Texts, check, check_apart
from watcher.rules.rule import Pack, Rule, RuleData, compile_rule

MAX_FILE_BYTES: Final = 1 << 20
"""The largest rule file read; SigmaHQ's largest is a hundredth of it."""

MAX_FILES: Final = 20_000
"""Rule files read at most; SigmaHQ's whole collection has a fifth of it."""


def shipped() -> Path:
    """Give the folder of the shipped rules: in the package once installed, else in the checkout."""
    here = Path(__file__).parent
    installed = here / "shipped_rules"
    return installed if installed.is_dir() else here.parent / "rules"


def sources(chosen: str | None = None) -> tuple[list[Path], Expand]:
    """Give the folders rules are read from, in order, and what their placeholders stand for.

    `chosen` is the config file asked for, if one was. Raises UsageError if it has faults.
    """
    faults: list[config_files.Fault] = []
    read = config_files.read_files(chosen, faults, unreadable_too=True)
    if not faults and "rules" not in read.tables:
        return [shipped(), *config_files.rules_beside(chosen)], {}
    from watcher import config  # pydantic, 50 ms: only where there is something to check

    options, own = config.rules(chosen)
    return [shipped(), *own], options.expand


def load_pack(chosen: str | None = None) -> Pack:
    """Load every rule that runs. Raises UsageError with each fault on a line of its own."""
    paths, expand = sources(chosen)
    texts, unread = read_texts(paths)
    key = _digest([__version__, expand, texts])
    rules = _compiled(None if unread else made_before(texts) or _cached(key))
    if rules is None:
        data, faults = check_apart(texts, expand)
        if unread or faults:
            raise UsageError("\n".join([*unread, *faults]))
        _keep(key, data)
        rules = tuple(map(compile_rule, data))
    return Pack(rules)


COMPILED: Final = "compiled.json"
"""What pySigma made of the shipped rules, in their folder; a test holds it against them."""


def made_before(texts: Texts) -> list[RuleData] | None:
    """Give what was made of the shipped rules, if `texts` is just them; they may be changed."""
    folder = shipped()
    own = {os.path.relpath(name, folder): text for name, text in texts.items()}
    try:
        kept = json.loads((folder / COMPILED).read_bytes())
    except (OSError, ValueError):
        return None
    if kept["key"] != _digest(own):
        return None
    return [{**rule, "file": str(folder / rule["file"])} for rule in kept["rules"]]  # type: ignore[typeddict-item]


def made_of(texts: Texts) -> str:
    """Make the text of COMPILED from the shipped rules, a rule a line. Raises UsageError."""
    folder = shipped()
    data, faults = check(texts)
    if faults:
        raise UsageError("\n".join(map(str, faults)))
    own = {os.path.relpath(name, folder): text for name, text in texts.items()}
    rules = [{**rule, "file": os.path.relpath(rule["file"], folder)} for rule in data]
    lines = ",\n".join(json.dumps(rule, ensure_ascii=False) for rule in rules)
    return f'{{"key": "{_digest(own)}", "rules": [\n{lines}\n]}}\n'


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def load_only(paths: Iterable[Path]) -> tuple[Pack, list[str]]:
    """Load the rules of these files and folders alone; give with them what is wrong with others.

    What their correlations count of the rules that always run is loaded too, and silent. They are
    kept in a cache of their own, if nothing is wrong with any.
    """
    texts, beside, expand, unread = _with_others(paths)
    key = _digest([__version__, expand, texts, beside])
    data, faults = _cached(key, ONLY), []
    if (rules := _compiled(data)) is None:
        data, found = check(texts, expand, beside)
        for rule in data:
            rule["silent"] |= rule["file"] not in texts
        faults = [*map(str, found)]
        if not faults:
            _keep(key, data, ONLY)
        rules = tuple(map(compile_rule, data))
    return Pack(rules), [*unread, *faults]


def check_only(paths: Iterable[Path]) -> tuple[Texts, list[RuleData], list[str]]:
    """Check these files and folders, whose correlations may count any rule that always runs.

    Give their texts, their rules with those that are counted, and every fault.
    """
    texts, beside, expand, unread = _with_others(paths)
    rules, faults = check(texts, expand, beside)
    return texts, rules, [*unread, *map(str, faults)]


def _with_others(paths: Iterable[Path]) -> tuple[Texts, Texts, Expand, list[str]]:
    """Read rules and all others that always run; give also what cannot be read of the former."""
    loaded, expand = sources()
    texts, unread = read_texts(paths)
    own = set(map(os.path.realpath, texts))
    others, _ = read_texts(loaded)
    beside = {name: text for name, text in others.items() if os.path.realpath(name) not in own}
    return texts, beside, expand, unread


def _compiled(data: list[RuleData] | None) -> tuple[Rule, ...] | None:
    try:
        return None if data is None else tuple(map(compile_rule, data))
    except (KeyError, TypeError, ValueError, AttributeError):  # a damaged cache
        return None


# --- files


def read_texts(paths: Iterable[Path]) -> tuple[Texts, list[str]]:
    """Read rule files, and folders of them; give texts by file name and what cannot be read."""
    texts: Texts = {}
    unread: list[str] = []
    for path in paths:
        files = _files(path) if path.is_dir() else [path]
        if len(files) > MAX_FILES:
            unread.append(f"{path}: holds {len(files):,} rule files, {MAX_FILES:,} may be read")
        for file in files[:MAX_FILES]:
            try:
                texts[str(file)] = _text(file)
            except OSError as error:
                unread.append(f"{file}: cannot be read: {error.strerror}")
            except ValueError as error:
                unread.append(f"{file}: {error}")
    return texts, unread


def _files(folder: Path) -> list[Path]:
    """Find rule files; what is hidden is none: .github, and what editors leave beside a file."""
    found = (f for f in folder.rglob("*") if f.suffix in (".yml", ".yaml"))
    return sorted(f for f in found if not any(p[0] == "." for p in f.relative_to(folder).parts))


def _text(file: Path) -> str:
    data = _bytes(file)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def _bytes(file: Path) -> bytes:
    """Read a regular file; a FIFO would keep its reader waiting for ever."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("is no regular file")
        return opened.read(MAX_FILE_BYTES + 1)


# --- the cache: data only, and only our own


ALL: Final = "rules.json"
ONLY: Final = "rules-only.json"
"""Of the rules that always run, and of those that somebody named last (--rules)."""


def _cache(name: str = ALL) -> Path | None:
    given = os.environ.get("CACHE_DIRECTORY")
    folder = Path(given) if given else config_files.home("XDG_CACHE_HOME", ".cache")
    return folder / name if folder else None


def _cached(key: str, name: str = ALL) -> list[RuleData] | None:
    file = _cache(name)
    try:
        kept: Any = json.loads(_own_bytes(file)) if file else {}
        rules: list[RuleData] = kept["rules"]
        return rules if (kept["key"], kept["sum"]) == (key, _digest(rules)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _own_bytes(file: Path) -> bytes:
    """Read what nobody else can have written: who may write here may write rules."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022 or not stat.S_ISREG(found.st_mode):
            raise ValueError("is not this user's alone")
        return opened.read()


def _keep(key: str, rules: list[RuleData], name: str = ALL) -> None:
    """Write the cache whole or not at all; where that cannot be, the next start parses again."""
    target = _cache(name)
    if target is None:
        return
    text = json.dumps({"key": key, "sum": _digest(rules), "rules": rules})
    fresh = target.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)  # of one that was killed, or a link that somebody planted
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                opened.write(text)
            fresh.replace(target)
        except OSError:
            fresh.unlink(missing_ok=True)
