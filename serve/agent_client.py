"""The agent as the ingress sees it: one more upstream, that answers as the engine does."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from serve.engine_client import Body, EngineBusy, EngineUnavailable, Item, translated
from serve.errors import ApiError, busy
from serve.turn import AGENT, DONE, event

Question = dict[str, Any]
Runs = Callable[[Question], AsyncGenerator[dict[str, Any], None]]

_NOT_TAKEN = {"logprobs": ((None, False), "it has no log probabilities"), "n": ((None, 1), "it makes one choice")}


class AgentClient:
    """Implements `Chats`. The head also says, as `messages`, what the reply answers, with what is remembered."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def chat(self, body: Body) -> AsyncGenerator[Item, None]:
        """See EngineClient.chat; `body["agent"]` is of `Turn.for_agent`. Raises ApiError for whatever ends a run."""
        async with aclosing(self._items(_question(body))) as items:
            began = (await anext(items))["began"]
            if body.get("stream"):
                yield {"status": 200, "messages": began}
                async for chunk in _chunks(items):
                    yield chunk
                return
            said = [item async for item in items]
            text = "".join(item.get("delta", "") for item in said)
            yield {"status": 200, "json": _whole(text, said[-1]["done"]), "messages": began}

    async def _items(self, question: Question) -> AsyncGenerator[dict[str, Any], None]:
        """To the end of the run, which is after `done`: closed before, it would not have remembered the turn."""
        done = False
        try:
            async with aclosing(self._runs(question)) as items:
                async for item in items:
                    if "error" in item:
                        raise _error(item["error"])
                    done = done or "done" in item
                    yield item
        except EngineUnavailable:
            raise busy("Expected the agent to answer, found it (re)starting", "agent_unavailable", 5) from None
        if not done:
            raise ApiError(502, "Expected the agent to end its reply, found it broken off", code="broken_off")


def agent_runs(handle: Any) -> Runs:
    """The runs of the agent's deployment; closing one ends it there."""
    streaming = handle.options(stream=True)

    async def runs(question: Question) -> AsyncGenerator[dict[str, Any], None]:
        items = streaming.run.remote(question)
        try:
            with translated():
                async for item in items:
                    yield item
        finally:
            items.cancel()

    return runs


def not_taken(parameters: Mapping[str, Any]) -> str | None:
    """The first parameter that asks for what an agent cannot give."""
    return next((name for name, (fine, _) in _NOT_TAKEN.items() if parameters.get(name) not in fine), None)


def _question(body: Body) -> Question:
    taken = {name: value for name, value in body.items() if name not in (AGENT, "model", "messages", "stream")}
    if name := not_taken(taken):
        message = f"{name}: not for the agent, {_NOT_TAKEN[name][1]}"
        raise ApiError(400, message, param=name, code="unsupported_parameter")
    return {"messages": body["messages"], "parameters": taken, **body[AGENT]}


def _error(told: dict[str, Any]) -> Exception:
    if told["code"] == "engine_busy":
        return EngineBusy(told["message"])
    return ApiError(told["status"], told["message"], param=told["param"], code=told["code"], headers=told["headers"])


async def _chunks(items: AsyncIterator[dict[str, Any]]) -> AsyncGenerator[str, None]:
    yield _chunk({"role": "assistant", "content": ""})
    async for item in items:
        yield _chunk({"content": item["delta"]}) if "delta" in item else _chunk({}, item["done"])
    yield event(DONE)


def _chunk(delta: dict[str, str], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return event({**_envelope("chat.completion.chunk"), "choices": [choice]})


def _whole(text: str, finish: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {**_envelope("chat.completion"), "choices": [choice]}


def _envelope(kind: str) -> dict[str, Any]:
    """`id` and `model` are given by whoever passes it on."""
    return {"id": "", "object": kind, "created": int(time.time()), "model": ""}
