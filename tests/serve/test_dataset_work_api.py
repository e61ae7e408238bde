"""What is done with an uploaded dataset over HTTP: looked into, checked, rewritten, split, fetched, ingested."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.pii import PersonalData
from resources.store import Store
from tests.serve.test_datasets_api import PATH, sent
from tests.tiny_tokenizer import CHATML, tokenizer_folder

pytestmark = pytest.mark.anyio

Row = dict[str, Any]


def alpaca(number: int, **more: Any) -> Row:
    asked = f"How do I replace part {number} of the printer?"
    said = f"Open the lid, take part {number} out and put the new one in. Close the lid until it clicks."
    return {"instruction": asked, "input": "", "output": said, **more}


def lines(rows: Sequence[Row]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


GOOD = [
    alpaca(10),
    alpaca(0, instruction="Which paper fits into the upper tray?", output="Plain paper of 80 grams, 200 sheets."),
    alpaca(0, instruction="Why does the red light blink?", output="The drum is at its end and wants to be replaced."),
]
RRN = alpaca(4, instruction="My number is 900101-1234567, who am I?")
MAIL = alpaca(5, instruction="Write to ann@example.com for me please?")


async def test_figures_are_known_from_the_first_reading(client: httpx.AsyncClient) -> None:
    made = await sent(client, lines(GOOD))
    stats = (await client.get(f"{PATH}/1/stats")).json()

    assert (made["format"], made["total_samples"]) == ("alpaca", 3)
    assert made["avg_instruction_length"] == round(sum(len(row["instruction"]) for row in GOOD) / 3, 2)
    assert made["avg_output_length"] == round(sum(len(row["output"]) for row in GOOD) / 3, 2)
    assert {name: stats[name] for name in ("dataset_id", "total_samples", "invalid_samples")} == {
        "dataset_id": 1,
        "total_samples": 3,
        "invalid_samples": 0,
    }


async def test_statistics_have_the_agreed_shape_and_masked_examples(client: httpx.AsyncClient, tmp_path: Path) -> None:
    await sent(client, lines([RRN, MAIL, *GOOD]), "team.jsonl")
    found = (await client.get(f"{PATH}/1/statistics")).json()

    assert list(found) == ["dataset_id", "file_path", "statistics"]
    assert (found["dataset_id"], found["file_path"]) == (1, "team.jsonl")
    agreed = {"total_samples", "avg_instruction_length", "avg_output_length", "token_distribution", "sample_examples"}
    assert set(found["statistics"]) == agreed
    assert found["statistics"]["token_distribution"] is None
    shown = [example["instruction"] for example in found["statistics"]["sample_examples"]]
    assert shown[:2] == ["My number is [RRN], who am I?", "Write to [EMAIL_1] for me please?"]
    assert len(shown) == 3
    assert str(tmp_path) not in json.dumps(found)


@pytest.mark.parametrize("changes", [{"recogniser": "presidio"}])
async def test_the_recogniser_of_the_settings_sees_what_is_shown_and_written(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = PersonalData("name", 0, 5, True)
    monkeypatch.setattr("resources.recognisers._presidio", lambda: lambda text: [found] if "tray" in text else [])
    await sent(client, lines(GOOD))
    shown = (await client.get(f"{PATH}/1/statistics")).json()["statistics"]["sample_examples"]
    await client.post(f"{PATH}/1/preprocess", params={"output_format": "messages"})
    written = await client.get(f"{PATH}/1/download", params={"output_format": "messages"})
    assert "[NAME_1] paper fits into the upper tray?" in [example["instruction"] for example in shown]
    assert "[NAME_1] paper fits" in written.text


async def test_a_good_file_is_valid_and_a_log_is_kept_of_every_run(client: httpx.AsyncClient) -> None:
    await sent(client, lines(GOOD))
    first = (await client.post(f"{PATH}/1/validate")).json()
    second = (await client.post(f"{PATH}/1/validate", json={"checks": ["rules"]})).json()

    agreed = ["dataset_id", "is_valid", "quality_score", "total", "valid", "pii", "duplicates", "findings"]
    assert set(agreed) <= set(first)
    assert (first["dataset_id"], first["is_valid"], first["total"], first["valid"]) == (1, True, 3, 3)
    assert (first["pii"], first["duplicates"]) == ({}, {"exact": 0, "near": 0})
    assert 0 < first["quality_score"] <= 1
    assert (second["log"], second["checks"]) == (first["log"] + 1, ["rules"])
    dataset = (await client.get(f"{PATH}/1")).json()
    assert (dataset["status"], dataset["quality_score"]) == ("validated", second["quality_score"])


async def test_findings_say_where_and_why_and_quote_nothing(client: httpx.AsyncClient) -> None:
    near = alpaca(10, output=GOOD[0]["output"] + " Done.")
    rows = [GOOD[0], RRN, MAIL, {"instruction": "Hi?", "output": ""}, GOOD[0], near]
    body = lines(rows) + b'{"instruction": "torn'
    made = await sent(client, body, skip_invalid="true")
    assert (made["total_samples"], (await client.get(f"{PATH}/1/stats")).json()["invalid_samples"]) == (6, 1)
    found = (await client.post(f"{PATH}/1/validate")).json()

    assert (found["is_valid"], found["total"], found["valid"]) == (False, 7, 3)
    assert (found["pii"], found["duplicates"]) == ({"rrn": 1, "email": 1}, {"exact": 1, "near": 1})
    assert all(set(one) == {"line", "column", "rule", "severity", "message"} for one in found["findings"])
    said = [(one["line"], one["rule"], one["severity"]) for one in found["findings"] if one["severity"] == "error"]
    assert said == [
        (2, "personal_data", "error"),
        (4, "empty_reply", "error"),
        (5, "duplicate", "error"),
        (7, "torn_last_line", "error"),
    ]
    torn = found["findings"][-1]
    assert torn["column"] > 1
    assert not {"900101", "ann@", "printer"} & set(json.dumps(found).split())
    assert "900101" not in json.dumps(found)

    page = (await client.get(f"{PATH}/1/findings", params={"rule": "duplicate"})).json()
    assert (page["total"], page["items"][0]["line"], page["log"]["log"]) == (1, 5, found["log"])
    assert (await client.get(f"{PATH}/1/findings", params={"severity": "error"})).json()["total"] == 4
    assert (await client.get(f"{PATH}/1/findings", params={"log": 99})).status_code == 404
    assert (await client.get(f"{PATH}/1")).json()["status"] == "invalid"


@pytest.mark.parametrize("changes", [{"max_tokens": 150}])
async def test_tokens_are_those_of_the_base_models_template(
    client: httpx.AsyncClient, changes: Any, tmp_path: Path
) -> None:
    tokenizer_folder(tmp_path, CHATML)
    await sent(client, lines([{"instruction": "Hi?", "output": "Ho."}, {"instruction": "Hi?", "output": "Ho. " * 50}]))
    counted = (await client.get(f"{PATH}/1/statistics", params={"count_tokens": True})).json()["statistics"]
    checked = (await client.post(f"{PATH}/1/validate", json={"checks": ["tokens"]})).json()

    rendered = len("\nuser\nHi?\nassistant\nHo.") + 3  # bytes, and a special token where a turn begins or ends
    spread = counted["token_distribution"]
    assert (spread["min"], spread["max"] - spread["min"]) == (spread["total"] - spread["max"], len("Ho. " * 50) - 3)
    assert abs(spread["min"] - rendered) <= 3
    assert [(one["line"], one["rule"]) for one in checked["findings"]] == [(2, "too_many_tokens")]
    assert (checked["valid"], checked["checks"]) == (1, ["tokens"])


FORMATS = {
    "alpaca": ("instruction", "output"),
    "sharegpt": ("conversations",),
    "messages": ("messages",),
    "prompt_completion": ("prompt", "completion"),
}


async def test_a_file_is_rewritten_masked_and_fetched(client: httpx.AsyncClient, tmp_path: Path) -> None:
    await sent(client, lines([*GOOD, MAIL]))
    for wanted, columns in FORMATS.items():
        await rewritten(client, wanted, columns, tmp_path)


async def rewritten(client: httpx.AsyncClient, wanted: str, columns: Sequence[str], tmp_path: Path) -> None:
    query = {"output_format": wanted}
    made = (await client.post(f"{PATH}/1/preprocess", params=query)).json()

    agreed = ["dataset_id", "message", "output_path", "statistics", "validation_errors"]
    assert sorted(made) == agreed
    assert (made["dataset_id"], made["output_path"]) == (1, f"dataset-1-{wanted}.jsonl")
    assert (made["statistics"]["written"], made["validation_errors"]) == (4, [])
    assert str(tmp_path) not in json.dumps(made)
    fetched = await client.get(f"{PATH}/1/download", params=query)
    assert hashlib.sha256(fetched.content).hexdigest() == made["statistics"]["sha256"]
    rows = [json.loads(line) for line in fetched.text.splitlines()]
    assert len(rows) == 4
    assert all(set(columns) <= set(row) for row in rows)
    assert "ann@example.com" not in fetched.text
    assert "[EMAIL_1]" in fetched.text
    assert (await client.get(f"{PATH}/1")).json()["status"] == "preprocessed"
    config = await client.get(f"{PATH}/1/download", params={**query, "config": True})
    if wanted in ("messages", "sharegpt"):
        assert "type: chat_template" in config.text
        assert made["statistics"]["config_path"] == f"dataset-1-{wanted}.axolotl.yaml"
    else:
        assert (config.status_code, made["statistics"]["config_path"]) == (404, None)


async def test_alpaca_is_written_unless_another_format_is_wanted(client: httpx.AsyncClient) -> None:
    await sent(client, lines(GOOD))

    assert (await client.post(f"{PATH}/1/preprocess")).json()["output_path"] == "dataset-1-alpaca.jsonl"
    assert (await client.get(f"{PATH}/1/download")).status_code == 200


async def test_invalid_samples_are_refused_or_skipped_and_named(client: httpx.AsyncClient) -> None:
    await sent(client, lines([*GOOD, {"instruction": "Hi?", "output": ""}]))
    refused = await client.post(f"{PATH}/1/preprocess")
    skipped = (await client.post(f"{PATH}/1/preprocess", params={"skip_invalid": True})).json()
    unchecked = (await client.post(f"{PATH}/1/preprocess", params={"validate": False})).json()

    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_samples")
    assert "line 4, empty_reply" in refused.json()["error"]["message"]
    assert (skipped["statistics"]["written"], skipped["statistics"]["skipped"]) == (3, 1)
    assert [(one["line"], one["rule"]) for one in skipped["validation_errors"]] == [(4, "empty_reply")]
    assert unchecked["statistics"]["written"] == 4


async def test_preferences_need_somebodys_opinion(client: httpx.AsyncClient) -> None:
    rated = [{"prompt": f"Question {n}?", "completion": f"A good answer to {n}.", "label": True} for n in range(3)]
    await sent(client, lines(rated))
    await sent(client, lines(GOOD), version="1.0.1")

    kto = (await client.post(f"{PATH}/1/preprocess", params={"output_format": "kto"})).json()
    assert kto["statistics"]["written"] == 3
    for id, wanted in ((2, "kto"), (2, "dpo")):
        refused = await client.post(f"{PATH}/{id}/preprocess", params={"output_format": wanted})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "nothing_to_write")


def people(count: int) -> list[Row]:
    return [
        alpaca(
            1000 + 37 * n, user_id=f"user{n % 23}", output=f"Answer {n * n} for {n}: turn {n % 7} screws by {n * 3}."
        )
        for n in range(count)
    ]


async def test_a_split_keeps_users_and_near_duplicates_together(client: httpx.AsyncClient, tmp_path: Path) -> None:
    twins = [alpaca(5, user_id="twin-a"), alpaca(5, user_id="twin-b", output=alpaca(5)["output"] + " Done.")]
    await sent(client, lines([*people(200), *twins, *people(3)]))
    made = (await client.post(f"{PATH}/1/split", json={"train": 0.7, "validation": 0.2, "test": 0.1})).json()

    parts = made["split"]
    assert (made["dataset_id"], list(parts), made["duplicates_left_out"]) == (1, ["train", "validation", "test"], 3)
    counts = [parts[part]["count"] for part in parts]
    assert sum(counts) == 202
    assert [abs(count / 202 - share) < 0.08 for count, share in zip(counts, (0.7, 0.2, 0.1), strict=True)] == [True] * 3
    where: dict[str, set[str]] = {}
    owners = {row["output"]: row["user_id"] for row in [*people(200), *twins]}
    for part in parts:
        fetched = await client.get(f"{PATH}/1/download", params={"part": part})
        assert hashlib.sha256(fetched.content).hexdigest() == parts[part]["sha256"]
        for line in fetched.text.splitlines():
            where.setdefault(owners[json.loads(line)["messages"][-1]["content"]], set()).add(part)
    assert all(len(found) == 1 for found in where.values()), "a user is on one side"
    assert where["twin-a"] == where["twin-b"], "near-duplicates are on one side"
    again = (await client.post(f"{PATH}/1/split", json={"train": 0.7, "validation": 0.2, "test": 0.1})).json()
    assert again == made


async def test_a_set_is_ingested_once_however_often_it_is_asked(client: httpx.AsyncClient, store: Store) -> None:
    await sent(client, lines([*GOOD, RRN, GOOD[0]]))
    first = (await client.post(f"{PATH}/1/ingest", json={"provenance": "human"})).json()
    second = (await client.post(f"{PATH}/1/ingest", json={"provenance": "human"})).json()

    assert first["ingested"]["state"] == "completed"
    counts = {name: first["ingested"][name] for name in ("accepted", "duplicates", "rejected")}
    assert counts == {"accepted": 4, "duplicates": 1, "rejected": {}}
    assert second == first
    assert store.conversations.counts().rows == 5
    one = store.conversations.get("dataset-1-1")
    assert one
    assert (one.conversation.source, one.conversation.provenance, one.eligible) == ("dataset-1", "human", True)
    assert (await client.get(f"{PATH}/1")).json()["ingested"] == first["ingested"]
    held = store.conversations.get("dataset-1-4")
    assert held
    assert "900101" not in held.conversation.last_user
    other = await client.post(f"{PATH}/1/ingest", json={"provenance": "teacher"})
    assert (other.status_code, other.json()["error"]["param"]) == (409, "provenance")


async def test_bad_lines_stop_an_ingestion_before_it_begins_unless_skipped(
    client: httpx.AsyncClient, store: Store
) -> None:
    await sent(client, lines([*GOOD, {"instruction": "Hi?", "output": " "}]))
    refused = await client.post(f"{PATH}/1/ingest", json={"provenance": "human"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_samples")
    assert store.conversations.counts().rows == 0
    taken = (await client.post(f"{PATH}/1/ingest", json={"provenance": "human", "skip_invalid": True})).json()

    assert (taken["ingested"]["accepted"], taken["ingested"]["rejected"]) == (3, {"empty_reply": 1})


async def test_a_golden_set_is_never_ingested(client: httpx.AsyncClient, store: Store) -> None:
    await sent(client, lines(GOOD), kind="golden")
    refused = await client.post(f"{PATH}/1/ingest", json={"provenance": "human"})

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "golden_set")
    assert (await client.get(PATH, params={"kind": "golden"})).json()["total"] == 1
    assert store.conversations.counts().rows == 0


WRONG: dict[str, tuple[str, str, Any, int]] = {
    "statistics of nothing": ("GET", "/9/statistics", None, 404),
    "statistics of a deleted one": ("GET", "/2/statistics", None, 409),
    "an odd count_tokens": ("GET", "/1/statistics?count_tokens=maybe", None, 422),
    "findings before a run": ("GET", "/1/findings", None, 404),
    "an unknown check": ("POST", "/1/validate", {"checks": ["spelling"]}, 422),
    "no check": ("POST", "/1/validate", {"checks": []}, 422),
    "an unknown format": ("POST", "/1/preprocess?output_format=excel", None, 422),
    "an unknown query": ("POST", "/1/preprocess?format=alpaca", None, 422),
    "a download before": ("GET", "/1/download", None, 404),
    "a download outside": ("GET", "/1/download?part=../../data", None, 422),
    "shares that are no whole": ("POST", "/1/split", {"train": 0.5}, 422),
    "a negative share": ("POST", "/1/split", {"train": 1.2, "validation": -0.2, "test": 0}, 422),
    "no provenance": ("POST", "/1/ingest", {}, 422),
    "an unknown provenance": ("POST", "/1/ingest", {"provenance": "robot"}, 422),
    "an ingestion of a deleted one": ("POST", "/2/ingest", {"provenance": "human"}, 409),
    "a number beyond any": ("POST", f"/{10**30}/validate", None, 404),
}


async def test_a_wrong_question_is_refused(client: httpx.AsyncClient) -> None:
    await sent(client, lines(GOOD))
    await sent(client, lines(GOOD), version="1.0.1")
    await client.delete(f"{PATH}/2")
    for name, (method, path, body, status) in WRONG.items():
        answer = await client.request(method, PATH + path, json=body)
        assert answer.status_code == status, f"{name}: {answer.text}"
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}, name


async def test_a_file_that_is_gone_is_said_plainly(client: httpx.AsyncClient, tmp_path: Path) -> None:
    await sent(client, lines(GOOD))
    (tmp_path / "uploads" / "1" / "data.jsonl").unlink()
    answer = await client.post(f"{PATH}/1/validate")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "file_gone")
    assert str(tmp_path) not in answer.text
