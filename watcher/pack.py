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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from watcher import __version__, config_files
from watcher.errors import UsageError
from watcher.rules.rule import Pack, Rule, RuleData, compile_rule

if TYPE_CHECKING:
    from watcher.rules.faults import Fault

MAX_FILE_BYTES: Final = 1 << 20
"""The largest rule file read; SigmaHQ's largest is a hundredth of it."""

MAX_FILES: Final = 20_000
"""Rule files read at most; SigmaHQ's whole collection has a fifth of it."""

Texts = dict[str, str]


def shipped() -> Path:
    """Give the folder of the shipped rules: in the package once installed, else in the checkout."""
    here = Path(__file__).parent
    installed = here / "shipped_rules"
    return installed if installed.is_dir() else here.parent / "rules"


Expand = Mapping[str, tuple[str, ...]]
"""What %name% stands for in rules, from [rules.expand]."""


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
        data, faults = _checked_apart(texts, expand)
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
    """Load the rules of these files and folders alone; give with them what is wrong with others."""
    _, expand = sources()
    texts, unread = read_texts(paths)
    data, faults = check(texts, expand)
    return Pack(tuple(map(compile_rule, data))), [*unread, *map(str, faults)]


def _compiled(data: list[RuleData] | None) -> tuple[Rule, ...] | None:
    try:
        return None if data is None else tuple(map(compile_rule, data))
    except (KeyError, TypeError, ValueError, AttributeError):  # a damaged cache
        return None


def check(texts: Texts, expand: Expand | None = None) -> tuple[list[RuleData], list[Fault]]:
    """Parse rules and hold them against their examples; give those that run and every fault."""
    from watcher.examples import faults as missed
    from watcher.rules.faults import Fault
    from watcher.rules.parse import parse
    from watcher.sequences import misses

    with _quiet():
        rules, faults = parse(texts, expand or {})
    plain = [rule for rule in rules if not rule["correlation"]]
    faults += [Fault(r["file"], text) for r in plain for text in missed(compile_rule(r))]
    faults += [Fault(file, text) for file, text in misses(rules)]
    by_id = {rule["id"]: rule for rule in rules}
    return [rule for rule in by_id.values() if rule["status"] != "deprecated"], faults


def _checked_apart(texts: Texts, expand: Expand) -> tuple[list[RuleData], list[str]]:
    """Do what `check` does, in a process of its own: pySigma's 12 MB end with it.

    What it reads and writes is plain data, so a daemon may do it with its threads running.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException), os.fdopen(writing, "w", encoding="utf-8") as pipe:
            rules, faults = check(texts, expand)
            json.dump([rules, [*map(str, faults)]], pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    try:
        rules, told = json.loads(said)
    except ValueError:  # it was killed, or found no memory: then here, where the error is told
        rules, faults = check(texts, expand)
        return rules, [*map(str, faults)]
    return rules, told


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what pySigma's re2 writes to stderr by itself about a bad pattern: it is told once."""
    kept, silence = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silence)


# --- files


def read_texts(paths: Iterable[Path]) -> tuple[Texts, list[str]]:
    """Read rule files, and folders of them; give texts by file name and what cannot be read."""
    texts: Texts = {}
    unread: list[str] = []
    for path in paths:
        for file in _files(path):
            try:
                texts[str(file)] = _text(file)
            except OSError as error:
                unread.append(f"{file}: cannot be read: {error.strerror}")
            except ValueError as error:
                unread.append(f"{file}: {error}")
    return texts, unread


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(f for f in path.rglob("*") if f.suffix in (".yml", ".yaml"))[:MAX_FILES]


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


def _cache() -> Path | None:
    given = os.environ.get("CACHE_DIRECTORY")
    folder = Path(given) if given else config_files.home("XDG_CACHE_HOME", ".cache")
    return folder / "rules.json" if folder else None


def _cached(key: str) -> list[RuleData] | None:
    file = _cache()
    try:
        # Who may write here may write rules: nobody but the user this runs as.
        if file is None or file.lstat().st_uid != os.geteuid() or not file.is_file():
            return None
        kept: Any = json.loads(file.read_bytes())
        rules: list[RuleData] = kept["rules"]
        return rules if (kept["key"], kept["sum"]) == (key, _digest(rules)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(key: str, rules: list[RuleData]) -> None:
    """Write the cache whole or not at all; where that cannot be, the next start parses again."""
    target = _cache()
    if target is None:
        return
    fresh = target.with_suffix(f".{os.getpid()}")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.write_text(
            json.dumps({"key": key, "sum": _digest(rules), "rules": rules}), encoding="utf-8"
        )
        fresh.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
