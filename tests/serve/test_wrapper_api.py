"""`/predict` and `/invoke` go through the wrapper, and the wrapper through the engine."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from resources.store import Store
from serve.agent import AgentOptions, AgentService
from serve.agent_client import AgentClient
from serve.api import build_api
from serve.limits import IngressLimits
from tests.fakes import FakeEngine, FakeFollower
from tests.resources.examples import claimed, conclude
from tests.serve.asgi_call import AsgiCall

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["/predict", "/invoke"])
async def test_the_wrapper_answers_through_the_engine(
    client: httpx.AsyncClient, store: Store, follower: FakeFollower, path: str
) -> None:
    follower.current = "v2"
    answer = await client.post(path, json={"input": "My printer?", "user_id": "ann", "session_id": "s1"})

    assert answer.json() == {"output": "Check the cable.", "model": "v2", "version": 2}
    stored = store.conversations.get(answer.headers["x-whetstone-conversation"])
    assert stored is not None
    assert (stored.conversation.source, stored.conversation.user_id) == ("predict", "ann")
    assert stored.conversation.last_user == "My printer?"


async def test_the_base_has_no_version(client: httpx.AsyncClient) -> None:
    answer = await client.post("/predict", json={"input": {"messages": [{"role": "user", "content": "Hi"}]}})

    assert (answer.json()["model"], answer.json()["version"]) == ("base", None)


class EchoWrapper:
    """Answers without a model."""

    def __init__(self, complete: Callable[..., str]) -> None: ...

    def predict(self, input_data: Any) -> Any:
        return {"seen": input_data}


@pytest.mark.parametrize("changes", [{"make_wrapper": EchoWrapper}])
async def test_any_wrapper_fits_and_gets_the_whole_request(
    client: httpx.AsyncClient, engine: FakeEngine, changes: Any
) -> None:
    request = {"input": [1, None, {"x": 2.5}], "user_id": "ann"}
    answer = await client.post("/predict", json=request)

    assert answer.json() == {"output": {"seen": request}, "model": "base", "version": None}
    assert not engine.asked


async def test_a_client_that_leaves_cancels_the_prediction(api: Any, engine: FakeEngine, store: Store) -> None:
    engine.pause_after = 0
    call = AsgiCall.json(api, "/predict", {"input": "Hi"})
    await engine.paused.wait()
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.task
    async with asyncio.timeout(5):
        await engine.ended.wait()

    assert store.conversations.counts().rows == 0


@pytest.mark.parametrize("changes", [{"limits": IngressLimits(predictions=1)}])
async def test_one_prediction_too_many_is_turned_away_and_its_place_is_free_again(
    api: Any, client: httpx.AsyncClient, engine: FakeEngine, changes: Any
) -> None:
    engine.pause_after = 0
    call = AsgiCall.json(api, "/predict", {"input": "Hi"})
    await engine.paused.wait()
    refused = await client.post("/predict", json={"input": "Hi"})
    engine.go_on.set()
    await call.task

    assert (refused.status_code, refused.headers["retry-after"], call.status) == (503, "1", 200)
    assert refused.json()["error"]["code"] == "overloaded"
    assert (await client.post("/predict", json={"input": "Hi"})).status_code == 200


async def test_predictions_that_wait_leave_the_default_threads_alone(api: Any, engine: FakeEngine) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    engine.pause_after = 0
    calls = [AsgiCall.json(api, "/predict", {"input": "Hi"}) for _ in range(2)]
    await engine.paused.wait()
    async with asyncio.timeout(5):
        await asyncio.to_thread(lambda: None)
    engine.go_on.set()
    await asyncio.gather(*(call.task for call in calls))

    assert [call.status for call in calls] == [200, 200]


@pytest.mark.parametrize("changes", [{"stage": "Previous"}])
async def test_another_stage_answers_with_its_own_version(
    client: httpx.AsyncClient, store: Store, follower: FakeFollower, engine: FakeEngine, changes: Any
) -> None:
    refused = await client.post("/predict", json={"input": "My printer?"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_model")
    assert not engine.asked
    for n in (1, 2):
        conclude(store, claimed(store, f"c{n}"))
    follower.current = "v2"
    answer = await client.post("/predict", json={"input": "My printer?"})

    assert (answer.json()["model"], answer.json()["version"]) == ("v1", 1)


@pytest.fixture
async def agent(engine: FakeEngine, tmp_path: Path) -> AsyncIterator[AgentClient]:
    service = AgentService(engine, AgentOptions(tmp_path))
    yield AgentClient(service.run)
    await service.close()


class ByAgent:
    """`/predict` with the agent as the wrapper, and a source of features."""

    @pytest.fixture
    def source(self) -> Callable[[str], dict[str, Any] | None]:
        return {"ann": {"plan": "gold"}}.get

    @pytest.fixture
    def changes(self, agent: AgentClient, source: Any) -> dict[str, Any]:
        limits = IngressLimits(feature_seconds=0.05)
        return {"make_wrapper": None, "agent": agent, "features": source, "limits": limits}


class TestTheAgentAsTheWrapper(ByAgent):
    @pytest.mark.parametrize("path", ["/predict", "/invoke"])
    async def test_answers_with_features_and_remembers_the_session(
        self, client: httpx.AsyncClient, engine: FakeEngine, follower: FakeFollower, store: Store, path: str
    ) -> None:
        follower.current = "v2"
        for _ in range(2):
            answer = await client.post(path, json={"input": "My printer?", "user_id": "ann", "session_id": "s1"})

        assert answer.json() == {"output": "Check the cable.", "model": "v2", "version": 2}
        prompt, *rest = (message["content"] for message in engine.asked[-1]["messages"])
        assert '"plan": "gold"' in prompt
        assert rest == ["My printer?", "Check the cable.", "My printer?"]
        stored = store.conversations.get(answer.headers["x-whetstone-conversation"])
        assert stored is not None
        assert (stored.conversation.source, stored.conversation.model) == ("agent", "v2")
        assert (stored.conversation.session_id, stored.conversation.thread_id) == ("s1", "s1")
        assert "gold" not in stored.conversation.model_dump_json()
        assert 'feature_lookups_total{outcome="found"} 2.0' in (await client.get("/metrics")).text

    async def test_a_user_without_features_and_nobody_are_answered(
        self, client: httpx.AsyncClient, engine: FakeEngine
    ) -> None:
        for body in ({"input": "Hi", "user_id": "bea"}, {"input": "Hi"}):
            assert (await client.post("/invoke", json=body)).status_code == 200

        metrics = (await client.get("/metrics")).text
        assert 'feature_lookups_total{outcome="none"} 1.0' in metrics
        assert 'outcome="found"' not in metrics

    @pytest.mark.parametrize("text", [3, None, [], {"messages": []}, {"text": "Hi"}, [{"role": "user"}], [[]], ""])
    async def test_what_is_no_question_is_a_4xx(self, client: httpx.AsyncClient, text: Any) -> None:
        answer = await client.post("/invoke", json={"input": text})

        assert answer.status_code in (400, 422)
        assert answer.json()["error"]["message"]


class TestFeaturesThatDoNotCome(ByAgent):
    @pytest.fixture(params=["failed", "slow"])
    def outcome(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def source(self, outcome: str) -> Callable[[str], dict[str, Any] | None]:
        def look_up(user_id: str) -> dict[str, Any]:
            if outcome == "failed":
                raise OSError("the disk is gone")
            time.sleep(0.3)
            return {"plan": "late"}

        return look_up

    async def test_are_gone_on_without_and_counted(
        self, client: httpx.AsyncClient, engine: FakeEngine, outcome: str
    ) -> None:
        answer = await client.post("/invoke", json={"input": "Hi", "user_id": "ann"})

        assert answer.status_code == 200
        assert "late" not in str(engine.asked)
        assert f'feature_lookups_total{{outcome="{outcome}"}} 1.0' in (await client.get("/metrics")).text


@pytest.mark.parametrize("changes", [{"make_wrapper": EchoWrapper, "features": {"ann": {"plan": "gold"}}.get}])
async def test_a_wrapper_gets_the_features_beside_the_input(client: httpx.AsyncClient, changes: Any) -> None:
    answer = await client.post("/predict", json={"input": 1, "user_id": "ann"})

    assert answer.json()["output"]["seen"] == {"input": 1, "user_id": "ann", "features": {"plan": "gold"}}


@pytest.mark.parametrize("changes", [{"stage": "Previous", "make_wrapper": None}])
async def test_the_agent_asks_the_version_of_the_stage(
    api: Any, deps: Any, agent: AgentClient, store: Store, follower: FakeFollower, changes: Any
) -> None:
    for n in (1, 2):
        conclude(store, claimed(store, f"c{n}"))
    follower.current = "v2"
    built = build_api(replace(deps, **changes, agent=agent))
    async with (
        built.router.lifespan_context(built),
        httpx.AsyncClient(transport=httpx.ASGITransport(built), base_url="http://127.0.0.1:8000") as client,
    ):
        answer = await client.post("/predict", json={"input": "My printer?"})

    assert (answer.json()["model"], answer.json()["version"]) == ("v1", 1)
