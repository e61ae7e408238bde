"""An uploaded dataset forgets a person, whatever it is in and whatever breaks."""

import csv
import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources import upload_ingestion
from resources.erased_uploads import UploadedFiles
from resources.erasure_rows import Erasures, Pending
from resources.readers import read_records
from resources.records import REWRITTEN, USUAL_LIMITS, FileRefused, Record, stored_limits
from resources.store import Store
from resources.upload_ingestion import ingest
from tests.resources.examples import NOON

WHO = Pending(1, "u", frozenset(), frozenset(), NOON, last=True)
ROWS = [
    {"instruction": f"question {n}", "output": f"answer {n}", "user_id": user}
    for n, user in enumerate(["v", "u", "w", "u", "v"], start=1)
]


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


CONTENTS = {
    "jsonl": as_jsonl(ROWS),
    "jsonl.gz": gzip.compress(as_jsonl(ROWS)),
    "json": json.dumps(ROWS, indent=1).encode(),
    "json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "csv": as_csv(ROWS),
    "parquet": as_parquet(ROWS),
}


def upload(store: Store, root: Path, extension: str, content: bytes, **fields: Any) -> Path:
    values: dict[str, Any] = {
        "name": "d", "version": "1", "format": "alpaca", "kind": "training", "file_name": f"d.{extension}",
        "extension": extension, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
        "mapping": {}, "tags": [], "dataset_metadata": {}, "stats": {"total_samples": len(ROWS)}, **fields,
    }  # fmt: skip

    def place(id: int) -> None:
        (root / str(id)).mkdir(parents=True)
        (root / str(id) / f"data.{extension}").write_bytes(content)

    return root / str(store.uploads.add(values, place).id)


def lines_of(folder: Path) -> dict[int, str]:
    found = enumerate(read_records(folder / f"data.{REWRITTEN}", extension=REWRITTEN), start=1)
    return {n: one.value["user_id"] for n, one in found if isinstance(one, Record) and "user_id" in one.value}


@pytest.mark.parametrize("extension", CONTENTS)
def test_their_rows_go_from_every_kind_of_file_and_the_others_keep_their_numbers(
    sqlite_store: Store, tmp_path: Path, extension: str
) -> None:
    folder = upload(sqlite_store, tmp_path, extension, CONTENTS[extension])
    (folder / "dataset-1-alpaca.jsonl").write_text("made of it")
    place = UploadedFiles(tmp_path, sqlite_store.uploads)
    assert place.users() == {"u", "v", "w"}
    assert place.erase(WHO) == 2
    assert lines_of(folder) == {1: "v", 3: "w", 5: "v"}
    assert [path.name for path in folder.iterdir()] == [f"data.{REWRITTEN}"]
    row = sqlite_store.uploads.get(1)
    assert (row.extension, row.status, row.stats["total_samples"]) == (REWRITTEN, "uploaded", 3)
    assert row.sha256 == hashlib.sha256((folder / f"data.{REWRITTEN}").read_bytes()).hexdigest()
    assert (place.users(), place.erase(WHO)) == ({"v", "w"}, 0)


def test_a_column_under_another_name_and_a_number_as_a_name_are_found(sqlite_store: Store, tmp_path: Path) -> None:
    rows = [{"instruction": "q", "output": "a", "customer": number} for number in (7, 8)]
    folder = upload(sqlite_store, tmp_path, "jsonl", as_jsonl(rows), mapping={"user_id": "customer"})
    assert (
        UploadedFiles(tmp_path, sqlite_store.uploads).erase(Pending(1, "7", frozenset(), frozenset(), NOON, last=True))
        == 1
    )
    assert json.loads((folder / f"data.{REWRITTEN}").read_text().splitlines()[1])["customer"] == 8


