"""The engine as the agent's model: its stream in pieces, its errors in our words."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from serve.errors import ApiError
from serve.guarded import Chats
from serve.turn import DONE, events
from serve.upstream_answer import check_head, chunk_of
from wrappers.agent_run import Ask, Message, Piece


def engine_ask(engine: Chats) -> Ask:
    """Raises what the engine's client raises, and ApiError for what the engine says of the request."""

    async def ask(
        model: str, messages: Sequence[Message], parameters: Mapping[str, Any]
    ) -> AsyncGenerator[Piece, None]:
        body = {**parameters, "model": model, "messages": list(messages), "stream": True}
        async with aclosing(engine.chat(body)) as items:
            check_head(await anext(items))
            async for item in items:
                for data in events(str(item)):
                    if data == DONE:
                        return
                    for piece in _pieces(chunk_of(data)):
                        yield piece
        raise ApiError(502, "Expected the reply to end with [DONE], found it broken off", code="broken_off")

    return ask


def _pieces(chunk: dict[str, Any]) -> list[Piece]:
    choices = [choice for choice in chunk.get("choices") or () if choice.get("index", 0) == 0]
    return [Piece((choice.get("delta") or {}).get("content") or "", choice.get("finish_reason")) for choice in choices]
