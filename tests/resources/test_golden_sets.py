import json
from pathlib import Path

import pytest

from resources.golden_sets import golden_conversations
from resources.store import Store
from resources.upload_files import UploadFiles

VALUES = {
    "name": "golden", "version": "1.0.0", "format": "alpaca", "file_name": "golden.jsonl", "extension": "jsonl",
    "size_bytes": 1, "sha256": "a" * 64, "mapping": {}, "tags": ["ko"], "dataset_metadata": {}, "stats": {},
}  # fmt: skip
ROW = {"instruction": "환불은 며칠 걸리나요?", "input": "", "output": "영업일로 사흘 걸립니다."}


def uploaded(store: Store, root: Path, text: str, kind: str = "golden", **changed: object) -> int:
    files = UploadFiles(root)
    with files.stage() as staged:
        staged.write(text.encode())
        staged.finish()
        made = store.uploads.add({**VALUES, "kind": kind, **changed}, lambda id: files.place(staged, id, "jsonl"))
        staged.kept = True
    return made.id


def line(**changed: str) -> str:
    return json.dumps({**ROW, **changed}, ensure_ascii=False) + "\n"


def test_without_a_golden_set_there_is_nothing_to_ask(store: Store, tmp_path: Path) -> None:
    uploaded(store, tmp_path, line(), kind="training")
    assert golden_conversations(store, tmp_path) is None


def test_questions_and_references_are_read_in_order_and_bad_lines_left_out(store: Store, tmp_path: Path) -> None:
    uploaded(store, tmp_path, line() + "no json\n" + line(instruction="영업시간은 언제인가요?"))
    found = golden_conversations(store, tmp_path)
    assert found is not None
    assert [one.last_user for one in found] == ["환불은 며칠 걸리나요?", "영업시간은 언제인가요?"]
    assert found[0].reply == ROW["output"]


def test_a_deleted_set_is_no_longer_asked(store: Store, tmp_path: Path) -> None:
    store.uploads.delete(uploaded(store, tmp_path, line()))
    assert golden_conversations(store, tmp_path) is None


def test_a_set_that_does_not_read_leaves_the_gate_with_nothing_to_say(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    id = uploaded(store, tmp_path, line())
    UploadFiles(tmp_path).data(id, "jsonl").unlink()
    assert golden_conversations(store, tmp_path) == []
    assert "does not read" in caplog.text
    assert "환불" not in caplog.text
