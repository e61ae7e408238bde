"""`/predict` and `/invoke` go through the wrapper, and the wrapper through the engine."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from resources.store import Store
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
