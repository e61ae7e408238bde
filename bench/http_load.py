"""A small HTTP client for measuring servers: kept-alive connections, requests written once, answers read by length.

It costs tens of microseconds a request, which a general client does not; `bench.ingress` shows that it does not limit.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast


@dataclass
class Seen:
    """What came back, in seconds from when each request was due: answers, refusals that say when to come back.

    Everything else is a failure.
    """

    seconds: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / (self.ended - self.began)


class Connection(asyncio.Protocol):
    """One request at a time; the answer ends by its Content-Length or with the last chunk."""

    def __init__(self, lost: str = "") -> None:
        self._buffer, self._answer, self._lost = bytearray(), asyncio.Future[bytes](), lost
        self._answer.cancel()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._answer.done() and _is_whole(self._buffer):
            whole, self._buffer = bytes(self._buffer), bytearray()
            self._answer.set_result(whole)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(ConnectionError("the connection was closed"))

    async def ask(self, request: bytes) -> bytes:
        """The whole answer with its head."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection was closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport:
            self._transport.close()


async def connect(port: int, number: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(number)]


async def closed_loop(port: int, requests: Sequence[bytes], clients: int, must_hold: bytes = b"") -> Seen:
    """Each client asks again as soon as it was answered: the most that the server can."""
    seen, left = Seen(), deque(requests)
    connections = await connect(port, clients)

    async def client(connection: Connection) -> None:
        while left:
            await _one(connection, left.popleft(), time.perf_counter(), seen, must_hold)

    seen.began = time.perf_counter()
    await asyncio.gather(*map(client, connections))
    seen.ended = time.perf_counter()
    for connection in connections:
        connection.close()
    return seen


async def open_loop(port: int, requests: Sequence[bytes], rate: float, must_hold: bytes = b"") -> Seen:
    """`rate` requests a second whatever comes back; a request's time counts from when it was due."""
    seen, tasks = Seen(), set[asyncio.Task[None]]()
    free = deque(await connect(port, 64))
    seen.began = time.perf_counter()

    async def one(request: bytes, due: float) -> None:
        connection = free.popleft() if free else (await connect(port, 1))[0]
        await _one(connection, request, due, seen, must_hold)
        free.append(connection)

    for number, request in enumerate(requests):
        due = seen.began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(request, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    seen.ended = time.perf_counter()
    for connection in free:
        connection.close()
    return seen


async def _one(connection: Connection, request: bytes, due: float, seen: Seen, must_hold: bytes) -> None:
    try:
        answer = await connection.ask(request)
    except ConnectionError as error:
        seen.failures.append(str(error))
        return
    if answer.startswith(b"HTTP/1.1 200") and must_hold in answer:
        seen.seconds.append(time.perf_counter() - due)
    elif answer[9:12] in (b"429", b"503") and b"\r\nretry-after:" in answer.lower():
        seen.refused.append(time.perf_counter() - due)
    else:
        seen.failures.append(answer[:200].decode(errors="replace"))


def _is_whole(answer: bytearray) -> bool:
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    lowered = bytes(answer[:head]).lower()
    at = lowered.find(b"\r\ncontent-length:")
    if at < 0:
        return answer.endswith(b"0\r\n\r\n")
    end = lowered.find(b"\r\n", at + 2)
    return len(answer) - head - 4 >= int(lowered[at + 17 : end if end > 0 else head])
