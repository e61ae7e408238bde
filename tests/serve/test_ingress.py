"""The ingress inside Ray Serve, over a double of the engine: what only the real proxy and handles can show."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.experiments import Design
from resources.settings import ROOT, Settings, read_settings
from resources.store import Store, open_store
from serve.engine_client import Body, Item
from tests.fakes import FakeEngine

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "My printer is not printing."}]}
SLOWLY = {"messages": [{"role": "user", "content": "slowly"}]}


class SlowEngine:
    """Answers at once, or never gets past its second word when asked `slowly`."""

    def __init__(self) -> None:
        self.ended = 0

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        engine = FakeEngine()
        engine.pause_after = 1 if body["messages"][-1]["content"] == "slowly" else None
        if engine.pause_after and not body["stream"]:
            engine.pause_after = 0
        try:
            async for item in engine.chat(body):
                yield item
        finally:
            self.ended += 1

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        return {"loaded": False, "seconds": 0.0}

    async def ready(self) -> dict[str, Any]:
        return {"model": "fake", "lineage": "fake", "max_model_len": 2048}

    async def ended_so_far(self) -> int:
        return self.ended


class Running:
    """A Serve with the ingress on a free port; `ended` asks the engine how many requests it has let go of."""

    def __init__(self, settings: Settings, engine: Any) -> None:
        self.settings, self._engine = settings, engine
        self.url = f"http://127.0.0.1:{settings.fastapi_port}"

    async def ended(self, least: int) -> None:
        async with asyncio.timeout(10):
            while await self.ended_now() < least:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.05)

    async def ended_now(self) -> int:
        return int(await self._engine.ended_so_far.remote())

    def store(self) -> Store:
        return open_store(self.settings.database_url, live_defaults=self.settings.live())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    import ray  # here, so that the fast tests never load it
    from ray import serve

    from serve.agent_replica import AgentReplica
    from serve.ingress import build_ingress

    state = tmp_path_factory.mktemp("state")
    chosen: dict[str, Any] = {"base_model": str(_model(state)), "fastapi_port": _free_port(), "agent_enabled": False}
    settings = read_settings(state_dir=state, **chosen)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        environment.setenv("RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "serve.proxy_guard:middlewares")
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20)
        serve.start(http_options={"host": "127.0.0.1", "port": settings.fastapi_port})
        engine = serve.deployment(
            name="Engine", max_ongoing_requests=2, max_queued_requests=1, ray_actor_options={"num_cpus": 0}
        )(SlowEngine).bind()
        agent = serve.deployment(name="Agent", ray_actor_options={"num_cpus": 0})(AgentReplica).bind(engine, settings)
        serve.run(build_ingress(engine, settings, [], agent=agent), name="whetstone")
        yield Running(settings, serve.get_deployment_handle("Engine", app_name="whetstone"))
        serve.shutdown()
        ray.shutdown()


@pytest.fixture
async def client(running: Running) -> AsyncGenerator[httpx.AsyncClient, None]:
    async with httpx.AsyncClient(base_url=running.url, timeout=30, trust_env=False) as opened:
        yield opened


@pytest.mark.parametrize("stream", [False, True])
async def test_replies_come_through_the_handle_and_are_stored(
    client: httpx.AsyncClient, running: Running, stream: bool
) -> None:
    answer = await client.post("/v1/chat/completions", json=ASK | {"stream": stream})

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-whetstone-collected"] == "true"
    stored = running.store().conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    assert (stored.conversation.reply, stored.conversation.complete) == ("Check the cable.", True)


async def test_a_prediction_comes_through_the_handle(client: httpx.AsyncClient) -> None:
    answer = await client.post("/predict", json={"input": "My printer?"})

    assert answer.json() == {"output": "Check the cable.", "model": "base", "version": None}


@pytest.mark.parametrize(
    "headers", [{}, {"x-request-disconnect-disabled": "?1"}], ids=["plain", "would not be cancelled"]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_hangs_up_frees_the_engine(
    client: httpx.AsyncClient, running: Running, stream: bool, headers: dict[str, str]
) -> None:
    before = await running.ended_now()
    patience, body = httpx.Timeout(10, read=1), SLOWLY | {"stream": stream}
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/v1/chat/completions", json=body, headers=headers, timeout=patience)

    await running.ended(before + 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_agent_remembers_across_its_process_and_who_hangs_up_on_it_frees_the_engine(
    client: httpx.AsyncClient, running: Running, stream: bool
) -> None:
    named = {"model": "agent", "user": f"ann-{stream}", "metadata": {"conversation_id": "t1"}, "stream": stream}
    before = await running.ended_now()
    patience = httpx.Timeout(10, read=3)
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/v1/chat/completions", json=SLOWLY | named, timeout=patience)
    await running.ended(before + 1)
    for _ in range(2):
        answer = await client.post("/v1/chat/completions", json=ASK | named)
        assert answer.status_code == 200, answer.text

    stored = running.store().conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    asked = ASK["messages"][0]["content"]
    assert [message.content for message in stored.conversation.messages] == [asked, "Check the cable.", asked]


async def test_what_a_stream_said_before_the_client_left_is_kept(client: httpx.AsyncClient, running: Running) -> None:
    before = await running.ended_now()
    async with client.stream("POST", "/v1/chat/completions", json=SLOWLY | {"stream": True}) as answer:
        async for line in answer.aiter_lines():
            if "Check" in line:
                break
    await running.ended(before + 1)
    await client.post("/v1/chat/completions", json=ASK)  # committed after what was handed over before

    stored = running.store().conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    assert (stored.conversation.reply, stored.conversation.complete) == ("Check", False)


async def test_a_full_engine_is_told_with_retry_after(client: httpx.AsyncClient, running: Running) -> None:
    body = SLOWLY | {"stream": False}
    asking = [asyncio.create_task(client.post("/v1/chat/completions", json=body)) for _ in range(8)]
    done, waiting = await asyncio.wait(asking, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    answer = done.pop().result()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_busy")
    assert answer.headers["retry-after"]


DATASETS = "/api/v1/admin/training/datasets"
PARTS = {"name": "support", "version": "1"}


async def test_a_dataset_goes_through_the_proxy_and_is_worked_on_by_a_process(
    client: httpx.AsyncClient, running: Running
) -> None:
    data = b"".join(
        b'{"instruction": "What is part %d?", "output": "Part %d holds what lies %d mm behind it."}\n' % (n, n, n * 7)
        for n in range(5_000)
    )
    made = await client.post(DATASETS, data=PARTS, files={"file": ("parts.jsonl", data)})
    ingested = await client.post(f"{DATASETS}/{made.json()['id']}/ingest", json={"provenance": "human"})

    assert (made.status_code, made.json()["total_samples"]) == (201, 5_000), made.text
    assert (ingested.status_code, ingested.json()["ingested"]["accepted"]) == (200, 5_000), ingested.text
    assert running.store().conversations.get("dataset-1-5000") is not None


async def test_a_client_that_hangs_up_in_an_upload_leaves_nothing_behind(
    client: httpx.AsyncClient, running: Running
) -> None:
    async def half() -> AsyncGenerator[bytes, None]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + b"a" * 5 * 2**20
        raise ConnectionAbortedError

    before = (await client.get(DATASETS)).json()["total"]
    with pytest.raises(ConnectionAbortedError):
        await client.post(DATASETS, content=half(), headers={"content-type": "multipart/form-data; boundary=x"})
    folder = running.settings.state_dir / "uploads"
    async with asyncio.timeout(10):
        while list(folder.glob("upload.tmp-*")):  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)

    assert (await client.get(DATASETS)).json()["total"] == before


async def test_the_other_routes_answer(client: httpx.AsyncClient) -> None:
    for path in ("/health", "/ready", "/metrics", "/docs", "/mlops/status", "/mlops/training-progress", "/v1/models"):
        assert (await client.get(path)).status_code == 200, path
    assert (await client.get("/nowhere")).json()["error"]["code"] == "route_not_found"


async def test_a_running_experiment_answers_as_production_until_it_is_stopped(
    client: httpx.AsyncClient, running: Running
) -> None:
    from resources import base_model
    from tests.resources.experiment_examples import two_versions, units

    base, state = running.settings.base_model, running.settings.models_dir
    lineage = base_model.fingerprint(base_model.resolve(base, state))
    store = Store(running.settings.database_url, live_defaults=running.settings.live(), lineage=lineage)
    two_versions(store)
    experiment = store.experiments.add(
        Design.model_validate(
            {
                "name": "말투",
                "arms": [{"name": n, "model": m, "weight": 0.5} for n, m in (("a", "v1"), ("b", "base"))],
                "target_samples": 30,
                "success_metric": "rating",
            }
        )
    )

    async def until(user: str, model: str) -> None:
        async with asyncio.timeout(20):
            while True:
                answer = await client.post("/v1/chat/completions", json=ASK | {"user": user})
                if answer.headers.get("x-whetstone-model") == model:
                    return
                await asyncio.sleep(0.1)

    for arm, model in (("a", "v1"), ("b", "base")):
        await until(units(experiment, arm, 1)[0].removeprefix("user:"), model)
    async with asyncio.timeout(10):
        while store.experiments.logs(experiment.id).total < 2:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.1)
    reason = {"reason": "enough"}
    stopped = await client.post(f"/api/v1/admin/ab-tests/{experiment.id}/stop", json=reason)
    assert stopped.json()["status"] == "stopped"
    await until(units(experiment, "a", 1)[0].removeprefix("user:"), "v2")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_waits_before_the_ingress_is_bounded(tmp_path: Path) -> None:
    from ray import serve

    from serve.ingress import build_ingress

    settings = read_settings(state_dir=tmp_path, base_model=str(_model(tmp_path)), max_concurrent_requests=3)
    engine = serve.deployment(name="Engine")(SlowEngine).bind()
    ingress = build_ingress(engine, settings, [])._bound_deployment
    assert (ingress.max_ongoing_requests, ingress._deployment_config.max_queued_requests) == (12, 6)


def _model(state: Path) -> Path:
    """A folder that has a fingerprint; nobody loads it."""
    folder = state / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return folder
