"""The file sink: whole lines or none, rotated, moved away, torn by a kill, on a full disk."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.parts import missing
from tests.replay import events, lines_of, parcels
from watcher.errors import UsageError
from watcher.sinks.file import FileSink, Options, open_sink
from watcher.sinks.sink import Delivered, Parcel, Refused, Retry


def sink(path: Path, **more: object) -> FileSink:
    """Make the sink."""
    return open_sink(Options.model_validate({"kind": "file", "path": str(path), **more}))


def ids(path: Path) -> list[str]:
    """Give the ids in a file of native lines."""
    return [json.loads(line)["id"] for line in lines_of(path)]


def test_lines_are_appended_in_order(tmp_path: Path) -> None:
    """What stands there already stays; the file is not for everybody to read."""
    path, found = tmp_path / "e.jsonl", events(4)
    first = sink(path)
    assert first.deliver(parcels(found[:2])) == [Delivered(), Delivered()]
    first.close()
    second = sink(path)
    second.deliver(parcels(found[2:]))
    second.close()
    assert ids(path) == [event.id for event in found]
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("encoding", ["ecs", "ocsf", "cef"])
def test_other_encodings(encoding: str, tmp_path: Path) -> None:
    """One line an event in each of them."""
    path = tmp_path / "e"
    opened = sink(path, encoding=encoding)
    opened.deliver(parcels(events(3)))
    opened.close()
    assert len(lines_of(path)) == 3


def test_an_unfinished_last_line_is_cut_off(tmp_path: Path) -> None:
    """A kill in the middle of a write leaves half a line; its event comes again."""
    path, found = tmp_path / "e.jsonl", events(3)
    whole = "".join(f"{event.json_line()}\n" for event in found)
    path.write_text(whole[:-40])
    opened = sink(path)
    opened.deliver(parcels(found[2:]))
    opened.close()
    assert path.read_text() == whole


def test_a_file_of_one_torn_line(tmp_path: Path) -> None:
    """The very first line may be torn."""
    path = tmp_path / "e.jsonl"
    path.write_text('{"schema":1,"id":')
    opened = sink(path)
    opened.deliver(parcels(events(1)))
    opened.close()
    assert len(ids(path)) == 1


OTHERS = (
    b"ID=somebody's",
    b"root:x:0:0::/root:/bin/sh\nbin:x:1",
    b'{"name": "package", "version": 3}',
    b"\x7fELF\0\0",
)


@pytest.mark.parametrize("content", [*OTHERS, b"whole\nlines\n"])
def test_somebody_else_s_file_is_left_alone(content: bytes, tmp_path: Path) -> None:
    """A wrong path is told at the start and at the delivery, and costs nobody a byte."""
    path = tmp_path / "theirs"
    opened = sink(path)
    path.write_bytes(content)
    [verdict] = opened.deliver(parcels(events(1)))
    opened.close()
    assert verdict == Retry(f"{path}: is not a file of ours: nothing is written to it")
    with pytest.raises(UsageError, match="is not a file of ours"):
        sink(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("left", [b"\0\0\0", b"somebody's", b"x" * (1 << 21)])
def test_a_foreign_end_gets_a_line_of_its_own(left: bytes, tmp_path: Path) -> None:
    """What no sink of ours wrote is not cut off, be it a power cut's zeros."""
    path, found = tmp_path / "e.jsonl", events(2)
    path.write_bytes(f"{found[0].json_line()}\n".encode() + left)
    opened = sink(path)
    assert opened.deliver(parcels(found[1:])) == [Delivered()]
    opened.close()
    first, foreign, last = path.read_bytes().splitlines()
    assert foreign == left
    assert [json.loads(each)["id"] for each in (first, last)] == [each.id for each in found]


def test_a_path_that_can_be_no_file_is_told_at_the_start(tmp_path: Path) -> None:
    """A missing folder, a folder, a FIFO, a device; a relative path is a config error."""
    os.mkfifo(tmp_path / "fifo")
    for path, said in (
        (tmp_path / "none" / "e", f"path {tmp_path}/none: No such file or directory"),
        (tmp_path, f"path {tmp_path}: is no regular file"),
        (tmp_path / "fifo", f"path {tmp_path}/fifo: is no regular file"),
        (Path("/dev/null"), "path /dev/null: is no regular file"),
    ):
        with pytest.raises(UsageError, match=re.escape(said)):
            sink(path)
    for wrong in ("e.jsonl", "/x\0y", ""):
        with pytest.raises(ValidationError, match="must be an absolute path"):
            Options(kind="file", path=wrong)


def test_rotation_by_size(tmp_path: Path) -> None:
    """No file beyond the bound, no line in two of them or in none, no more files than told."""
    path, found = tmp_path / "e.jsonl", events(3000)
    opened = sink(path, max_mb=1, keep=2)
    sent = parcels(found)
    for at in range(0, len(sent), 100):
        assert set(opened.deliver(sent[at : at + 100])) == {Delivered()}
    opened.close()
    files = sorted(tmp_path.iterdir(), reverse=True)
    assert [file.name for file in files] == ["e.jsonl.2", "e.jsonl.1", "e.jsonl"]
    assert all(file.stat().st_size <= 1 << 20 for file in files)
    kept = [each for file in files for each in ids(file)]
    assert kept == [event.id for event in found][-len(kept) :]


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    """logrotate renames it and needs to tell nobody."""
    path, found = tmp_path / "e.jsonl", events(2)
    opened = sink(path)
    opened.deliver(parcels(found[:1]))
    path.rename(tmp_path / "old")
    opened.deliver(parcels(found[1:]))
    opened.close()
    assert (ids(tmp_path / "old"), ids(path)) == ([found[0].id], [found[1].id])


def test_what_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    """A folder that went, a symbolic link somebody planted: told, and nothing is lost."""
    found = parcels(events(2))
    (tmp_path / "folder").mkdir()
    opened = sink(tmp_path / "folder" / "e")
    (tmp_path / "folder").rmdir()
    [first, _] = opened.deliver(found)
    assert isinstance(first, Retry)
    assert "No such file" in first.reason
    opened = sink(tmp_path / "link")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert isinstance(opened.deliver(found)[0], Retry)
    assert not (tmp_path / "target").exists()


def test_what_cannot_be_encoded_is_refused_alone(tmp_path: Path) -> None:
    """The others of its batch are written."""
    path, found = tmp_path / "e", parcels(events(2))
    opened = sink(path, encoding="ecs")
    bad = [Parcel(9, "x", each) for each in ("{}", "[]", '{"id": 1, "host": null}', "no json")]
    verdicts = opened.deliver([found[0], *bad, found[1]])
    opened.close()
    assert [type(each) for each in verdicts] == [Delivered, *[Refused] * 4, Delivered]
    assert len(lines_of(path)) == 2


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """The batch is taken back as a whole and comes again when there is room."""
    if os.geteuid() != 0:
        missing("root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=True)
    try:
        path, sent = disk / "e.jsonl", parcels(events(100))
        opened = sink(path)
        assert set(opened.deliver(sent[:10])) == {Delivered()}
        verdicts = opened.deliver(sent[10:])
        assert isinstance(verdicts[0], Retry)
        assert "No space left" in verdicts[0].reason
        assert len(lines_of(path)) == 10
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        assert set(opened.deliver(sent[10:])) == {Delivered()}
        opened.close()
        assert ids(path) == [parcel.id for parcel in sent]
    finally:
        subprocess.run(["umount", disk], check=True)
