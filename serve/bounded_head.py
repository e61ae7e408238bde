"""Heads of requests are bounded in bytes and in time: they come before any key is looked at."""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serve.errors import ApiError

MOST_BYTES = 65_536
SECONDS = 60.0
_TOO_LARGE = ApiError(
    431, f"Expected a request line and headers of at most {MOST_BYTES} bytes, found more", code="headers_too_large"
)
_HEAD = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
)


class BoundedHead(HttpToolsProtocol):
    """uvicorn's own, which would keep a head of any size, and a connection that says nothing for ever."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head = 0  # bytes of the request line and the headers so far, trailers included
        self._unread = 0  # bytes since the parser last made something of them
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_a_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.cycle is not None and self.cycle.response_complete:
            self._expect_a_head()  # whatever ends uvicorn's own wait for the next request begins this one
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MOST_BYTES:
            self._refuse()

    def send_400_response(self, msg: str) -> None:
        if self._head > MOST_BYTES:
            self._refuse()
        else:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        self._head = self._unread = 0
        self._expect_a_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unread = 0
        self._head_is_there()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def _count(self, more: int) -> None:
        self._unread = 0
        self._head += more
        if self._head > MOST_BYTES:
            raise ValueError(_TOO_LARGE.message)  # the parser stops, and asks for send_400_response

    def _expect_a_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(SECONDS, self._too_late)

    def _head_is_there(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_a_head()  # the request before is still answered
        else:
            self.transport.close()

    def _refuse(self) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:  # else it would stand in the middle of an answer
            body = json.dumps(_TOO_LARGE.body()).encode()
            self.transport.write(_HEAD % len(body) + body)
        self.transport.close()
