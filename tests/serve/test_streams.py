import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message

from serve import streams
from serve.streams import EventStream, wants_events


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=many", False),
        ("text/event-stream, application/json", True),
        ("application/json, text/event-stream", False),
        ("application/json;q=0.5, text/event-stream", True),
        ("application/json, text/event-stream;q=0.9", False),
        ("text/html, text/event-stream;q=0.2", True),
    ],
)
def test_the_stream_is_chosen_by_what_the_client_prefers(accept: str, wanted: bool) -> None:
    assert wants_events(accept) is wanted


@pytest.mark.anyio
@pytest.mark.parametrize("spec", ["2.3", "2.4"])
async def test_a_client_that_takes_nothing_holds_no_place_for_ever(monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    monkeypatch.setattr(streams, "UNREAD_SECONDS", 0.05)
    ended = asyncio.Event()

    async def events() -> AsyncGenerator[str, None]:
        try:
            while True:
                yield "data: more\n\n"
        finally:
            ended.set()

    async def receive() -> Message:
        return await asyncio.Future[Message]()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Future[None]()

    scope = {"type": "http", "asgi": {"spec_version": spec}}
    async with asyncio.timeout(5):
        await EventStream(events())(scope, receive, send)
    assert ended.is_set()
