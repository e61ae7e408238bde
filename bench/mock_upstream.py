"""The same mock as an OpenAI-compatible HTTP server, for a proxy that knows no Serve handle."""

import asyncio
import json
import sys
from typing import cast

from bench.cores import stay_on
from bench.mock_engine import whole

_BODY = json.dumps(whole("mock"), ensure_ascii=False).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_BODY) + _BODY


class Upstream(asyncio.Protocol):
    """Answers every request alike as soon as its body is whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := _end(self._buffer)) is not None and self._transport:
            del self._buffer[:end]
            self._transport.write(ANSWER)


def _end(request: bytearray) -> int | None:
    head = request.find(b"\r\n\r\n")
    if head < 0:
        return None
    lowered = bytes(request[:head]).lower()
    at = lowered.find(b"\r\ncontent-length:")
    length = int(lowered[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return head + 4 + length if len(request) >= head + 4 + length else None


async def serve_on(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    stay_on(int(sys.argv[2]))
    asyncio.run(serve_on(int(sys.argv[1])))
