"""Greedy answers with their log-probabilities over HTTP, many at once, and how far two of them are apart."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class Answer:
    """The tokens of a reply and the log-probability (nats) of each."""

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True)
class Distance:
    """`parted`: the share of answers whose tokens differ; `rms`: of log-probabilities (nats), up to where they part."""

    parted: float
    rms: float


async def batch(url: str, asked: Sequence[tuple[str, str]], tokens: int = 24) -> list[Answer]:
    """All (model, question) at once, so that the engine works on them together."""
    limits = httpx.Limits(max_connections=len(asked))
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False, limits=limits) as client:
        return await asyncio.gather(*(_ask(client, model, question, tokens) for model, question in asked))


async def _ask(client: httpx.AsyncClient, model: str, question: str, tokens: int) -> Answer:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_completion_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "logprobs": True,
        "store": False,
    }
    reply = await client.post("/v1/chat/completions", json=body)
    reply.raise_for_status()
    steps = reply.json()["choices"][0]["logprobs"]["content"]
    return Answer(tuple(step["token"] for step in steps), tuple(step["logprob"] for step in steps))


def distance(one: Sequence[Answer], other: Sequence[Answer]) -> Distance:
    """Between two batches of the same questions, in the same order."""
    pairs = list(zip(one, other, strict=True))
    squares = [square for left, right in pairs for square in _squares(left, right)]
    parted = sum(left.tokens != right.tokens for left, right in pairs) / len(pairs)
    return Distance(parted, math.sqrt(sum(squares) / len(squares)) if squares else 0.0)


def _squares(left: Answer, right: Answer) -> list[float]:
    """Squared differences of the tokens that both said; from where they part they are not the same question."""
    found = []
    for mine, yours, here, there in zip(left.tokens, right.tokens, left.logprobs, right.logprobs, strict=False):
        if mine != yours:
            break
        found.append((here - there) ** 2)
    return found
