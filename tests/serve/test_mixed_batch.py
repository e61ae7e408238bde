"""Rows of the base beside rows of an adapter in one batch: on stock CPU kernels the base answers as the adapter."""

import asyncio
from dataclasses import dataclass

import pytest

from tests.serve.conftest import Publish, RealEngine

pytestmark = pytest.mark.engine

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


def agree(alone: list[list[Token]], mixed: list[list[Token]]) -> bool:
    """The same tokens, as likely as before; from a near tie on they may part."""
    return all(_same_answer(one, other) for one, other in zip(alone, mixed, strict=True))


def _same_answer(alone: list[Token], mixed: list[Token]) -> bool:
    for one, other in zip(alone, mixed, strict=False):
        if one.text != other.text:
            return one.margin < _NOISE
        if abs(one.logprob - other.logprob) > _NOISE:
            return False
    return len(alone) == len(mixed)


def test_base_and_adapters_in_one_batch_answer_as_they_do_alone(real_engine: RealEngine, publish: Publish) -> None:
    publish(1)
    publish(2)
    run = real_engine.runner.run
    base = run(one_after_the_other(real_engine, "base"))
    run(real_engine.engine.ensure("v1", ["v1", "v2"]))
    run(real_engine.engine.ensure("v2", ["v1", "v2"]))
    first, second = run(one_after_the_other(real_engine, "v1")), run(one_after_the_other(real_engine, "v2"))
    assert not agree(base, first)
    assert not agree(base, second)

    mixed = run(together(real_engine, "base", "v1", "v2"))

    assert agree(base, mixed["base"])
    assert agree(first, mixed["v1"])
    assert agree(second, mixed["v2"])


def test_the_base_is_itself_again_after_an_adapter_left(real_engine: RealEngine, publish: Publish) -> None:
    publish(3)
    run = real_engine.runner.run
    base = run(one_after_the_other(real_engine, "base"))
    run(real_engine.engine.ensure("v3", ["v3"]))
    mixed = run(together(real_engine, "base", "v3"))
    assert agree(base, mixed["base"])
    assert not agree(base, mixed["v3"])
