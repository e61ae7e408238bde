"""Streamed chats over HTTP, one at a time or as an open loop, each with its times and what it said."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

QUESTIONS = (
    "What is the capital of France?",
    "How do I reset my password?",
    "My printer is not printing.",
    "Tell me a short story about the sea.",
    "오늘 서울 날씨가 어때요?",
    "Why is the sky blue?",
    "What should I cook tonight?",
    "Explain what a firewall does.",
)


@dataclass(frozen=True)
class Ask:
    """One chat to send: the model asked for and the tokens at most."""

    model: str
    tokens: int


@dataclass
class Reply:
    """Seconds of `time.monotonic`: when it was due, and when the first and the last word came."""

    asked: str
    due: float
    model: str = ""
    conversation: str = ""
    collected: bool = False
    said_by: set[str] = field(default_factory=set)
    text: str = ""
    first: float | None = None
    done: float | None = None
    failure: str | None = None

    @property
    def seconds_to_first(self) -> float | None:
        return None if self.first is None else self.first - self.due


class Chats:
    """A client of one ingress; use as an asynchronous context manager."""

    def __init__(self, url: str, seed: int = 1) -> None:
        self._url, self._dice = f"{url}/v1/chat/completions", random.Random(seed)  # noqa: S311

    async def __aenter__(self) -> "Chats":
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def send(self, ask: Ask, due: float | None = None, keep: Callable[[str], bool] = lambda _: True) -> Reply:
        """One chat to its end; `keep` is asked with the model that answers, and False hangs up."""
        reply = Reply(ask.model, time.monotonic() if due is None else due)
        try:
            async with asyncio.timeout(60), self._http.post(self._url, json=self._body(ask)) as answer:
                reply.model = answer.headers.get("x-whetstone-model", "")
                reply.conversation = answer.headers.get("x-whetstone-conversation", "")
                reply.collected = answer.headers.get("x-whetstone-collected") == "true"
                if answer.status != 200:
                    reply.failure = f"{answer.status}: {(await answer.text())[:200]}"
                elif keep(reply.model):
                    await _read(answer, reply)
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            reply.failure = f"{type(error).__name__}: {error}"[:200]
        return reply

    async def open_loop(self, rate: float, seconds: float, asks: Sequence[Ask]) -> list[Reply]:
        """Poisson arrivals of `rate` a second, whatever the replies do; each is timed from when it was due."""
        sent, due = [], time.monotonic()
        end = due + seconds
        while (due := due + self._dice.expovariate(rate)) < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            sent.append(asyncio.create_task(self.send(self._dice.choice(asks), due)))
        return list(await asyncio.gather(*sent))

    async def closed_loop(self, clients: int, seconds: float, asks: Sequence[Ask]) -> list[Reply]:
        """So many clients that ask again as soon as they are answered."""
        end, replies = time.monotonic() + seconds, []

        async def one() -> None:
            while time.monotonic() < end:
                replies.append(await self.send(self._dice.choice(asks)))

        await asyncio.gather(*(one() for _ in range(clients)))
        return replies

    def _body(self, ask: Ask) -> dict[str, Any]:
        question = f"{self._dice.choice(QUESTIONS)} ({self._dice.randrange(1000)})"
        return {
            "model": ask.model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": ask.tokens,
            "temperature": 0,
            "stream": True,
            "user": f"user-{self._dice.randrange(50)}",
        }


async def _read(answer: aiohttp.ClientResponse, reply: Reply) -> None:
    async for line in answer.content:
        if not line.startswith(b"data: "):
            continue
        if line.startswith(b"data: [DONE]"):
            reply.done = time.monotonic()
            return
        chunk = json.loads(line[6:])
        if "error" in chunk:
            reply.failure = str(chunk["error"].get("message", "an error"))[:200]
            return
        reply.said_by.add(chunk["model"])
        for choice in chunk["choices"]:
            if piece := choice["delta"].get("content"):
                reply.first = reply.first or time.monotonic()
                reply.text += piece
    reply.failure = "broken off before [DONE]"
