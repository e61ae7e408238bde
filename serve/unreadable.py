"""Bytes that are no HTTP: answered in the shape of every other error, as they never reach the application."""

import json
from typing import TYPE_CHECKING

from serve.errors import ApiError

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_NO_HTTP = ApiError(
    400, "Expected an HTTP/1.1 request with a known method, found bytes that are none", code="no_http_request"
)

_HEAD = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"


def answer_unreadable() -> None:
    """From here on, whatever server of this process meets such bytes; uvicorn itself would say it as plain text."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    HttpToolsProtocol.send_400_response = _send_400  # type: ignore[method-assign]


def _send_400(self: "HttpToolsProtocol", msg: str) -> None:
    body = json.dumps(_NO_HTTP.body()).encode()
    head = (
        b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    )
    self.transport.write(head % len(body) + body)
    self.transport.close()
