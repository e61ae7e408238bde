"""Server-sent events whose source is closed however they end."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

log = logging.getLogger(__name__)

# A server waits for whoever keeps the connection and does not read, and holds the place of a chat for them.
UNREAD_SECONDS = 60.0

_Q_VALUE = re.compile(r"[01](\.\d{0,3})?", re.ASCII)


class EventStream(StreamingResponse):
    """Starlette leaves the generator of a client that left to the garbage collector; here it is closed at once.

    So is that of a client that is there and takes nothing for `UNREAD_SECONDS`.
    """

    def __init__(self, events: AsyncGenerator[Any, None], headers: Mapping[str, str] | None = None) -> None:
        uncached = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(events, headers={**uncached, **(headers or {})}, media_type="text/event-stream")
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(UNREAD_SECONDS):
                    await send(message)
            except TimeoutError:
                raise _Unread from None

        try:
            await super().__call__(scope, receive, in_time)
        except _Unread:
            log.warning("A client took nothing of its stream for %.0f s: it is closed", UNREAD_SECONDS)
        finally:
            await self._events.aclose()


class _Unread(Exception):
    """No OSError, which Starlette would take for a client that left."""


def wants_events(accept: str) -> bool:
    """Whether server-sent events are asked for, and no less than JSON; of two equal wishes the first counts."""
    wishes = list(_wishes(accept))
    events = max((wish for wish in wishes if wish[0] == "text/event-stream"), key=lambda wish: wish[1], default=None)
    others = [wish for wish in wishes if wish[0] in ("application/json", "application/*", "*/*")]
    if events is None or events[1] == 0:
        return False
    return all((other[1], -other[2]) <= (events[1], -events[2]) for other in others)


def _wishes(accept: str) -> Iterator[tuple[str, float, int]]:
    """Media type, q-value and place of each; a q-value that is none counts as 0."""
    for place, wish in enumerate(accept.lower().split(",")):
        name, *parameters = (part.strip() for part in wish.split(";"))
        given = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        yield name, float(given) if _Q_VALUE.fullmatch(given) else 0.0, place
