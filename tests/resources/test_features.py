"""Features of a user, looked up in files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.features import FeaturesUnreadable, LocalFeatures

ROWS = [{"user_id": "ann", "plan": "gold", "age": 41}, {"user_id": "김철수", "plan": "silver", "age": None}]


@pytest.fixture(params=["parquet", "csv", "jsonl", "folder"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"users.{request.param}"
    if request.param == "csv":
        path.write_text("user_id,plan,age\nann,gold,41\n김철수,silver,\n")
    elif request.param == "jsonl":
        path.write_text('{"user_id": "ann", "plan": "gold", "age": 41}\n{"user_id": "김철수", "plan": "silver"}\n')
    elif request.param == "folder":
        path.mkdir()
        (path / "notes.txt").write_text("not a table")
        for n, row in enumerate(ROWS):
            pq.write_table(pa.Table.from_pylist([row]), path / f"{n}.parquet")
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def test_a_users_row_is_found_without_its_key_and_its_empty_fields(source: Path) -> None:
    features = LocalFeatures(source)

    assert features.of("ann") == {"plan": "gold", "age": 41}
    assert features.of("김철수") == {"plan": "silver"}
    assert features.of("bea") is None
    assert features.of("ann' OR '1'='1") is None


def test_a_column_that_is_too_long_for_a_prompt_is_left_out(tmp_path: Path) -> None:
    row = {"user_id": "ann", "notes": "긴 글 " * 1000, "plan": "gold", **{f"c{n}": "x" * 90 for n in range(20)}}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "users.parquet")
    found = LocalFeatures(tmp_path / "users.parquet").of("ann")

    assert found is not None
    assert (found["plan"], "notes" in found) == ("gold", False)
    assert len(str(found)) < 1200


def test_what_is_written_later_counts_at_once_and_ids_of_digits_are_found(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("user_id,plan\n1,gold\n")
    features = LocalFeatures(path)
    assert (features.of("1"), features.of("ann"), features.of("2")) == ({"plan": "gold"}, None, None)
    path.write_text("user_id,plan\n1,silver\n2,gold\n")
    assert (features.of("1"), features.of("2")) == ({"plan": "silver"}, {"plan": "gold"})


@pytest.mark.parametrize(
    ("name", "content"),
    [("users.csv", "name\nann\n"), ("users.parquet", "no parquet"), ("users.txt", "x"), ("users.jsonl", "{"), ("", "")],
)
def test_a_source_that_cannot_be_read_is_one_error_without_its_content(tmp_path: Path, name: str, content: str) -> None:
    if name:
        (tmp_path / name).write_text(content)
    with pytest.raises(FeaturesUnreadable, match="DATA_SOURCE_PATH"):
        LocalFeatures(tmp_path / (name or "nowhere")).of("ann")
