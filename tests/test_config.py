"""config.toml: every fault at once with its line, secrets never shown, the shipped file right."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from watcher import config as configuring
from watcher import config_files
from watcher.config import SINK_KINDS, Config, StoreOptions, check, json_schema, load, show
from watcher.errors import UsageError
from watcher.health.options import HealthOptions, MetricsOptions

SHIPPED = Path(__file__).parent.parent / "units" / "config.toml"


def faults(text: str, tmp_path: Path) -> list[str]:
    """Give the faults of a file, without its name."""
    file = tmp_path / "c.toml"
    file.write_text(text)
    return [str(fault).removeprefix(f"{file}") for fault in check(str(file))[1]]


TEN = """\
[sourc]
[source]
kind = "jurnal"
namspace = "x"
[store]
keep_days = 0
max_mb = "much"
flod_per_minute = 5
[[sink]]
kind = "fil"
[[sink]]
kind = "file"
[[sink]]
kind = "file"
path = "/x"
encoding = "xml"
min_severity = "grave"
"""


def test_ten_faults_are_told_at_once(tmp_path: Path) -> None:
    """Each on a line of its own, with the line it stands in and the nearest known word."""
    found = faults(TEN, tmp_path)
    assert len(found) == 10
    assert ":1: unknown: sourc; did you mean source?" in found
    assert ":4: source: unknown: namspace; did you mean namespace?" in found
    assert any(each.startswith(":3: source: kind: Input should be 'auto'") for each in found)
    assert any(each.startswith(":6: store: keep_days: ") for each in found)
    assert ":10: sink 1: unknown: fil; did you mean file?" in found
    assert ":11: sink file: path: Field required" in found
    assert any(each.startswith(":16: sink file: encoding: ") for each in found)
    with pytest.raises(UsageError) as caught:
        load(str(tmp_path / "c.toml"))
    assert len(str(caught.value).splitlines()) == 10


TWO_ON_ONE_PATH = """\
[[sink]]
kind = "file"
path = "/x"
[[sink]]
kind = "file"
name = "b"
path = "/./x"
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = [", "Invalid value"),
        (f"a = {'[' * 9000}{']' * 9000}", "nested too deeply"),
        ("[sink]\nkind = 'file'", "write [[sink]], with two brackets"),
        ("[[sink]]\nname = 'x'", "kind is missing: one of console, file"),
        ("[[sink]]\nkind = 'journal'\n[[sink]]\nkind = 'journal'", "two sinks are called journal"),
        ("source = 3", "source"),
        ("sink = [3]", "kind is missing"),
        ('"(" = 2', ":1: unknown: (; one of source"),
        ('["("]\nx = 1', ":1: unknown: (; one of source"),
        ("[source]\nnamespace = 'x'\njournal_dir = '/x'", "namespace or journal_dir, not both"),
        ("[health]\ncanary_s = true", ":2: health: canary_s: Input should be a valid integer"),
        ("[store]\nkeep_days = '90'", ":2: store: keep_days: Input should be a valid integer"),
        ("[store]\nmax_mb = 5.0", ":2: store: max_mb: Input should be a valid integer"),
        ("[metrics]\nopen_to_network = 1", "open_to_network: Input should be a valid boolean"),
        ("[desktop]\nunit = ''", ":2: desktop: unit: String should match"),
        ("[desktop]\nunit = 'lockdown-watcher'", ":2: desktop: unit: String should match"),
        ("[rules]\nfolders = [3]", ":2: rules: folders.0: Input should be a valid string"),
        ("[rules]\nexpand = {a = [true]}", "expand.a.0: Input should be a valid string"),
        ("[[sink]]\nkind = 'journal'\nbatch = true", "batch: Input should be a valid integer"),
        ("[[sink]]\nkind = 'journal'\nfold_s = true", "fold_s: Input should be a valid number"),
        ("[[sink]]\nkind = 'file'\npath = 'x'", ":3: sink file: path: must be an absolute path"),
        (
            TWO_ON_ONE_PATH,
            ":7: sink b: another sink writes /x",
        ),
    ],
)
def test_odd_shapes(text: str, said: str, tmp_path: Path) -> None:
    """Whatever TOML allows gets a clear line and never a traceback."""
    found = faults(text, tmp_path)
    assert len(found) == 1
    assert said in found[0]


