import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.conversation import Conversation, Message
from core.manifest import Manifest
from resources import datasets
from resources.folders import FolderRefused
from tests.dataset_folder import dataset_rows, write_dataset

START = datetime(2026, 1, 1, tzinfo=UTC)


def conversation(number: int, reply: str = "다시 시작해 보세요.") -> Conversation:
    return Conversation(
        id=f"c{number}",
        messages=(Message(role="system", content="be kind"), Message(role="user", content=f"질문 {number} 🙂")),
        reply=reply,
        user_id=f"u{number}",
        source="import",
        provenance="human",
        created_at=START + timedelta(microseconds=number),
    )


TRAIN = [conversation(n) for n in range(8)]
VALIDATION = [conversation(n) for n in range(12, 14)]
HELD_OUT = [conversation(n) for n in range(8, 12)]
UNITS = {c.id: f"user:{c.user_id}" for c in TRAIN + VALIDATION + HELD_OUT}


def write(folder: Path, train: list[Conversation] = TRAIN, held_out: list[Conversation] = HELD_OUT) -> Manifest:
    details = {"rules_version": "format-1"}
    return write_dataset(
        folder, train, held_out, validation=VALIDATION, units=UNITS, version=3, parent=2, details=details
    )


def test_what_is_written_is_read_back_unchanged(tmp_path: Path) -> None:
    manifest = write(tmp_path / "v3")
    assert datasets.read_train(tmp_path / "v3") == TRAIN
    assert datasets.read_held_out(tmp_path / "v3") == HELD_OUT
    assert datasets.read_side(tmp_path / "v3", "validation") == VALIDATION
    assert datasets.read_units(tmp_path / "v3") == UNITS
    assert datasets.read_manifest(tmp_path / "v3") == manifest
    assert (manifest.kind, manifest.version, manifest.parent) == ("dataset", 3, 2)
    assert manifest.counts == {
        "from_earlier_versions": 14, "train": 8, "validation": 2, "held_out": 4, "units": 14
    }  # fmt: skip


def test_the_same_conversations_give_the_same_bytes_in_whichever_order_they_come(tmp_path: Path) -> None:
    first = write(tmp_path / "a")
    shuffled = random.Random(1).sample(TRAIN, len(TRAIN))
    assert write(tmp_path / "b", shuffled) == first


def test_how_rows_are_cut_into_pieces_changes_no_byte(tmp_path: Path) -> None:
    first = write(tmp_path / "a")
    rows = dataset_rows({"train": TRAIN, "validation": VALIDATION, "held_out": HELD_OUT}, UNITS)
    fields = {"version": 3, "base_fingerprint": "b", "parent": 2, "counts": {}}
    pieces = [rows[:1], [], rows[1:6], rows[6:]]
    assert datasets.write(tmp_path / "b", pieces, **fields, details={"rules_version": "format-1"}) == first


def test_an_older_dataset_without_validation_is_still_read(tmp_path: Path) -> None:
    manifest = write(tmp_path / "v3")
    (tmp_path / "v3" / "validation.parquet").unlink()
    files = {name: hash for name, hash in manifest.files.items() if name != "validation.parquet"}
    old = manifest.model_copy(update={"files": files})
    (tmp_path / "v3" / "manifest.json").write_text(old.to_json(), encoding="utf-8")
    assert datasets.read_train(tmp_path / "v3") == TRAIN
    assert datasets.read_side(tmp_path / "v3", "validation") == []
    assert set(datasets.read_units(tmp_path / "v3")) == {c.id for c in TRAIN + HELD_OUT}


def test_another_word_or_another_side_gives_another_hash(tmp_path: Path) -> None:
    first = write(tmp_path / "a")
    word = write(tmp_path / "b", [conversation(0, "other"), *TRAIN[1:]])
    side = write(tmp_path / "c", TRAIN[:-1], [*HELD_OUT, TRAIN[-1]])
    assert len({first.dataset_hash, word.dataset_hash, side.dataset_hash}) == 3


def test_a_folder_without_manifest_does_not_exist(tmp_path: Path) -> None:
    write(tmp_path / "v3")
    (tmp_path / "v3" / "manifest.json").unlink()
    with pytest.raises(FolderRefused, match=r"manifest\.json"):
        datasets.read_train(tmp_path / "v3")


def test_a_changed_file_is_refused_and_the_remedy_is_named(tmp_path: Path) -> None:
    write(tmp_path / "v3")
    path = tmp_path / "v3" / "train.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(FolderRefused, match="materialise validated_dataset again"):
        datasets.read_train(tmp_path / "v3")


def test_a_conversation_on_both_sides_is_refused_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found c7 twice"):
        write(tmp_path / "v3", TRAIN, [*HELD_OUT, TRAIN[-1]])
    assert list(tmp_path.iterdir()) == []


def test_an_empty_side_can_be_written_and_read(tmp_path: Path) -> None:
    write(tmp_path / "v3", TRAIN, [])
    assert datasets.read_held_out(tmp_path / "v3") == []


def test_a_broken_off_attempt_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "v3").mkdir()
    (tmp_path / "v3" / "train.parquet").write_bytes(b"half")
    write(tmp_path / "v3")
    assert datasets.read_train(tmp_path / "v3") == TRAIN
    assert [path.name for path in tmp_path.iterdir()] == ["v3"]


def test_one_that_is_made_anew_takes_the_place_of_the_old_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "v3")
    removed: list[str] = []
    monkeypatch.setattr("shutil.rmtree", lambda path, **named: removed.append(Path(path).name))
    write(tmp_path / "v3", TRAIN[:-1])
    assert datasets.read_train(tmp_path / "v3") == TRAIN[:-1]
    assert "v3" not in removed
