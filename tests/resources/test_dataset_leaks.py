from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sides import Side
from resources import datasets
from resources.dataset_columns import CONVERSATION, DatasetRow
from resources.dataset_leaks import Leaks, last_questions, look_at
from resources.folders import FolderRefused
from resources.reference_sets import GENERAL, read_set
from tests.workshop import conversation


def row(number: int, side: Side, **found: object) -> DatasetRow:
    known = {"unit": f"user:{number}", "cluster": number, **found}
    return DatasetRow(side, conversation(number), **known)  # type: ignore[arg-type]


def looked_at(folder: Path, *rows: DatasetRow) -> Leaks:
    fields = {"version": 1, "base_fingerprint": "b", "parent": None, "details": {}, "counts": {}}
    datasets.write(folder, [rows], **fields)  # type: ignore[arg-type]
    return look_at(folder)


def test_what_lies_on_two_of_three_sides_is_counted_by_kind(tmp_path: Path) -> None:
    found = looked_at(
        tmp_path / "v1",
        row(1, "train", unit="user:ann", cluster=7),
        row(2, "validation", unit="user:ann"),
        row(3, "held_out", cluster=7),
        row(4, "held_out"),
    )
    assert found.rows == {"train": 1, "validation": 1, "held_out": 2}
    assert found.shared == {"ids": 0, "units": 1, "texts": 0, "clusters": 1}


def test_a_text_twice_is_a_duplicate_whatever_its_case_and_spacing(tmp_path: Path) -> None:
    again = row(1, "train", unit="user:x", cluster=9)
    shouted = again.conversation.model_copy(update={"id": "again", "reply": "  ANSWER  1"})
    found = looked_at(tmp_path / "v1", row(1, "train"), again._replace(conversation=shouted))
    assert (found.duplicates, found.shared["texts"]) == (1, 0)


def test_the_words_of_the_gate_are_found(tmp_path: Path) -> None:
    item = read_set(GENERAL)[3]
    leaked = row(1, "train")._replace(conversation=item.model_copy(update={"id": "leak"}))
    assert looked_at(tmp_path / "v1", leaked, row(2, "train")).contaminated == 1


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    looked_at(tmp_path / "v1", row(1, "train"))
    path = tmp_path / "v1" / "held_out.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(FolderRefused, match=r"held_out\.parquet"):
        look_at(tmp_path / "v1")


TURNS = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), st.text(max_size=3)), max_size=4)


@given(st.lists(TURNS, max_size=6), st.integers(0, 3))
def test_the_last_question_of_each_is_found_in_columns(talks: list[list[tuple[str, str]]], skip: int) -> None:
    kind = CONVERSATION.field("messages").type
    column = pa.array([[{"role": role, "content": text} for role, text in talk] for talk in talks], kind)
    expected = [next((text for role, text in reversed(talk) if role == "user"), "") for talk in talks]
    assert last_questions(column.slice(skip)) == expected[skip:]