def test_files_that_must_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, world-writable, too large, no text, a directory, a FIFO."""
    file = tmp_path / "c.toml"
    assert "no such file" in str(check(str(file))[1][0])
    monkeypatch.setenv("LOCKDOWN_WATCHER_CONFIG", str(file))
    assert "no such file" in str(check()[1][0])
    assert "directory" in str(check("")[1][0])
    file.write_text("")
    file.chmod(0o666)
    assert "anybody may write it" in str(check(str(file))[1][0])
    file.chmod(0o644)
    file.write_bytes(b"#" * (config_files.MAX_BYTES + 1))
    assert "larger than" in str(check(str(file))[1][0])
    file.write_bytes(b"\xff")
    assert "is not UTF-8" in str(check(str(file))[1][0])
    assert "directory" in str(check(str(tmp_path))[1][0])
    os.mkfifo(tmp_path / "fifo")
    assert "no regular file" in str(check(str(tmp_path / "fifo"))[1][0])


def test_the_users_file_goes_over_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table by table; a chosen file stands alone."""
    system = tmp_path / "system.toml"
    own = tmp_path / "lockdown-watcher" / "config.toml"
    own.parent.mkdir()
    system.write_text("[store]\nkeep_days = 3\n[source]\nkind = 'kmsg'\n")
    own.write_text("[store]\nmax_mb = 7\n")
    monkeypatch.setattr(config_files, "SYSTEM", system)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found = load()
    assert (found.source.kind, found.store.max_mb, found.store.keep_days) == ("kmsg", 7, 90)
    assert found.files == (str(system), str(own))
    monkeypatch.setenv("LOCKDOWN_WATCHER_CONFIG", str(own))
    assert load().source.kind == "auto"
    assert load(str(system)).store.keep_days == 3


def test_no_file_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The defaults run."""
    monkeypatch.setattr(config_files, "SYSTEM", tmp_path / "none")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load() == Config(configuring.SourceOptions(), StoreOptions(), ())


def test_what_is_shown_can_be_read_again(tmp_path: Path) -> None:
    """`config show` is a config file."""
    file = tmp_path / "c.toml"
    file.write_text('[[sink]]\nkind = "file"\npath = "/x\\u0007\\"y"\n')
    shown = show(load(str(file)))
    again = tmp_path / "again.toml"
    again.write_text(shown)
    assert load(str(again)).sinks == load(str(file)).sinks


NOT_READY = """\
[[sink]]
kind = "splunk"
url = "https://127.0.0.1:1"
token_file = "{folder}/none"
[[sink]]
kind = "syslog"
address = "tls://127.0.0.1:1"
ca_file = "{folder}/none.pem"
[[sink]]
kind = "otlp"
url = "https://127.0.0.1:1"
token_file = "{folder}/none"
proxy = "http://127.0.0.1:1"
proxy_login_file = "{folder}/none"
[[sink]]
kind = "file"
path = "{folder}/none/events.jsonl"
[[sink]]
kind = "http"
url = "http://127.0.0.1:1"
token_file = "of-the-service"
"""


def not_ready(tmp_path: Path) -> list[str]:
    """The faults that opening the sinks shows."""
    file = tmp_path / "c.toml"
    file.write_text(NOT_READY.format(folder=tmp_path))
    assert check(str(file))[1] == []
    return [str(fault) for fault in check(str(file), open_sinks=True)[1]]


def test_what_a_sink_needs_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and certificates, all at once, where somebody checks; but not systemd's credentials."""
    pytest.importorskip("httpcore2")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    gone = "No such file or directory"
    assert not_ready(tmp_path) == [
        f"{tmp_path}/c.toml:4: sink splunk: {tmp_path}/none: {gone}",
        f"{tmp_path}/c.toml:8: sink syslog: ca_file {tmp_path}/none.pem: {gone}",
        f"{tmp_path}/c.toml:14: sink otlp: {tmp_path}/none: {gone}",
        f"{tmp_path}/c.toml:12: sink otlp: {tmp_path}/none: {gone}",
        f"{tmp_path}/c.toml:17: sink file: path {tmp_path}/none: {gone}",
    ]


