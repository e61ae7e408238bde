"""One request driven by hand, where a client that reads all of an answer at once would see too little."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp, Message


class AsgiCall:
    """Runs the app in a task; `text` grows as it sends, `leave` hangs up."""

    def __init__(
        self, app: ASGIApp, method: str, path: str, chunks: Sequence[bytes] = (), headers: dict[str, str] | None = None
    ) -> None:
        self.status, self.headers, self.text = 0, dict[str, str](), ""
        self.read = 0
        self._chunks, self._left, self._sent = list(chunks), asyncio.Event(), asyncio.Condition()
        named = {"host": "127.0.0.1", **(headers or {})}
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 1),
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))  # type: ignore[arg-type]

    @classmethod
    def json(cls, app: ASGIApp, path: str, body: Any, headers: dict[str, str] | None = None) -> "AsgiCall":
        return cls(app, "POST", path, [json.dumps(body).encode()], headers)

    async def until(self, text: str) -> None:
        """Wait until the answer holds it."""
        async with asyncio.timeout(5), self._sent:
            await self._sent.wait_for(lambda: text in self.text)

    def leave(self) -> None:
        self._left.set()

    async def _receive(self) -> Message:
        if self._chunks:
            self.read += 1
            chunk = self._chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(self._chunks)}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        async with self._sent:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            self.text += message.get("body", b"").decode()
            self._sent.notify_all()
