"""A model for agents: says what it is told to, in pieces, and keeps what it was asked."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from wrappers.agent_run import Message, Piece


class TooLong(Exception):
    code = "context_length_exceeded"


class FakeModel:
    """`replies` one after the other, the last again and again; an exception among them is raised.

    More than `most` messages are too long for it. With `stuck` it says its first word and waits for ever.
    """

    def __init__(self, *replies: str | Exception, most: int = 1000, stuck: bool = False) -> None:
        self.replies, self.most, self.stuck = list(replies), most, stuck
        self.asked: list[tuple[str, list[Message], Mapping[str, Any]]] = []
        self.open = 0

    async def __call__(
        self, model: str, messages: Sequence[Message], parameters: Mapping[str, Any]
    ) -> AsyncGenerator[Piece, None]:
        self.asked.append((model, list(messages), parameters))
        self.open += 1
        try:
            if len(messages) > self.most:
                raise TooLong
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            if isinstance(reply, Exception):
                raise reply
            for word in re.findall(r"\S+\s*", reply):
                yield Piece(word)
                if self.stuck:
                    await asyncio.Event().wait()
            yield Piece("", "stop")
        finally:
            self.open -= 1

    def heard(self) -> list[list[str]]:
        """Every request without the agent's own prompt."""
        return [[message["content"] for message in messages[1:]] for _, messages, _ in self.asked]
