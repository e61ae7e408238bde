"""The ingress's own listener: it answers, hangs up on nobody, and a client that hangs up is noticed at once."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from bench.free_ports import free_ports
from serve import bounded_head
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


async def told(listener: Listener, *sent: bytes) -> bytes:
    """What it says until it closes; a whole request is answered before the next bytes are sent."""

    def talk() -> bytes:
        said = b""
        with socket.create_connection(("127.0.0.1", listener.port), timeout=5) as asking:
            with suppress(ConnectionError):
                for place, each in enumerate(sent):
                    asking.sendall(each)
                    while each.endswith(b"\r\n\r\n") and place + 1 < len(sent) and not said.endswith(b"}"):
                        said += asking.recv(65536)
            with suppress(ConnectionError):
                while piece := asking.recv(65536):
                    said += piece
        return said

    return await asyncio.to_thread(talk)


MUCH = 6 * bounded_head.MOST_BYTES  # more than what one read from the socket may bring on top
OPENING = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n"
HEADS = {
    "one long header": (OPENING, b"x: ", b"a" * MUCH),
    "a long path": (b"GET /", b"a" * MUCH),
    "many headers": (OPENING, b"x: aaaaaaaaaaaaaaaa\r\n" * (MUCH // 20)),
    "a whole head at once": (OPENING + b"x: " + b"a" * MUCH + b"\r\n\r\n",),
    "the second of a connection": (OPENING + b"\r\n", OPENING, b"x: ", b"a" * MUCH),
}


@pytest.mark.parametrize("sent", HEADS.values(), ids=HEADS)
async def test_a_head_that_does_not_end_is_refused_and_the_connection_closed(
    over_http: httpx.AsyncClient, listener: Listener, sent: tuple[bytes, ...]
) -> None:
    said = await told(listener, *sent)
    assert b"HTTP/1.1 431 " in said
    assert b'"code": "headers_too_large"' in said


async def test_a_large_body_and_headers_below_the_bound_are_answered(over_http: httpx.AsyncClient) -> None:
    ask = {**ASK, "messages": [{"role": "user", "content": "a" * 300_000}]}
    headers = {f"x-{number}": "a" * 8000 for number in range(7)}
    answers = [await over_http.post(CHAT, json=ask, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]


@pytest.mark.parametrize(
    "sent", [(), (b"GET /health HT",), (OPENING + b"\r\n", b"\r\n")], ids=["nothing", "half a head", "a blank line"]
)
async def test_a_connection_that_does_not_come_to_its_point_is_closed(
    over_http: httpx.AsyncClient, listener: Listener, monkeypatch: pytest.MonkeyPatch, sent: tuple[bytes, ...]
) -> None:
    monkeypatch.setattr(bounded_head, "SECONDS", 0.1)
    assert b"400" not in await told(listener, *sent)


async def test_an_answer_that_takes_longer_than_a_head_may_is_whole(
    over_http: httpx.AsyncClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_head, "SECONDS", 0.1)
    engine.pause_after = 1
    asyncio.get_running_loop().call_later(0.3, engine.go_on.set)
    assert (await over_http.post(CHAT, json={**ASK, "stream": True})).text.endswith("data: [DONE]\n\n")


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
