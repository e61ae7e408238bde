"""Greedy answers of a real engine token by token, and when two of them are the same answer."""

import asyncio
from dataclasses import dataclass

from tests.serve.conftest import RealEngine

QUESTIONS = (
    "What is the capital of France?",
    "What is the capital of Italy?",
    "How many days has a week?",
    "What is 2 + 2?",
    "Which colour has the sky on a clear day?",
    "Say hello.",
)
_NOISE = 0.5  # nats; the size of a batch changes the order of sums, and bfloat16 has steps of 0.125 here


@dataclass(frozen=True)
class Token:
    """What was said, how likely it was, and how much likelier than the next best."""

    text: str
    logprob: float
    margin: float


async def ask(real: RealEngine, model: str, question: str) -> list[Token]:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_completion_tokens": 12,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 2,
    }
    (head,) = [item async for item in real.chat(body)]
    assert isinstance(head, dict)
    assert head["status"] == 200, head
    return [
        Token(step["token"], step["logprob"], step["top_logprobs"][0]["logprob"] - step["top_logprobs"][1]["logprob"])
        for step in head["json"]["choices"][0]["logprobs"]["content"]
    ]


async def one_after_the_other(real: RealEngine, model: str) -> list[list[Token]]:
    return [await ask(real, model, question) for question in QUESTIONS]


async def together(real: RealEngine, *models: str) -> dict[str, list[list[Token]]]:
    """All questions to all models at once, so that every step of the engine mixes their rows."""
    pairs = [(model, question) for question in QUESTIONS for model in models]
    said = await asyncio.gather(*(ask(real, model, question) for model, question in pairs))
    return {model: [s for s, (m, _) in zip(said, pairs, strict=True) if m == model] for model in models}


def agree(alone: list[list[Token]], mixed: list[list[Token]], nats: float = _NOISE) -> bool:
    """The same tokens, as likely as before but for `nats`; from a near tie on they may part."""
    return all(_same_answer(one, other, nats) for one, other in zip(alone, mixed, strict=True))


def _same_answer(alone: list[Token], mixed: list[Token], nats: float) -> bool:
    for one, other in zip(alone, mixed, strict=False):
        if one.text != other.text:
            return one.margin < _NOISE
        if abs(one.logprob - other.logprob) > nats:
            return False
    return len(alone) == len(mixed)
