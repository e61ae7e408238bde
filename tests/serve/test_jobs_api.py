"""The routes of jobs: what they take, what they refuse, and that a refusal changes nothing."""

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.live_settings import LiveSettings
from core.manifest import Manifest
from core.recipe import Recipe
from core.wish import wish_in
from resources import folders
from resources.job_files import note_checkpoints
from resources.progress import Progress
from resources.store import Store
from serve.deployment_plan import DeploymentPlan
from tests.resources.examples import SHA, claimed, conclude, fill

pytestmark = pytest.mark.anyio

URL = "/api/v1/admin/finetuning/jobs"
HYPER: dict[str, Any] = {
    "lora_r": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "target_modules": ["q_proj", "v_proj"],
    "learning_rate": 2e-4,
    "num_epochs": 3,
    "micro_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "gradient_checkpointing": True,
    "bf16": True,
    "keep_last_n": 3,
}
BODY: dict[str, Any] = {
    "job_name": "support-ko-1",
    "base_model": "tiny",
    "dataset_id": "eligible",
    "method": "lora",
    "hyperparameters": HYPER,
}
FIELDS = {
    "id", "job_name", "base_model", "dataset_id", "method", "hyperparameters", "status", "progress", "current_step",
    "total_steps", "eta_seconds", "mlflow_run_id", "error_class", "error_message", "created_at", "started_at",
    "completed_at",
}  # fmt: skip


def made(live: LiveSettings) -> Recipe:
    return Recipe(method=live.finetune_method, epochs=live.finetune_epochs, start_from=live.start_from, pack_tokens=256)


@pytest.fixture
def changes() -> dict[str, Any]:
    layers = [f"model.layers.{n}.self_attn.{end}" for n in (0, 1) for end in ("q_proj", "k_proj", "v_proj")]
    return {"layers": layers, "make_recipe": made}


async def test_a_job_is_asked_for_and_its_numbers_reach_the_version(client: httpx.AsyncClient, store: Store) -> None:
    fill(store, "a", "b")
    answer = await client.post(URL, json=BODY)
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert set(job) > FIELDS
    assert {name: job[name] for name in ("id", "job_name", "base_model", "dataset_id", "method", "status")} == {
        "id": 1, "job_name": "support-ko-1", "base_model": "tiny", "dataset_id": "eligible", "method": "lora",
        "status": "pending",
    }  # fmt: skip
    shown = job["hyperparameters"]
    assert (shown["lora_r"], shown["target_modules"], shown["num_epochs"]) == (8, ["q_proj", "v_proj"], 3)
    assert shown["tokens_per_step"] == 256 * 4 * 2
    assert store.versions.claim("run-1") is not None
    version = store.versions.get(1)
    wish = wish_in(version.settings)
    assert wish.checkpoint_keep == 3
    recipe = wish.on(Recipe())
    assert (recipe.rank, recipe.alpha, recipe.dropout, recipe.learning_rate, recipe.epochs) == (8, 16, 0.05, 2e-4, 3)
    begun = (await client.get(f"{URL}/1")).json()
    assert (begun["status"], begun["hyperparameters"], begun["stage"]) == ("running", shown, "training")


async def test_what_is_left_out_is_as_the_settings_have_it_and_a_key_asks_once(
    client: httpx.AsyncClient, store: Store
) -> None:
    fill(store, "a")
    first = await client.post(URL, json={}, headers={"idempotency-key": "k"})
    again = await client.post(URL, json={}, headers={"idempotency-key": "k"})
    assert (first.status_code, first.json()) == (201, again.json())
    assert (first.json()["job_name"], first.json()["hyperparameters"]["lora_r"]) == ("v1", Recipe().rank)
    other = await client.post(URL, json={})
    assert (other.status_code, "job 1 waiting already" in other.json()["error"]["message"]) == (409, True)


