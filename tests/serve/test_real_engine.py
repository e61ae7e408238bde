"""What holds of the real engine beyond the batches: refusals, streams, and clients that leave."""

import asyncio
import json
from contextlib import aclosing

import pytest

from serve.engine_client import AdapterNotServed
from tests.serve.conftest import Publish, RealEngine

pytestmark = pytest.mark.engine

LONG = {
    "messages": [{"role": "user", "content": "Count to a thousand."}],
    "max_completion_tokens": 1500,
    "ignore_eos": True,
}


def test_an_adapter_of_other_shapes_is_refused_and_the_base_goes_on(real_engine: RealEngine, publish: Publish) -> None:
    publish(20, hidden=1000)
    run = real_engine.runner.run
    with pytest.raises(AdapterNotServed, match="v20"):
        run(real_engine.engine.ensure("v20", []))
    assert "v20" not in run(real_engine.engine.loaded())
    assert len(run(real_engine.backend._llm.list_loras())) == len(run(real_engine.engine.loaded()))
    run(real_engine.backend.check_slots())
    head = run(
        first(
            real_engine, {"model": "base", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 3}
        )
    )
    assert head["status"] == 200


def test_a_stream_is_ready_made_events_that_end_with_done(real_engine: RealEngine) -> None:
    async def play() -> list[object]:
        body = {
            "model": "base",
            "messages": [{"role": "user", "content": "Hi"}],
            "max_completion_tokens": 4,
            "stream": True,
        }
        return [item async for item in real_engine.chat(body)]

    head, *events = real_engine.runner.run(play())
    assert head == {"status": 200}
    assert events[-1] == "data: [DONE]\n\n"
    assert json.loads(str(events[0]).removeprefix("data: "))["model"] == "base"


@pytest.mark.parametrize("stream", [True, False])
def test_the_request_of_a_client_that_left_is_aborted(real_engine: RealEngine, stream: bool) -> None:
    async def play() -> None:
        body = {**LONG, "model": "base", "stream": stream}
        asking = asyncio.create_task(consume(real_engine, body))
        async with asyncio.timeout(30):
            while not real_engine.unfinished:  # noqa: ASYNC110 - vLLM offers a count, no event
                await asyncio.sleep(0.05)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        assert real_engine.unfinished == 0

    real_engine.runner.run(play())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"messages": []}, "empty conversation"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user", "content": "x " * 3000}]}, "context length"),
        ({"messages": [{"role": "user", "content": "x"}], "temperature": -1}, "temperature"),
        ({"messages": [{"role": "user", "content": "x"}], "max_tokens": 0}, "max_tokens"),
        ({"messages": [{"role": "wizard", "content": "x"}], "n": "many"}, "n"),
    ],
)
def test_a_body_that_vllm_refuses_is_a_400_that_says_why(real_engine: RealEngine, body: dict, says: str) -> None:
    head = real_engine.runner.run(first(real_engine, {"model": "base", **body}))
    assert head["status"] == 400
    assert says in head["json"]["error"]["message"]


async def first(real: RealEngine, body: dict) -> dict:
    async with aclosing(real.chat(body)) as items:
        head = await anext(items)
    assert isinstance(head, dict)
    return head


async def consume(real: RealEngine, body: dict) -> None:
    async with aclosing(real.chat(body)) as items:
        async for _ in items:
            pass
