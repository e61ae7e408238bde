"""A model that answers at once, behind a Serve handle as the engine is: what a request costs is then the way to it."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from bench.cores import stay_on
from serve.engine_client import Body, Item

REPLY = (
    "Unplug the printer for half a minute, plug it in again and wait until the lights stop blinking. Then open the "
    "list of printers, remove the one that is shown twice and print a test page. 그래도 안 되면 케이블을 바꿔 보세요."
)
WORDS = REPLY.split(" ")


class MockEngine:
    """Implements EngineClient; `pause` is the time in seconds before each word."""

    def __init__(self, core: int | None = None, pause: float = 0.0) -> None:
        self._pause, self._answering = pause, 0
        if core is not None:
            stay_on(core)

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        self._answering += 1
        try:
            if not body.get("stream"):
                if self._pause:
                    await asyncio.sleep(self._pause * len(WORDS))
                yield {"status": 200, "json": whole(str(body["model"]))}
                return
            yield {"status": 200}
            for chunk in chunks(str(body["model"])):
                if self._pause:
                    await asyncio.sleep(self._pause)
                yield chunk
        finally:
            self._answering -= 1

    async def ensure(self, name: str, pinned: list[str]) -> dict[str, Any]:
        return {"loaded": False, "seconds": 0.0}

    async def loaded(self) -> list[str]:
        return []

    async def ready(self) -> dict[str, Any]:
        return {"model": "mock", "lineage": "mock", "max_model_len": 2048, "unfinished": self._answering}


def whole(model: str) -> dict[str, Any]:
    """The reply as OpenAI's JSON."""
    choice = {"index": 0, "message": {"role": "assistant", "content": REPLY}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 40, "completion_tokens": 60, "total_tokens": 100}
    return {**_head(model, "chat.completion"), "choices": [choice], "usage": usage}


def chunks(model: str) -> list[str]:
    """The same as server-sent events, one a word."""
    said = [_chunk(model, {"role": "assistant", "content": ""})]
    said += [_chunk(model, {"content": f"{word} "}) for word in WORDS[:-1]]
    said += [_chunk(model, {"content": WORDS[-1]}), _chunk(model, {}, "stop")]
    return [*said[:-1], said[-1] + "data: [DONE]\n\n"]


def _chunk(model: str, delta: dict[str, str], finish: str | None = None) -> str:
    chunk = {
        **_head(model, "chat.completion.chunk"),
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-mock", "object": kind, "created": 1, "model": model}