# changes to a sound body, the status they get, and what the sentence names
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"base_model": "gpt-9"}, "base_model: expected tiny, the base that is served, found the name of another"),
    ({"base_model": "../../etc/passwd"}, "found a path"),
    ({"base_model": "/models/tiny"}, "found a path"),
    ({"base_model": "한국어-모델"}, "found the name of another"),
    ({"base_model": ""}, "base_model"),
    ({"base_model": "a\u0000b"}, "NUL"),
    ({"job_name": "../x"}, "job_name"),
    ({"job_name": "작업 1"}, "letters A-Z"),
    ({"job_name": "x" * 256}, "found 256"),
    ({"dataset_id": "everything"}, "dataset_id"),
    ({"dataset_id": 0}, "dataset_id"),
    ({"dataset_id": True}, "dataset_id"),
    ({"dataset_id": "1"}, "dataset_id"),
    ({"dataset_id": 2**40}, "dataset_id"),
    ({"method": "magic"}, "method"),
    ({"method": "full", "hyperparameters": {"start_from": "champion"}}, "champion"),
    ({"gpu_ids": [8]}, "gpu_ids[0]"),
    ({"gpu_ids": [-1]}, "gpu_ids[0]"),
    ({"gpu_ids": [0, 1, 0]}, "expected each GPU once, found 0 2 times"),
    ({"gpu_ids": [True]}, "gpu_ids[0]"),
    ({"gpu_ids": "0"}, "gpu_ids"),
    ({"gpu_ids": [0, 1, 2, 3, 4, 5, 6, 7, 0]}, "gpu_ids"),
    ({"hyperparameters": {"lora_r": 0}}, "hyperparameters.lora_r"),
    ({"hyperparameters": {"lora_r": 65}}, "hyperparameters.lora_r"),
    ({"hyperparameters": {"lora_r": "8"}}, "hyperparameters.lora_r"),
    ({"hyperparameters": {"lora_r": True}}, "hyperparameters.lora_r"),
    ({"hyperparameters": {"lora_r": 8, "rank": 8}}, "each number once, found it as lora_r and as rank"),
    ({"hyperparameters": {"lora_dropout": 1.0}}, "hyperparameters.lora_dropout"),
    ({"hyperparameters": {"learning_rate": 0}}, "hyperparameters.learning_rate"),
    ({"hyperparameters": {"learning_rate": -1e-4}}, "hyperparameters.learning_rate"),
    ({"hyperparameters": {"learning_rate": 5}}, "hyperparameters.learning_rate"),
    ({"hyperparameters": {"num_epochs": 0}}, "hyperparameters.num_epochs"),
    ({"hyperparameters": {"num_epochs": 1.5}}, "hyperparameters.num_epochs"),
    ({"hyperparameters": {"num_epochs": 1000}}, "hyperparameters.num_epochs"),
    ({"hyperparameters": {"target_modules": ["../../x"]}}, "hyperparameters.target_modules[0]"),
    ({"hyperparameters": {"target_modules": ["nowhere"]}}, "a linear layer of the base (k_proj, q_proj, v_proj)"),
    ({"hyperparameters": {"target_modules": []}}, "hyperparameters.target_modules"),
    ({"hyperparameters": {"bf16": False}}, "hyperparameters.bf16"),
    ({"hyperparameters": {"batch_size": 4, "micro_batch_size": 4}}, "each number once"),
    ({"hyperparameters": {"batch_size": 4, "tokens_per_step": 512}}, "found both"),
    ({"hyperparameters": {"schedule": "sawtooth"}}, "hyperparameters.schedule"),
    ({"hyperparameters": {"colour": "red"}}, "hyperparameters.colour: unknown field"),
    ({"hyperparameters": {"method": "lora"}}, "hyperparameters.method: unknown field"),
    ({"hyperparameters": {"keep_last_n": 0}}, "hyperparameters.keep_last_n"),
    ({"hyperparameters": [1]}, "hyperparameters"),
    ({"colour": "red"}, "colour"),
]


