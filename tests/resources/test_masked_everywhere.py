"""Whatever file text is written into: the recogniser of the settings has seen it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.formats import EXPORT_FORMATS, ExportFormat
from core.pii import PersonalData
from resources.conversation_exports import exports
from resources.feedback import Feedback
from resources.preferences import corrections, ratings
from resources.recognisers import RecogniserMissing
from resources.screening_rows import write_units
from resources.store import Store
from resources.upload_worker import answer
from tests.own_names import own_names
from tests.resources.examples import NOON, conversation

NAME = "황보민수"
SAID = f"{NAME}님께 보낼 인사말을 하나 써 주세요, 번호는 {{}}번입니다."
REPLY = f"안녕하세요, {NAME}님. 지난번에는 도와주셔서 정말 고마웠습니다. 다시 뵙기를 바랍니다, {{}}."


def by_name(text: str) -> list[PersonalData]:
    starts = [at for at in range(len(text)) if text.startswith(NAME, at)]
    return [PersonalData("name", at, at + len(NAME), True) for at in starts]


@pytest.fixture(autouse=True)
def presidio(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its place, one that knows a single name."""
    monkeypatch.setattr("resources.recognisers._presidio", lambda: by_name)


def done(folder: Path, task: str, **more: Any) -> dict[str, Any]:
    rows = [{"instruction": SAID.format(n * 7919), "output": REPLY.format(n * 104729)} for n in range(9)]
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    job = {"task": task, "id": 1, "path": str(path), "extension": "jsonl", "format": "alpaca", "mapping": {}}
    answered = answer({**job, "created_at": NOON.isoformat(), "recogniser": "presidio", **more})
    found: dict[str, Any] = answered["done"]
    return found


def written(folder: Path) -> str:
    files = [path for path in folder.iterdir() if path.name != "data.jsonl"]
    assert files
    return "".join(path.read_text() for path in files)


@pytest.mark.parametrize("format", ["messages", "sharegpt", "alpaca"])
def test_an_upload_in_another_format(tmp_path: Path, format: str) -> None:
    more = {"output_format": format, "skip_invalid": True, "validate": False, "base_model": "b"}
    done(tmp_path, "preprocess", **more)
    assert NAME not in written(tmp_path)
    assert "[NAME_1]" in written(tmp_path)


def test_the_parts_of_an_upload(tmp_path: Path) -> None:
    done(tmp_path, "split", shares={"train": 0.6, "validation": 0.2, "test": 0.2})
    assert NAME not in written(tmp_path)
    assert "[NAME_1]" in written(tmp_path)


def test_the_examples_of_an_upload_and_what_its_checks_count(tmp_path: Path) -> None:
    shown = done(tmp_path, "statistics", count_tokens=False)["sample_examples"]
    assert NAME not in str(shown)
    assert "[NAME_1]" in str(shown)
    assert done(tmp_path, "validate", checks=["personal_data"], max_tokens=100)["pii"] == {"name": 18}


def test_a_recogniser_that_is_missing_is_told_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise RecogniserMissing("DATA_RECOGNISER=presidio needs the package presidio-analyzer")

    monkeypatch.setattr("resources.recognisers._presidio", missing)
    job = {"path": str(tmp_path / "data.jsonl"), "extension": "jsonl", "format": "alpaca", "mapping": {}, "id": 1}
    (tmp_path / "data.jsonl").write_text(json.dumps({"instruction": "a?", "output": "b"}))
    shares = {"shares": {"train": 0.6, "validation": 0.2, "test": 0.2}}
    refused = answer({**job, **shares, "task": "split", "created_at": NOON.isoformat(), "recogniser": "presidio"})
    assert refused["refused"]["rule"] == "recogniser_missing"
    assert "presidio-analyzer" in refused["refused"]["message"]


def rated(store: Store) -> None:
    for id in ("good", "bad"):
        one = conversation(id, SAID.format(id), reply=REPLY.format(id), provenance="self", user_id="ada")
        store.conversations.capture([one])
        store.conversations.feedback(Feedback(conversation_id=id, thumb=1 if id == "good" else -1))
    store.conversations.feedback(Feedback(conversation_id="bad", corrected_reply=f"{NAME}님, 안녕히 계세요."))
    store.database.write(lambda c: write_units(c, {"user:ada": "train"}))


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_the_store_as_a_file_for_another_tool(sqlite_store: Store, format: ExportFormat) -> None:
    rated(sqlite_store)
    records = [record for record, _ in exports(sqlite_store.database, format, by_name) if record]
    assert records
    assert NAME not in str(records)
    assert "[NAME_1]" in str(records)


def test_preferences_in_both_replies_so_that_a_pair_is_still_one(sqlite_store: Store) -> None:
    rated(sqlite_store)
    stored = sqlite_store.conversations.get("bad.corrected")
    assert stored
    asked = stored.conversation.messages[0].model_copy(update={"content": SAID.format("bad").replace(NAME, "[NAME_1]")})
    hidden = sqlite_store.pseudonyms().conversation(
        stored.conversation.model_copy(update={"messages": (asked,), "reply": "[NAME_1]님, 안녕히 계세요."})
    )
    (pair,) = corrections(sqlite_store, [hidden], by_name)
    (blamed,) = ratings(sqlite_store, [], by_name)
    assert Counter(NAME in str(record) for record in (pair, blamed)) == {False: 2}
    assert own_names(sqlite_store, [hidden])[0].id == "bad.corrected"
