"""Files of uploads: whole in their place or not at all, for the owner alone."""

import errno
import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from resources.upload_files import DiskFull, UploadFiles


@pytest.fixture
def files(tmp_path: Path) -> UploadFiles:
    return UploadFiles(tmp_path / "uploads")


def put(files: UploadFiles, id: int, data: bytes = b"{}\n") -> Path:
    with files.stage() as staged:
        staged.write(data)
        staged.finish()
        files.place(staged, id, "jsonl")
        staged.kept = True
    return files.data(id, "jsonl")


def test_a_file_lies_under_its_number_for_the_owner_alone(files: UploadFiles) -> None:
    with files.stage() as staged:
        staged.write(b"one\n")
        staged.write(b"two\n")
        staged.finish()
        files.place(staged, 7, "jsonl")
        staged.kept = True
        size, digest = staged.size, staged.sha256
    path = files.root / "7" / "data.jsonl"

    assert path.read_bytes() == b"one\ntwo\n"
    assert (size, digest) == (8, hashlib.sha256(b"one\ntwo\n").hexdigest())
    assert [stat.S_IMODE(p.stat().st_mode) for p in (path, path.parent, files.root)] == [0o600, 0o700, 0o700]


def fails_half_way(files: UploadFiles) -> None:
    with files.stage() as staged:
        staged.write(b"half")
        raise KeyError


def fails_to_commit(files: UploadFiles) -> None:
    with files.stage() as staged:
        staged.finish()
        files.place(staged, 1, "csv")
        raise KeyError


def test_what_fails_leaves_nothing_behind(files: UploadFiles) -> None:
    for fails in (fails_half_way, fails_to_commit):
        with pytest.raises(KeyError):
            fails(files)
    assert [path for path in files.root.rglob("*") if path.is_file()] == []
    assert put(files, 1).exists(), "the number that was left over is used again"


def test_a_folder_that_no_row_named_is_replaced(files: UploadFiles) -> None:
    put(files, 1).with_name("leftover").touch()
    put(files, 1)

    assert [path.name for path in files.folder(1).iterdir()] == ["data.jsonl"]


def test_removing_takes_all_that_was_made_of_it(files: UploadFiles) -> None:
    put(files, 1).with_name("messages.jsonl").touch()
    files.remove(1)
    files.remove(1)

    assert list(files.root.iterdir()) == []


def test_a_full_disk_is_said_plainly_and_nothing_stays(files: UploadFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskFull):
            put(files, 1)
    assert list(files.root.iterdir()) == []


class Usage(NamedTuple):
    free: int


def test_the_store_keeps_its_room_whatever_is_announced(files: UploadFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 * 2**20))
    with files.stage(10 * 2**20):
        pass
    with pytest.raises(DiskFull):
        files.stage(90 * 2**20)


def test_only_old_unfinished_files_are_swept(files: UploadFiles) -> None:
    kept = put(files, 1)
    dead, alive = files.root / "upload.tmp-dead", files.root / "upload.tmp-alive"
    for path in (dead, alive):
        path.touch()
    os.utime(dead, (1, 1))

    assert files.sweep() == 1
    assert (dead.exists(), alive.exists(), kept.exists()) == (False, True, True)
    assert UploadFiles(files.root / "nowhere").sweep() == 0