async def test_what_is_wrong_is_refused_by_its_name_and_nothing_changed(
    client: httpx.AsyncClient, store: Store
) -> None:
    fill(store, "a")
    events = store.events.page()
    for wrong, says in WRONG:
        answer = await client.post(URL, json={**BODY, **wrong})
        error = answer.json()["error"]
        assert (answer.status_code, says in error["message"]) == (422, True), (wrong, answer.text)
        assert set(error) == {"message", "type", "param", "code"}
    for content in (b"[]", b"{", b'{"hyperparameters": {"learning_rate": NaN}}', b'{"job_name": "\\ud800"}'):
        assert (await client.post(URL, content=content)).status_code in (400, 422), content
    missing = await client.post(URL, json={**BODY, "dataset_id": 99})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (store.events.page(), store.triggers.next()) == (events, None)


@pytest.mark.parametrize(("gpus", "says"), [(0.0, "this machine has no GPU, found 2"), (2.0, "0 to 1, found 2")])
async def test_a_gpu_that_is_not_there_is_refused(
    client: httpx.AsyncClient, api: Any, deps: Any, store: Store, gpus: float, says: str
) -> None:
    from dataclasses import replace

    from serve.api import build_api

    fill(store, "a")
    built = build_api(replace(deps, plan=DeploymentPlan(None, gpus)))  # type: ignore[arg-type]
    async with (
        built.router.lifespan_context(built),
        httpx.AsyncClient(transport=httpx.ASGITransport(built), base_url="http://127.0.0.1:8000") as there,
    ):
        answer = await there.post(URL, json={"gpu_ids": [2]})
    assert (answer.status_code, says in answer.json()["error"]["message"]) == (422, True), answer.text


async def test_nothing_to_train_on_is_a_conflict(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json=BODY)
    assert (answer.status_code, "found none" in answer.json()["error"]["message"]) == (409, True)


async def test_a_job_is_stopped_resumed_and_cancelled(client: httpx.AsyncClient, store: Store) -> None:
    claim = claimed(store, "a")
    assert (await client.post(f"{URL}/1/stop")).json()["status"] == "stopped"
    store.versions.release(claim)
    assert (await client.post(f"{URL}/v1/resume")).json()["status"] == "pending"
    cancelled = await client.post(f"{URL}/1/cancel", json={"reason": "wrong data"})
    assert (cancelled.json()["status"], cancelled.json()["error_message"]) == ("cancelled", "wrong data")
    assert cancelled.json()["completed_at"] is not None
    assert (await client.post(f"{URL}/1/cancel")).json()["status"] == "cancelled"
    for verb in ("stop", "resume"):
        assert (await client.post(f"{URL}/1/{verb}")).status_code == 409
    for verb in ("stop", "resume", "cancel"):
        assert (await client.post(f"{URL}/7/{verb}")).status_code == 404
    assert (await client.post(f"{URL}/1/cancel", json={"why": "x"})).status_code == 422
    assert store.conversations.waiting() == 1


async def test_a_list_is_narrowed_and_paged(client: httpx.AsyncClient, store: Store) -> None:
    conclude(store, claimed(store, "a"))
    store.jobs.cancel(claimed(store, "b", owner="two").n, "no")
    fill(store, "c")
    await client.post(URL, json={**BODY, "job_name": "named"})
    everything = (await client.get(URL)).json()
    assert ([job["id"] for job in everything["items"]], everything["total"]) == ([3, 2, 1], 3)
    page = (await client.get(URL, params={"page": 2, "page_size": 2})).json()
    assert ([job["id"] for job in page["items"]], page["page"], page["page_size"]) == ([1], 2, 2)
    named = (await client.get(URL, params={"status": "pending", "search": "NAME"})).json()
    assert [job["id"] for job in named["items"]] == [3]
    assert (await client.get(URL, params={"status": "completed"})).json()["items"][0]["verdict"] == "promoted"
    for params in ({"status": "happy"}, {"page": 0}, {"page_size": 201}, {"colour": "red"}):
        assert (await client.get(URL, params=params)).status_code == 422, params
    assert (await client.get(f"{URL}/99")).status_code == 404
    assert (await client.get(f"{URL}/{2**70}")).status_code in (404, 422)