def test_a_file_that_was_small_while_compressed_is_read_again_for_the_next_person(
    sqlite_store: Store, tmp_path: Path
) -> None:
    blank = b" " * (USUAL_LIMITS.record_bytes - 1) + b"\n"
    large = as_jsonl(ROWS) + blank * (USUAL_LIMITS.file_bytes // len(blank))
    folder = upload(sqlite_store, tmp_path, "jsonl", large)
    assert (folder / "data.jsonl").stat().st_size > USUAL_LIMITS.file_bytes
    assert UploadedFiles(tmp_path, sqlite_store.uploads).erase(WHO) == 2


@pytest.mark.parametrize("extension", ["csv", "json"])
def test_a_record_that_takes_more_bytes_once_it_is_rewritten_is_still_one(
    sqlite_store: Store, tmp_path: Path, extension: str
) -> None:
    long = {**ROWS[0], "output": ("가" * 500_000 + '"\n') * 4}
    rows = [long, *ROWS[1:]]
    content = as_csv(rows) if extension == "csv" else json.dumps(rows, ensure_ascii=False).encode()
    folder = upload(sqlite_store, tmp_path, extension, content)
    place = UploadedFiles(tmp_path, sqlite_store.uploads)
    assert place.erase(WHO) == 2
    written = folder / f"data.{REWRITTEN}"
    assert len(written.read_bytes().split(b"\n")[0]) > USUAL_LIMITS.record_bytes
    (first, *_) = read_records(written, extension=REWRITTEN, limits=stored_limits(REWRITTEN))
    assert isinstance(first, Record)
    assert first.value == long
    assert place.users() == {"v", "w"}, "the next erasure reads it as well"


@pytest.mark.parametrize("content", [CONTENTS["jsonl.gz"][:-12], b"no gzip"])
def test_a_file_that_cannot_be_read_to_its_end_is_no_file_without_them(
    sqlite_store: Store, tmp_path: Path, content: bytes
) -> None:
    upload(sqlite_store, tmp_path, "jsonl.gz", content)
    with pytest.raises(FileRefused):
        UploadedFiles(tmp_path, sqlite_store.uploads).erase(WHO)


def test_a_file_without_them_is_not_touched(sqlite_store: Store, tmp_path: Path) -> None:
    folder = upload(sqlite_store, tmp_path, "csv", as_csv([row for row in ROWS if row["user_id"] != "u"]))
    (folder / "dataset-1-alpaca.jsonl").write_text("made of it")
    assert UploadedFiles(tmp_path, sqlite_store.uploads).erase(WHO) == 0
    assert {path.name for path in folder.iterdir()} == {"data.csv", "dataset-1-alpaca.jsonl"}


def test_a_file_that_was_theirs_alone_is_deleted(sqlite_store: Store, tmp_path: Path) -> None:
    folder = upload(sqlite_store, tmp_path, "csv", as_csv([row for row in ROWS if row["user_id"] == "u"]))
    assert UploadedFiles(tmp_path, sqlite_store.uploads).erase(WHO) == 2
    assert not folder.exists()
    assert sqlite_store.uploads.get(1).status == "deleted"


@pytest.mark.parametrize("dies_in", ["_write", "_replace", "change", "_tidy"])
def test_a_kill_at_any_moment_is_made_good_by_the_next_sweep(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    folder = upload(sqlite_store, tmp_path, "csv", as_csv(ROWS))
    place = UploadedFiles(tmp_path, sqlite_store.uploads)

    def die(*arguments: Any) -> None:
        if dies_in != "_tidy" or (folder / f"data.{REWRITTEN}").exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        if dies_in == "_tidy":
            killed.setattr("resources.erased_uploads._tidy", die)
        else:
            killed.setattr(sqlite_store.uploads if dies_in == "change" else place, dies_in, die)
        with pytest.raises(KeyboardInterrupt):
            place.erase(WHO)
    place.erase(WHO)
    assert sorted(lines_of(folder).values()) == ["v", "v", "w"]
    assert [path.name for path in folder.iterdir()] == [f"data.{REWRITTEN}"]


def test_what_is_ingested_afterwards_has_the_ids_it_had(sqlite_store: Store, sqlite_url: str, tmp_path: Path) -> None:
    content = json.dumps([ROWS[0], "no record", *ROWS[1:]]).encode()  # all on one line
    upload(sqlite_store, tmp_path, "json", content)
    before = ingested(sqlite_store, sqlite_url, tmp_path)
    sqlite_store.conversations.erase_user("u")
    UploadedFiles(tmp_path, sqlite_store.uploads).erase(WHO)
    after = ingested(sqlite_store, sqlite_url, tmp_path)

    assert before == {f"dataset-1-{n}": f"answer {m}" for n, m in ((1, 1), (3, 2), (4, 3), (5, 4), (6, 5))}
    assert after == {id: reply for id, reply in before.items() if reply not in ("answer 2", "answer 4")}


def test_what_is_asked_while_a_file_is_ingested_is_heeded(sqlite_store: Store, sqlite_url: str, tmp_path: Path) -> None:
    upload(sqlite_store, tmp_path, "csv", CONTENTS["csv"])
    sqlite_store.conversations.erase_user("u")

    assert sorted(ingested(sqlite_store, sqlite_url, tmp_path).values()) == ["answer 1", "answer 3", "answer 5"]


def test_who_was_erased_while_a_file_is_ingested_is_not_taken_in_once_that_is_done(
    sqlite_store: Store, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(sqlite_store, tmp_path, "csv", CONTENTS["csv"])
    sqlite_store.conversations.erase_user("u")
    still_due, take = [True], upload_ingestion._take

    def done_meanwhile(*given: Any) -> float:
        still_due.clear()
        return take(*given)

    monkeypatch.setattr(upload_ingestion, "_CHUNK", 1)
    monkeypatch.setattr(upload_ingestion, "_take", done_meanwhile)
    monkeypatch.setattr(Erasures, "due", lambda self, settled: [WHO] if still_due else [])
    assert sorted(ingested(sqlite_store, sqlite_url, tmp_path).values()) == ["answer 1", "answer 3", "answer 5"]


def ingested(store: Store, url: str, root: Path) -> dict[str, str]:
    """What the store holds of the first upload once it was ingested (again)."""
    row = store.uploads.get(1)
    job = {"id": 1, "path": str(root / "1" / f"data.{row.extension}"), "extension": row.extension, "format": "alpaca"}
    more = {"mapping": {}, "created_at": row.created_at.isoformat(), "provenance": "human", "skip_invalid": True}
    ingest({**job, **more, "database_url": url})
    return {one.conversation.id: one.conversation.reply for one in store.conversations.page(source="dataset-1").items}