def test_a_missing_library_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear line for each sink, with the extra to install; the others are not touched."""
    monkeypatch.setitem(sys.modules, "httpcore2", None)
    (tmp_path / "none").write_text("s3cret")
    found = not_ready(tmp_path)
    needs = "needs httpcore2: pip install 'lockdown-watcher[siem]'"
    assert found[0] == f"{tmp_path}/c.toml:2: sink splunk: {needs}"
    assert found[2] == f"{tmp_path}/c.toml:10: sink otlp: {needs}"
    assert found[4] == f"{tmp_path}/c.toml:19: sink http: {needs}"
    assert len(found) == 5


@pytest.mark.parametrize("path", ["/hooks/s3cret", "/in?token=s3cret", "?s3cret", "/s3cret"])
def test_an_address_that_holds_a_secret_is_not_shown(path: str, tmp_path: Path) -> None:
    """What stands behind the host stays in the file."""
    file = tmp_path / "c.toml"
    file.write_text(f'[[sink]]\nkind = "http"\nurl = "https://siem.example{path}"\n')
    shown = show(load(str(file)))
    assert "s3cret" not in shown
    assert 'url = "https://siem.example/***"' in shown


def test_a_token_in_place_of_its_file_is_not_shown(tmp_path: Path) -> None:
    """A name is, an address without a path is; a UUID is not."""
    file = tmp_path / "c.toml"
    file.write_text(
        '[[sink]]\nkind = "otlp"\nurl = "http://siem.example:4318/"\ntoken_file = "otlp-token"\n'
        'proxy_login_file = "9f0e6d1c-7b0f-4a22-8a50-5c399f0e6d1c"\n'
    )
    shown = show(load(str(file)))
    assert 'url = "http://siem.example:4318/"' in shown
    assert 'token_file = "otlp-token"' in shown
    assert "9f0e6d1c" not in shown


@pytest.mark.parametrize(
    "address", ["tls://me:s3cret@siem.example", "tls://me:s3cret", "tls://me:s3cret@[x"]
)
def test_a_secret_in_a_fault_is_not_told(address: str, tmp_path: Path) -> None:
    """A fault names the option, never what stood in it."""
    (found,) = faults(f'[[sink]]\nkind = "syslog"\naddress = "{address}"\n', tmp_path)
    assert "address" in found
    assert "s3cret" not in found


def test_the_shipped_file_is_the_manual() -> None:
    """It loads without fault, and names every option of every table and sink with its default."""
    assert check(str(SHIPPED))[1] == []
    text = SHIPPED.read_text(encoding="utf-8")
    uncommented = re.sub(r"(?m)^#(?=[a-z\[])", "", text)
    tables = tomllib.loads(uncommented)
    for name, model in (
        ("source", configuring.SourceOptions),
        ("store", configuring.StoreOptions),
        ("rules", configuring.RulesOptions),
        ("desktop", configuring.DesktopOptions),
        ("metrics", MetricsOptions),
        ("health", HealthOptions),
    ):
        assert tables[name] == json.loads(model().model_dump_json())
    shown = {sink["kind"]: sink for sink in tables["sink"]}
    assert set(shown) == set(SINK_KINDS)
    for kind, sink in shown.items():
        fields = configuring.sink_module(kind).Options.model_fields
        assert set(sink) == set(fields), kind
        for name, field in fields.items():
            if not field.is_required() and field.get_default() is not None:
                assert sink[name] == field.get_default(), f"{kind}: {name}"


def test_the_schema_is_json() -> None:
    """Editors can read it; every sink is in it."""
    found = json.loads(json.dumps(json_schema()))
    assert len(found["properties"]["sink"]["items"]["oneOf"]) == len(SINK_KINDS)