async def test_progress_errors_and_advice_are_told(client: httpx.AsyncClient, store: Store) -> None:
    claim = claimed(store, "a")
    store.progress.write(claim, Progress(30, 120, 2.5, 1e-3, 900.0, 60.5, "training"))
    running = (await client.get(f"{URL}/1")).json()
    told = {name: running[name] for name in ("progress", "current_step", "total_steps", "eta_seconds", "loss")}
    assert told == {"progress": 0.25, "current_step": 30, "total_steps": 120, "eta_seconds": 60.5, "loss": 2.5}
    store.progress.write(claim, Progress(60, 120, 2.25, 1e-3, 900.0, 40.0, "training", validation_loss=2.75))
    store.versions.fail(claim, "OUT_OF_MEMORY", "The kernel ended the trainer")
    failed = (await client.get(f"{URL}/1")).json()
    assert (failed["status"], failed["error_class"], failed["error_group"]) == ("pending", "OUT_OF_MEMORY", "GPU_ERROR")
    assert (failed["error_message"], "lower" in failed["advice"]) == ("The kernel ended the trainer", True)
    assert failed["eta_seconds"] is None
    curve = (await client.get(f"{URL}/1/metrics")).json()
    assert [(point["step"], point["epoch"], point["loss"], point["eval_loss"]) for point in curve] == [
        (30, 0.5, 2.5, None),
        (60, 1.0, 2.25, 2.75),
    ]


async def test_logs_and_checkpoints_are_read_from_the_state_folder(
    client: httpx.AsyncClient, store: Store, deps: Any
) -> None:
    claimed(store, "a")
    assert (await client.get(f"{URL}/1/logs")).json() == {"job_id": 1, "lines": []}
    assert (await client.get(f"{URL}/1/checkpoints")).json() == []
    logs = deps.state_dir / "logs"
    logs.mkdir(parents=True)
    (logs / "trainer-v1.log").write_text("".join(f"line {n}\n" for n in range(250)), encoding="utf-8")
    assert (await client.get(f"{URL}/1/logs")).json()["lines"][0] == "line 150"
    assert (await client.get(f"{URL}/1/logs", params={"tail": 2})).json()["lines"] == ["line 248", "line 249"]
    for tail in (0, 5001, "all"):
        assert (await client.get(f"{URL}/1/logs", params={"tail": tail})).status_code == 422
    for step, loss in ((40, 2.1), (80, 2.5)):
        publish(deps.state_dir, step, loss)
    (deps.state_dir / "checkpoints" / "v1" / "step-000120.tmp").mkdir()
    (deps.state_dir / "checkpoints" / "v1" / "step-000119").mkdir()
    found = (await client.get(f"{URL}/1/checkpoints")).json()
    assert [(row["step"], row["metrics"], row["is_best"]) for row in found] == [
        (80, {"loss": 2.0, "validation_loss": 2.5}, False),
        (40, {"loss": 2.0, "validation_loss": 2.1}, True),
    ]
    assert all(len(row["sha256"]) == 64 and row["created_at"].endswith("Z") for row in found)
    assert str(deps.state_dir) not in json.dumps(found)
    note_checkpoints(deps.state_dir, 1)
    shutil.rmtree(deps.state_dir / "checkpoints" / "v1")
    gone = (await client.get(f"{URL}/1/checkpoints")).json()
    assert gone == [{**row, "kept": False} for row in found], "what was kept to the end is told, and that it is gone"
    for leaf in ("logs", "metrics", "checkpoints", "report"):
        assert (await client.get(f"{URL}/9/{leaf}")).status_code == 404
    assert (await client.get(f"{URL}/1/report")).status_code == 404, "not judged yet"


def publish(state: Path, step: int, loss: float) -> None:
    final = state / "checkpoints" / "v1" / f"step-{step:06d}"
    staging = final.with_name(f"{final.name}.tmp")
    staging.mkdir(parents=True)
    (staging / "training.safetensors").write_bytes(b"x")
    details = {"loss": "2.0", "validation_loss": f"{loss:g}"}
    folders.publish(
        staging,
        final,
        Manifest(
            kind="checkpoint",
            version=1,
            files={"training.safetensors": SHA},
            base_fingerprint="fake",
            counts={"step": step},
            details=details,
        ),
    )
