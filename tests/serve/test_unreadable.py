"""A method nobody knows, and bytes that are no request, are answered in the shape of every other error."""

import asyncio
import json

import pytest
import uvicorn

from serve.proxy_guard import middlewares
from tests.serve.asgi_call import AsgiCall

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("sent", [b"BREW /chat HTTP/1.1\r\nhost: x\r\n\r\n", b"\x16\x03\x01 not http\r\n\r\n"])
async def test_what_is_no_http_is_told_so_in_json(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    monkeypatch.setattr(HttpToolsProtocol, "send_400_response", HttpToolsProtocol.send_400_response)
    middlewares()  # the proxy's own start
    server = uvicorn.Server(uvicorn.Config(lambda: AsgiCall, http="httptools", port=0, lifespan="off", log_config=None))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 (uvicorn offers a flag, no event)
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    writer.close()
    server.should_exit = True
    await running

    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/json" in head
    error = json.loads(body)["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "no_http_request")
