"""Server-sent events whose source is closed however they end."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class EventStream(StreamingResponse):
    """Starlette leaves the generator of a client that left to the garbage collector; here it is closed at once."""

    def __init__(self, events: AsyncGenerator[Any, None], headers: Mapping[str, str] | None = None) -> None:
        uncached = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(events, headers={**uncached, **(headers or {})}, media_type="text/event-stream")
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()
