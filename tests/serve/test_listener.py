"""The ingress's own listener: it answers, hangs up on nobody, and a client that hangs up is noticed at once."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from bench.free_ports import free_ports
from serve.listener import Listener
from tests.fakes import FakeEngine

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
ASK = {"model": "production", "messages": [{"role": "user", "content": "프린터가 안 됩니다."}]}


@pytest.fixture
def listener() -> Listener:
    return Listener("127.0.0.1", free_ports(1)[0], seconds=5)


@pytest.fixture
async def over_http(api: FastAPI, listener: Listener) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        listener.listening(api),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.port}", trust_env=False) as client,
    ):
        yield client


async def test_it_answers_over_http(over_http: httpx.AsyncClient) -> None:
    answer = await over_http.post(CHAT, json=ASK)
    assert (answer.status_code, answer.headers["x-whetstone-collected"]) == (200, "true")
    streamed = await over_http.post(CHAT, json={**ASK, "stream": True})
    assert streamed.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(("stream", "pause_after"), [(False, 0), (True, 1), (True, -1)])
async def test_a_client_that_hangs_up_frees_its_place_within_a_second(
    over_http: httpx.AsyncClient, listener: Listener, engine: FakeEngine, stream: bool, pause_after: int
) -> None:
    engine.pause_after = pause_after
    body = json.dumps({**ASK, "stream": stream}).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await asyncio.wait_for(engine.paused.wait(), 5)
    writer.transport.abort()
    await asyncio.wait_for(engine.ended.wait(), 1)

    engine.pause_after = None
    metrics = (await over_http.get("/metrics")).text
    assert "whetstone_chats_running 0.0" in metrics
    assert 'route="/v1/chat/completions",status="500"' not in metrics


async def test_at_its_end_it_answers_what_is_begun_and_takes_nothing_new(
    api: FastAPI, listener: Listener, engine: FakeEngine
) -> None:
    engine.pause_after = 1
    answers: list[Any] = []

    async def read() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.port}", trust_env=False) as client:
            answers.append((await client.post(CHAT, json={**ASK, "stream": True})).text)

    async with listener.listening(api):
        reading = asyncio.create_task(read())
        await engine.paused.wait()
        asyncio.get_running_loop().call_later(0.3, engine.go_on.set)
    await reading

    assert answers[0].endswith("data: [DONE]\n\n")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", listener.port)


async def test_localhost_is_reached_by_its_older_address(api: FastAPI, listener: Listener) -> None:
    async with replace(listener, host="localhost").listening(api):
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.close()


async def test_a_port_that_somebody_listens_on_is_an_error(api: FastAPI, listener: Listener) -> None:
    with socket.create_server(("127.0.0.1", listener.port)), pytest.raises(OSError, match="in use"):
        async with listener.listening(api):
            pass
