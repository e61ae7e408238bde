"""What a dashboard needs stands at /metrics: pace and tokens by version, captures, swaps, circuits and the loop."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from resources.store import Store, StoreUnavailable
from serve.champion_follower import Swaps
from tests.fakes import FakeEngine, FakeFollower

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "프린터가 안 됩니다."}]}


async def told(client: httpx.AsyncClient) -> dict[str, float]:
    lines = (await client.get("/metrics")).text.splitlines()
    return {
        name.removeprefix("whetstone_"): float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


async def test_tokens_and_pace_are_told_by_version(
    client: httpx.AsyncClient, engine: FakeEngine, follower: FakeFollower
) -> None:
    follower.current = "v2"
    await client.post(CHAT, json=ASK)
    await client.post(CHAT, json={**ASK, "stream": True})
    found = await told(client)

    assert found['tokens_total{kind="prompt",model="v2"}'] == 1
    assert found['tokens_total{kind="reply",model="v2"}'] == 3
    assert found['first_token_seconds_count{model="v2"}'] == 1
    assert found['between_tokens_seconds_count{model="v2"}'] == len(engine.words) - 1
    assert found['replies_total{model="v2",outcome="completed"}'] == 2
    assert (found["chats_running"], found["chats_waiting"]) == (0, 0)


async def test_the_wait_before_the_head_counts_as_time_to_first_token(
    client: httpx.AsyncClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    said = engine.chat

    async def slow(body: dict[str, Any]) -> AsyncGenerator[Any, None]:
        await asyncio.sleep(0.12)
        async for item in said(body):
            yield item

    monkeypatch.setattr(engine, "chat", slow)
    await client.post(CHAT, json={**ASK, "stream": True})
    assert (await told(client))['first_token_seconds_sum{model="base"}'] > 0.1


@pytest.mark.parametrize("wanted", [False, True])
async def test_a_stream_counts_its_tokens_for_whoever_asks(
    client: httpx.AsyncClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    async def chat(body: dict[str, Any]) -> AsyncGenerator[Any, None]:
        assert body["stream_options"]["include_usage"]
        yield {"status": 200}
        yield 'data: {"choices": [{"index": 0, "delta": {"content": "네"}, "finish_reason": "stop"}]}\n\n'
        yield 'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}\n\ndata: [DONE]\n\n'

    monkeypatch.setattr(engine, "chat", chat)
    options = {"stream_options": {"include_usage": True}} if wanted else {}
    answer = await client.post(CHAT, json={**ASK, "stream": True, **options})

    assert ("usage" in answer.text) == wanted
    assert answer.text.endswith("data: [DONE]\n\n")
    assert (await told(client))['tokens_total{kind="prompt",model="base"}'] == 7


async def test_captures_are_counted_and_timed(client: httpx.AsyncClient) -> None:
    await client.post(CHAT, json=ASK)
    found = await told(client)

    assert found['captures_total{eligible="false"}'] == 1
    assert (found["capture_seconds_count"], found["captures_waiting"]) == (1, 0)


async def test_swaps_circuits_and_the_loop_are_told(client: httpx.AsyncClient, follower: FakeFollower) -> None:
    follower.swaps = Swaps(done=3, failed=1, seconds=0.25)
    found = await told(client)

    assert (found['swaps{outcome="done"}'], found['swaps{outcome="failed"}'], found["swap_seconds"]) == (3, 1, 0.25)
    assert found['circuit{upstream="base"}'] == 0
    assert found['loop_state{state="idle"}'] == 1
    assert sum(value for name, value in found.items() if name.startswith("loop_state")) == 1
    assert found["loop_conversations_waiting"] == 0


async def test_a_store_that_is_away_takes_no_other_figure_with_it(
    client: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(store.conversations, "waiting", away)
    found = await told(client)
    assert found["champion_version"] == 0
