"""The client of the server benches counts every answer once, and takes a refusal for what it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench.http_load import closed_loop, open_loop
from bench.ingress_bodies import Bodies
from bench.mock_upstream import Upstream

pytestmark = pytest.mark.anyio

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\n{}"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def serving(*answers: bytes) -> AsyncIterator[int]:
    """A server that gives these answers in turn; without any, the mock's own."""
    left = list(answers)

    class Scripted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(left.pop(0))  # type: ignore[attr-defined]

    server = await asyncio.get_running_loop().create_server(Scripted if answers else Upstream, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_every_request_is_answered_and_timed() -> None:
    async with serving() as port:
        seen = await closed_loop(port, Bodies().take(50, port), clients=4)
    assert (len(seen.seconds), seen.failures, seen.refused) == (50, [], [])
    assert seen.rate > 50


async def test_an_answer_that_lacks_what_it_must_hold_is_a_failure() -> None:
    async with serving() as port:
        seen = await closed_loop(port, Bodies().take(3, port), clients=1, must_hold=b"x-whetstone-collected: true")
    assert (len(seen.seconds), len(seen.failures)) == (0, 3)


async def test_a_refusal_says_when_to_come_back_and_anything_else_is_a_failure() -> None:
    async with serving(BUSY, FAILED, BUSY.replace(b"retry-after: 1\r\n", b"")) as port:
        seen = await closed_loop(port, Bodies().take(3, port), clients=1)
    assert (len(seen.refused), len(seen.failures)) == (1, 2)


async def test_an_open_loop_keeps_its_rate_and_counts_from_when_a_request_was_due() -> None:
    async with serving() as port:
        seen = await open_loop(port, Bodies().take(20, port), rate=100)
    assert len(seen.seconds) == 20
    assert 0.15 < seen.ended - seen.began < 2
