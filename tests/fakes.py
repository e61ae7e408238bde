"""Doubles of what tests leave out: small, in memory, scripted."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Future
from typing import Any

from core.conversation import Conversation
from resources.conversations import Captured
from serve.champion_follower import UnknownModel
from serve.engine_client import Body, Item


class FakeEngine:
    """Says its words, one a chunk; `pause_after` stops it before that word until `go_on` is set."""

    def __init__(self, words: Sequence[str] = ("Check", " the", " cable."), finish: str = "stop") -> None:
        self.words, self.finish = words, finish
        self.asked: list[Body] = []
        self.closed = 0
        self.raises: Exception | None = None
        self.head: dict[str, Any] | None = None
        self.breaks_after: int | None = None
        self.pause_after: int | None = None
        self.paused, self.go_on, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.is_ready = True

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        self.asked.append(body)
        if self.raises:
            raise self.raises
        try:
            if self.head:
                yield self.head
                return
            if body["stream"]:
                yield {"status": 200}
                async for item in self._chunks(body):
                    yield item
                return
            await self._pause(0)
            message = {"role": "assistant", "content": "".join(self.words)}
            yield {"status": 200, "json": self._answer(body, "message", message, self.finish)}
        finally:
            self.closed += 1
            self.ended.set()

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        return {"loaded": False, "seconds": 0.0}

    async def loaded(self) -> list[str]:
        return []

    async def ready(self) -> dict[str, Any]:
        if not self.is_ready:
            raise self.raises or RuntimeError("not ready")
        return {"model": "fake", "lineage": "fake", "max_model_len": 2048}

    async def _chunks(self, body: Body) -> AsyncGenerator[str, None]:
        yield self._event(body, {"role": "assistant", "content": ""})
        for position, word in enumerate(self.words):
            if position == self.breaks_after:
                raise RuntimeError("the engine died")
            await self._pause(position)
            yield self._event(body, {"content": word})
        yield self._event(body, {}, self.finish) + "data: [DONE]\n\n"

    async def _pause(self, position: int) -> None:
        if position == self.pause_after:
            self.paused.set()
            await self.go_on.wait()

    def _event(self, body: Body, delta: dict[str, Any], finish: str | None = None) -> str:
        return f"data: {json.dumps(self._answer(body, 'delta', delta, finish))}\n\n"

    def _answer(self, body: Body, kind: str, said: dict[str, Any], finish: str | None) -> dict[str, Any]:
        whole = kind == "message"
        return {
            "id": "chatcmpl-engine",
            "object": "chat.completion" if whole else "chat.completion.chunk",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, kind: said, "finish_reason": finish}],
            **({"usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}} if whole else {}),
        }


class FakeFollower:
    """A champion that tests move by assignment."""

    def __init__(self, current: str = "base", versions: Sequence[str] = ()) -> None:
        self.current, self.versions = current, versions

    async def resolve(self, model: str) -> str:
        if model == "production":
            return self.current
        if model in self.names():
            return model
        raise UnknownModel(f"Expected one of {', '.join(self.names())}, found {model!r}.")

    def names(self) -> list[str]:
        return ["production", "base", *self.versions]


class FakeWriter:
    """A capture writer that refuses with `error`, or without one never answers."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.submitted: list[Conversation] = []

    def submit(self, conversation: Conversation) -> Future[Captured]:
        self.submitted.append(conversation)
        answer: Future[Captured] = Future()
        if self.error:
            answer.set_exception(self.error)
        return answer
