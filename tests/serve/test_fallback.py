"""An upstream that fails: another answers in its place where the settings allow it; it is left alone for a while."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from core.breaker import BreakerLimits
from resources.store import Store
from serve.circuits import Circuits
from serve.engine_client import PLACES_TAKEN, Body, EngineBusy, EngineUnavailable, Item
from serve.errors import ApiError
from serve.guarded import Deadlines, Guarded
from tests.fakes import FakeEngine, FakeFollower
from tests.serve.test_teacher import CHAT, lesson, upstream

pytestmark = pytest.mark.anyio

ASK: dict[str, Any] = {"model": "production", "messages": [{"role": "user", "content": "My printer?"}]}
STATUS = "/api/v1/circuit-breaker/status"


def broken(_: dict[str, Any]) -> httpx.Response:
    return httpx.Response(500)


@pytest.mark.parametrize("changes", [upstream(broken)])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_champion_answers_for_a_teacher_that_fails(
    client: httpx.AsyncClient, store: Store, follower: FakeFollower, changes: Any, stream: bool
) -> None:
    follower.current = "v1"
    await client.post("/mlops/settings", json={"answer_with": "teacher"})
    answer = await client.post(CHAT, json=ASK | {"stream": stream})

    assert (answer.status_code, answer.headers["x-whetstone-model"]) == (200, "v1")
    assert answer.headers["x-whetstone-tier"] == "fallback"
    kept = store.conversations.get(answer.headers["x-whetstone-conversation"])
    assert kept is not None
    assert (kept.conversation.model, kept.conversation.provenance, kept.conversation.complete) == ("v1", "self", True)


@pytest.mark.parametrize("changes", [upstream(lesson)])
@pytest.mark.parametrize(("wish", "status", "tier"), [("auto", 200, "fallback"), ("student", 503, None)])
async def test_a_teacher_answers_for_the_champion_only_where_messages_may_leave(
    client: httpx.AsyncClient,
    engine: FakeEngine,
    follower: FakeFollower,
    changes: Any,
    wish: str,
    status: int,
    tier: str | None,
) -> None:
    follower.current, engine.raises = "v1", EngineUnavailable("restarting")
    await client.post("/mlops/settings", json={"answer_with": wish})
    answer = await client.post(CHAT, json=ASK)

    assert (answer.status_code, answer.headers.get("x-whetstone-tier")) == (status, tier)


@pytest.mark.parametrize("changes", [upstream(broken)])
async def test_who_asks_for_a_name_gets_it_or_an_error(client: httpx.AsyncClient, changes: Any) -> None:
    assert (await client.post(CHAT, json=ASK | {"model": "teacher"})).status_code == 502


@pytest.mark.parametrize("changes", [upstream(lambda _: httpx.Response(400)), upstream(lambda _: httpx.Response(422))])
@pytest.mark.parametrize("wish", ["teacher", "auto"])
async def test_what_the_teacher_does_not_take_the_champion_answers_where_nobody_asked_for_the_teacher(
    client: httpx.AsyncClient, wish: str, changes: Any
) -> None:
    await client.post("/mlops/settings", json={"answer_with": wish})
    answer = await client.post(CHAT, json=ASK)

    assert (answer.status_code, answer.headers["x-whetstone-tier"]) == (200, "fallback")
    assert (await client.post(CHAT, json=ASK | {"model": "teacher"})).status_code == 400


async def test_after_five_failures_the_engine_is_left_alone(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.raises = EngineUnavailable("dead")
    for _ in range(5):
        assert (await client.post(CHAT, json=ASK)).json()["error"]["code"] == "engine_unavailable"
    refused = await client.post(CHAT, json=ASK)

    assert (refused.status_code, refused.json()["error"]["code"], len(engine.asked)) == (503, "circuit_open", 5)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    state = (await client.get(STATUS)).json()["base"]
    assert (state["state"], state["failures"], state["successes"]) == ("OPEN", 0, 0)
    assert state["opened_at"]
    assert 0 < state["retry_in_seconds"] <= 60
    assert 'whetstone_circuit{upstream="base"} 2.0' in (await client.get("/metrics")).text


async def test_an_adapter_that_fails_is_left_alone_and_the_champion_answers_on(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.head = {"status": 503, "json": {"error": {"message": "v2 cannot be served", "code": "adapter_not_served"}}}
    for _ in range(5):
        assert (await client.post(CHAT, json=ASK | {"model": "v2"})).status_code == 503
    engine.head = None

    refused = await client.post(CHAT, json=ASK | {"model": "v2"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "circuit_open")
    assert (await client.post(CHAT, json=ASK)).status_code == 200
    states = {name: circuit["state"] for name, circuit in (await client.get(STATUS)).json().items()}
    assert states == {"base": "CLOSED", "v2": "OPEN"}


def test_circuits_are_few_and_an_open_one_is_forgotten_last() -> None:
    circuits = Circuits(BreakerLimits(failures=1), lambda: 0.0, most=3)
    broken = circuits.of("v1").breaker
    ticket = broken.admit(0.0)
    assert ticket
    broken.failed(ticket, 0.0)
    for n in range(2, 9):
        circuits.of(f"v{n}")
    assert {name: circuit["state"] for name, circuit in circuits.status().items()} == {
        "v1": "OPEN",
        "v7": "CLOSED",
        "v8": "CLOSED",
    }


async def test_an_engine_that_is_known_to_be_back_is_tried_at_once(
    client: httpx.AsyncClient, engine: FakeEngine, follower: FakeFollower
) -> None:
    engine.raises = EngineUnavailable("dead")
    for _ in range(6):
        await client.post(CHAT, json=ASK)
    engine.raises = None
    assert (await client.post(CHAT, json=ASK)).status_code == 503
    follower.tell_back()
    for _ in range(3):
        assert (await client.post(CHAT, json=ASK)).status_code == 200
    assert (await client.get(STATUS)).json()["base"]["state"] == "CLOSED"


class Scripted:
    """Plays one scene after the other."""

    def __init__(self, *scenes: Any) -> None:
        self.scenes = list(scenes)

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        for item in self.scenes.pop(0):
            if isinstance(item, Exception):
                raise item
            if item is None:
                await asyncio.Event().wait()
            yield item


LIMITS = BreakerLimits(failures=1)
HEAD: Item = {"status": 200}
WHOLE: Item = {"status": 200, "json": {"choices": []}}
DEADLINES = Deadlines(reply=0.05, first_token=0.05, between_tokens=0.05)
# scene, whether it streams, what the breaker says after it
SCENES = {
    "answers": ([WHOLE], False, "CLOSED"),
    "streams": ([HEAD, "data: x"], True, "CLOSED"),
    "says nothing after its head": ([HEAD], True, "OPEN"),
    "ends without a word": ([], False, "OPEN"),
    "hangs before its head": ([None], False, "OPEN"),
    "hangs after its head": ([HEAD, None], True, "OPEN"),
    "hangs between two words": ([HEAD, "data: x", None], True, "OPEN"),
    "breaks in the middle": ([HEAD, "data: x", RuntimeError("died")], True, "OPEN"),
    "says an error as an event": ([HEAD, 'data: {"error": {}}'], True, "OPEN"),
    "answers 500": ([{"status": 500, "json": {}}], False, "OPEN"),
    "answers 404": ([{"status": 404, "json": {}}], False, "CLOSED"),
    "has no place for the adapter": ([{"status": 503, "json": {"error": {"code": PLACES_TAKEN}}}], False, "CLOSED"),
    "cannot serve the adapter": ([{"status": 503, "json": {"error": {"code": "adapter_not_served"}}}], False, "OPEN"),
    "is full": ([EngineBusy("full")], False, "CLOSED"),
    "refuses the request": ([ApiError(400, "no")], False, "CLOSED"),
    "is dead": ([EngineUnavailable("dead")], False, "OPEN"),
}


@pytest.mark.parametrize(("scene", "stream", "state"), SCENES.values(), ids=SCENES)
async def test_what_counts_as_a_failure(scene: list[Any], stream: bool, state: str) -> None:
    guarded = Guarded(Scripted(scene), DEADLINES, LIMITS)
    with contextlib.suppress(EngineBusy, EngineUnavailable, ApiError, RuntimeError, TimeoutError):
        async for _ in guarded.chat({"model": "v1", "stream": stream}):
            pass

    assert state_of(guarded) == state


@pytest.mark.parametrize(("scene", "pulled"), [([HEAD, "data: x", "data: y"], 2), ([HEAD, "data: x"], 1)])
async def test_a_client_that_hangs_up_says_nothing_of_the_upstream(scene: list[Any], pulled: int) -> None:
    guarded = Guarded(Scripted(scene), DEADLINES, LIMITS)
    items = guarded.chat({"model": "v1", "stream": True})
    for _ in range(pulled):
        await anext(items)
    await items.aclose()

    assert state_of(guarded) == "CLOSED"


@pytest.mark.parametrize(("after", "state"), [(0.01, "CLOSED"), (0.199, "OPEN")])
async def test_a_turn_that_ends_when_nobody_may_wait_longer_was_not_answered(after: float, state: str) -> None:
    guarded = Guarded(Scripted([HEAD, None]), Deadlines(0.2, 0.2, 0.2), LIMITS)

    async def turn() -> None:
        async for _ in guarded.chat({"model": "v1", "stream": True}):
            pass

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(turn(), after)

    assert state_of(guarded) == state


def state_of(guarded: Guarded) -> str:
    return str(guarded.status()["v1"]["state"])


async def test_three_answers_after_the_pause_close_it_again() -> None:
    now = [0.0]
    guarded = Guarded(Scripted([], *[[WHOLE]] * 3), DEADLINES, LIMITS, clock=lambda: now[0])
    seen = []
    for seconds in (0.0, 60.0, 0.0, 0.0):
        now[0] += seconds
        async for _ in guarded.chat({"model": "v1"}):
            pass
        seen.append(state_of(guarded))

    assert seen == ["OPEN", "HALF_OPEN", "HALF_OPEN", "CLOSED"]
    assert guarded.status()["v1"]["opened_at"] is None
