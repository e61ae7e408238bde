from pathlib import Path

import pytest

from core.manifest import MANIFEST_NAME, Manifest
from resources import folders
from resources.folders import FolderRefused


def stage(folder: Path, content: bytes = b"weights") -> Path:
    folder.mkdir()
    (folder / "a.bin").write_bytes(content)
    (folder / "b.json").write_text("{}", encoding="utf-8")
    return folder


def manifest_of(folder: Path, **fields) -> Manifest:
    return Manifest(kind="dataset", version=1, files=folders.hashes(folder), base_fingerprint="base", **fields)


def published(tmp_path: Path) -> Path:
    staging = stage(tmp_path / "v1.tmp")
    folders.publish(staging, tmp_path / "v1", manifest_of(staging))
    return tmp_path / "v1"


def test_a_published_folder_is_whole_and_its_staging_gone(tmp_path: Path) -> None:
    folder = published(tmp_path)
    assert folders.check(folder).files.keys() == {"a.bin", "b.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


def test_a_folder_without_a_manifest_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FolderRefused, match=MANIFEST_NAME):
        folders.check(stage(tmp_path / "v1"))


def test_a_missing_folder_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FolderRefused, match="No such file"):
        folders.check(tmp_path / "v9")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "a.bin").write_bytes(b"other"), "Expected SHA-256"),
        (lambda folder: (folder / "a.bin").unlink(), "Expected the files"),
        (lambda folder: (folder / "extra.pkl").write_bytes(b""), "extra.pkl"),
        (lambda folder: (folder / "sub").mkdir(), "Expected the files"),
        (lambda folder: (folder / MANIFEST_NAME).write_text("{"), "does not read"),
        (lambda folder: (folder / MANIFEST_NAME).write_bytes(b" " * (2 << 20)), "plain file of at most"),
    ],
)
def test_a_folder_that_differs_from_its_manifest_is_refused(tmp_path: Path, damage, says: str) -> None:
    folder = published(tmp_path)
    damage(folder)
    assert not folders.is_whole(folder)
    with pytest.raises(FolderRefused, match=says):
        folders.check(folder)


def test_a_link_in_place_of_a_file_is_refused_even_to_the_same_bytes(tmp_path: Path) -> None:
    folder = published(tmp_path)
    (folder / "a.bin").rename(tmp_path / "elsewhere")
    (folder / "a.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderRefused, match="plain file"):
        folders.check(folder)


def test_publishing_over_a_whole_folder_keeps_what_is_there(tmp_path: Path) -> None:
    first = folders.check(published(tmp_path))
    staging = stage(tmp_path / "v1.tmp", b"later")
    folders.publish(staging, tmp_path / "v1", manifest_of(staging))
    assert folders.check(tmp_path / "v1") == first
    assert not staging.exists()


def test_publishing_over_a_whole_folder_of_another_dataset_replaces_it(tmp_path: Path) -> None:
    published(tmp_path)
    staging = stage(tmp_path / "v1.tmp", b"later")
    folders.publish(staging, tmp_path / "v1", manifest_of(staging, dataset_hash="another"))
    assert folders.check(tmp_path / "v1").dataset_hash == "another"
    assert (tmp_path / "v1" / "a.bin").read_bytes() == b"later"
    assert not staging.exists()


def test_a_writer_that_slept_puts_back_what_a_later_one_published_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = published(tmp_path)
    (final / "a.bin").write_bytes(b"damaged")
    slow, quick = stage(tmp_path / "v1.tmp-1", b"slow"), stage(tmp_path / "v1.tmp-2", b"quick")
    real = folders.swap

    def sleep_before(one: Path, other: Path) -> None:
        monkeypatch.setattr(folders, "swap", real)
        folders.publish(quick, final, manifest_of(quick))
        real(one, other)

    monkeypatch.setattr(folders, "swap", sleep_before)
    folders.publish(slow, final, manifest_of(slow))
    assert folders.is_whole(final)
    assert (final / "a.bin").read_bytes() == b"quick"
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


def test_publishing_over_a_damaged_folder_replaces_it(tmp_path: Path) -> None:
    (published(tmp_path) / "a.bin").write_bytes(b"damaged")
    staging = stage(tmp_path / "v1.tmp", b"later")
    folders.publish(staging, tmp_path / "v1", manifest_of(staging))
    assert (tmp_path / "v1" / "a.bin").read_bytes() == b"later"
    assert folders.is_whole(tmp_path / "v1")


def test_a_single_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "evaluation.json"
    folders.write_whole(path, "first")
    folders.write_whole(path, "일")
    assert path.read_text(encoding="utf-8") == "일"
    assert [found.name for found in path.parent.iterdir()] == ["evaluation.json"]
