"""The loop's status, requests to train, progress, events and settings over HTTP."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.gate import ArtifactSanity, Evaluation, GateThresholds, PairedLoss, Verdict
from resources.progress import Progress
from resources.store import Store
from serve.limits import IngressLimits
from tests.serve.asgi_call import AsgiCall

pytestmark = pytest.mark.anyio


def row(number: int, **more: Any) -> dict[str, Any]:
    question = {"role": "user", "content": f"Question {number}?"}
    return {"messages": [question], "reply": f"Answer {number}.", "provenance": "human", **more}


async def fill(client: httpx.AsyncClient, count: int) -> None:
    answer = await client.post("/mlops/conversations", json=[row(number) for number in range(count)])
    assert answer.json()["accepted"] == count


async def test_status_of_an_empty_store(client: httpx.AsyncClient) -> None:
    status = (await client.get("/mlops/status")).json()

    assert status["collector_stats"] | {"file_size_kb": 0} == {
        "total_collected": 0,
        "filtered_out": 0,
        "collection_rate": None,
        "file_size_kb": 0,
        "eligible": 0,
        "waiting": 0,
        "incomplete": 0,
    }
    assert status["collector_stats"]["file_size_kb"] > 0
    assert status["training_status"] == {
        "batch_size": 50,
        "in_progress": False,
        "pending_request": False,
        "current_version": "base",
        "should_train": False,
        "waiting": 0,
        "paused": None,
        "last_verdict": None,
    }
    assert status["performance_metrics"] == {"avg_training_time_seconds": None, "success_rate": None}


async def test_status_counts_duplicates_as_filtered_out(client: httpx.AsyncClient) -> None:
    await client.post("/mlops/conversations", json=[row(1), row(2), row(3), row(3)])
    stats = (await client.get("/mlops/status")).json()["collector_stats"]

    assert (stats["total_collected"], stats["filtered_out"], stats["collection_rate"]) == (3, 1, 75.0)
    assert (stats["eligible"], stats["waiting"]) == (3, 3)


async def test_finetune_below_the_threshold_says_how_many_are_missing(client: httpx.AsyncClient) -> None:
    await fill(client, 3)
    answer = await client.post("/mlops/finetune", json={})

    assert answer.status_code == 409
    assert "47 missing" in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == "below_threshold"


async def test_finetune_by_force_is_accepted_once_and_queued(client: httpx.AsyncClient, store: Store) -> None:
    await fill(client, 3)
    first = await client.post("/mlops/finetune", json={"force": True, "backup_existing": True})
    second = await client.post("/mlops/finetune", json={"force": True})

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == {
        "accepted": True,
        "trigger_id": first.json()["trigger_id"],
        "state": "queued",
        "version": None,
        "waiting": 3,
        "reason": "3 eligible conversations wait",
    }
    assert (second.json()["state"], second.json()["trigger_id"]) == ("already_queued", first.json()["trigger_id"])
    trigger = store.triggers.next()
    assert trigger is not None
    assert (trigger.force, trigger.params) == (True, {"backup_existing": True})


@pytest.mark.parametrize(
    ("path", "body"), [("/mlops/finetune", {"force": True}), ("/mlops/settings", {"finetune_auto_trigger": True})]
)
async def test_a_person_who_acts_ends_a_pause(client: httpx.AsyncClient, store: Store, path: str, body: Any) -> None:
    await fill(client, 3)
    store.pause.set("two rejections in a row")
    assert (await client.get("/mlops/status")).json()["training_status"]["paused"] == "two rejections in a row"
    await client.post(path, json=body)

    assert store.pause.get() is None


async def test_finetune_takes_an_empty_body(client: httpx.AsyncClient) -> None:
    await client.post("/mlops/settings", json={"finetune_batch_size": 2})
    await fill(client, 2)

    assert (await client.post("/mlops/finetune")).status_code == 202


async def test_finetune_while_switched_off_says_so(client: httpx.AsyncClient) -> None:
    await client.post("/mlops/settings", json={"finetune_enabled": False})
    await fill(client, 1)
    answer = await client.post("/mlops/finetune", json={"force": True})

    assert answer.status_code == 409
    assert "finetune_enabled" in answer.json()["error"]["message"]


async def test_progress_of_an_idle_loop(client: httpx.AsyncClient) -> None:
    await fill(client, 3)

    assert (await client.get("/mlops/training-progress")).json() == {
        "state": "idle",
        "version": None,
        "step": None,
        "total_steps": None,
        "progress": 0.0,
        "loss": None,
        "learning_rate": None,
        "tokens_per_second": None,
        "eta_seconds": None,
        "batch_size": 50,
        "new_data_count": 3,
        "remaining": 47,
        "training_queued": False,
    }


async def test_progress_of_a_run(client: httpx.AsyncClient, store: Store) -> None:
    await fill(client, 3)
    claim = store.versions.claim("run-1")
    assert claim is not None
    store.progress.write(claim, Progress(10, 40, 2.5, 1e-4, 800.0, 30.0, "train"))
    found = (await client.get("/mlops/training-progress")).json()
    status = (await client.get("/mlops/status")).json()["training_status"]

    assert (found["state"], found["version"], found["step"], found["total_steps"]) == ("training", 1, 10, 40)
    assert (found["progress"], found["loss"], found["eta_seconds"]) == (0.25, 2.5, 30.0)
    assert (status["in_progress"], status["pending_request"]) == (True, False)


async def test_a_loss_that_is_no_number_is_told_as_none(client: httpx.AsyncClient, store: Store) -> None:
    await fill(client, 3)
    claim = store.versions.claim("run-1")
    assert claim is not None
    store.progress.write(claim, Progress(10, 40, float("nan"), 1e-4, 800.0, float("inf"), "train"))
    found = (await client.get("/mlops/training-progress")).json()

    assert (found["step"], found["loss"], found["eta_seconds"]) == (10, None, None)


async def test_progress_streams_every_change(api: Any, client: httpx.AsyncClient, store: Store) -> None:
    call = AsgiCall(api, "GET", "/mlops/training-progress", headers={"accept": "text/event-stream"})
    await call.until('"state": "idle"')
    await fill(client, 1)
    await call.until('"new_data_count": 1')
    claim = store.versions.claim("run-1")
    assert claim is not None
    store.progress.write(claim, Progress(1, 4, 2.5, 1e-4, 800.0, 30.0, "train"))
    await call.until('"step": 1')
    call.leave()
    await call.task

    assert call.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(part[6:]) for part in call.text.split("\n\n") if part.startswith("data: ")]
    assert all(before != after for before, after in pairwise(events)), "only changes are sent"


@pytest.mark.parametrize("changes", [{"limits": IngressLimits(progress_streams=1)}])
async def test_one_progress_stream_too_many_is_turned_away(api: Any, changes: dict[str, Any]) -> None:
    accept = {"accept": "text/event-stream"}
    first = AsgiCall(api, "GET", "/mlops/training-progress", headers=accept)
    await first.until("idle")
    second = AsgiCall(api, "GET", "/mlops/training-progress", headers=accept)
    await second.task
    first.leave()
    await first.task
    third = AsgiCall(api, "GET", "/mlops/training-progress", headers=accept)
    await third.until("idle")
    third.leave()
    await third.task

    assert (second.status, third.status) == (503, 200)


async def test_history_tells_of_each_version(client: httpx.AsyncClient, store: Store) -> None:
    await fill(client, 3)
    claim = store.versions.claim("run-1")
    assert claim is not None
    store.versions.set_mlflow_run(claim, "abc")
    (found,) = (await client.get("/mlops/training-history", params={"limit": 5, "offset": 0})).json()

    assert (found["version"], found["state"], found["mlflow_run_id"]) == (1, "open", "abc")
    assert (found["verdict"], found["reasons"], found["finished_at"], found["seconds"]) == (None, [], None, None)
    assert found["conversations"] == 3
    assert (await client.get("/mlops/training-history", params={"offset": 1})).json() == []


async def test_history_and_status_tell_the_verdict(client: httpx.AsyncClient, store: Store, tmp_path: Path) -> None:
    await fill(client, 3)
    claim = store.versions.claim("run-1")
    assert claim is not None
    pairs = tuple(
        PairedLoss(conversation_id=f"c{n}", unit=f"u{n}", tokens=5, base=3.0, candidate=2.0 + n) for n in range(2)
    )
    sane = ArtifactSanity(finite=True, changed=True, right_base=True)
    measured = Evaluation(version=1, base_fingerprint="fake", held_out=pairs, general=(), sanity=sane)
    (tmp_path / "evaluation.json").write_text(measured.model_dump_json())
    verdict = Verdict(promoted=False, reasons=("not enough evidence",), checks=(), thresholds=GateThresholds())
    store.versions.mark_trained(claim, "0" * 64, {})
    store.versions.set_verdict(claim, verdict, str(tmp_path / "report.md"))
    progress = (await client.get("/mlops/training-progress")).json()
    store.versions.conclude(claim, None)
    (found,) = (await client.get("/mlops/training-history")).json()
    status = (await client.get("/mlops/status")).json()

    assert progress["state"] == "registering"
    assert (found["state"], found["verdict"], found["reasons"]) == ("rejected", "rejected", ["not enough evidence"])
    assert found["held_out_loss"] == 2.5
    assert found["seconds"] >= 0
    last = {"version": 1, "promoted": False, "reasons": ["not enough evidence"]}
    assert status["training_status"]["last_verdict"] == last
    assert status["performance_metrics"]["success_rate"] == 100.0, "a rejected candidate is no failure"


async def test_settings_are_changed_whole_or_not_at_all(client: httpx.AsyncClient) -> None:
    bad = await client.post("/mlops/settings", json={"finetune_batch_size": 7, "finetune_epochs": 99})
    assert bad.status_code == 422
    assert (await client.get("/mlops/settings")).json()["finetune_batch_size"] == 50

    good = await client.post("/mlops/settings", json={"finetune_batch_size": 7})
    assert good.json()["finetune_batch_size"] == 7
    assert (await client.get("/mlops/settings")).json() == good.json()


async def test_the_webhook_address_can_be_written_and_not_read(client: httpx.AsyncClient) -> None:
    hook = {"finetune_webhook_url": "https://hooks.example/secret-part"}
    answer = await client.post("/mlops/settings", json=hook)

    assert answer.json()["finetune_webhook_set"] is True
    everything = [await client.get(path) for path in ("/mlops/settings", "/mlops/events", "/mlops/status")]
    assert all("secret-part" not in found.text for found in [answer, *everything])


async def test_events_are_newest_first_and_can_be_followed(client: httpx.AsyncClient, store: Store) -> None:
    first = store.events.add("swap", "one", 1, {"x": 1})
    store.events.add("other", "two")
    store.events.add("swap", "three")
    newest = (await client.get("/mlops/events", params={"limit": 2})).json()
    after = (await client.get("/mlops/events", params={"after": first.id})).json()
    swaps = (await client.get("/mlops/events", params={"type": "swap"})).json()

    older = (await client.get("/mlops/events", params={"offset": 1, "limit": 1})).json()

    assert [event["message"] for event in older] == ["two"]
    assert all(event["timestamp"].endswith("Z") for event in newest)
    assert [event["message"] for event in newest] == ["three", "two"]
    assert [event["message"] for event in after] == ["two", "three"]
    assert [event["message"] for event in swaps] == ["three", "one"]
    assert set(newest[0]) == {"id", "timestamp", "type", "version", "message", "data"}
    assert (swaps[1]["version"], swaps[1]["data"]) == (1, {"x": 1})


async def test_what_the_settings_show_can_be_sent_back(client: httpx.AsyncClient) -> None:
    for hook in (None, "https://hooks.example/secret-part"):
        await client.post("/mlops/settings", json={"finetune_webhook_url": hook})
        shown = (await client.get("/mlops/settings")).json()
        answer = await client.post("/mlops/settings", json=shown)
        assert (answer.status_code, answer.json()) == (200, shown)
        assert shown["finetune_webhook_set"] is bool(hook)


async def test_a_webhook_is_not_set_by_saying_that_it_is(client: httpx.AsyncClient) -> None:
    answer = await client.post("/mlops/settings", json={"finetune_webhook_set": True, "finetune_epochs": 3})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "finetune_webhook_set")
    assert (await client.get("/mlops/settings")).json()["finetune_epochs"] == 2


async def test_a_request_sent_again_after_its_version_began_gets_the_same_answer(
    client: httpx.AsyncClient, store: Store
) -> None:
    await fill(client, 1)
    key = {"idempotency-key": "k1"}
    first = await client.post("/mlops/finetune", json={"force": True}, headers=key)
    store.versions.claim("run-1")
    again = await client.post("/mlops/finetune", json={"force": True}, headers=key)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["trigger_id"] == first.json()["trigger_id"]
    assert (again.json()["state"], again.json()["version"]) == ("already_queued", 1)
    assert (await client.post("/mlops/finetune", json={"force": True})).status_code == 409
