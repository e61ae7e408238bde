"""How well an agent answers a golden set: its replies against those of the set, scored by sacrebleu and by language."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from core.conversation import Conversation
from core.domain import Domain
from core.language import language_of, script_of
from core.reading import read
from wrappers.agent_run import AgentRequest, Done

if TYPE_CHECKING:
    from wrappers.agent import LangGraphWrapper

# each with sacrebleu's own tokenizer; other languages count in the scores of all
TOKENIZERS = {"en": "13a", "ko": "ko-mecab"}
AT_ONCE = 4


class AgentEvaluation(Domain):
    """What `evaluate` takes as `config`; `model` is the version that is asked."""

    experiment: str = "Default"
    run_name: str | None = None
    model: str = "production"
    parameters: dict[str, Any] = Field(default_factory=lambda: {"temperature": 0, "seed": 0})


@dataclass(frozen=True)
class Answer:
    """One reply beside that of the golden set; `failed` where the agent had none. `seconds` until its end."""

    reply: str
    reference: str
    asked: str
    seconds: float
    failed: bool = False


def evaluate_agent(
    agent: "LangGraphWrapper", data_loader: Iterable[Conversation], config: Mapping[str, Any]
) -> dict[str, float]:
    """`scores` of the agent's replies, logged to a run of MLflow with the agent's version and hash; no text is logged.

    Each conversation is asked on its own: its messages are the thread, its reply is what should come.
    """
    import mlflow

    options = AgentEvaluation.model_validate(dict(config))
    golden = list(data_loader)
    if not golden:
        raise ValueError("Expected at least one conversation to evaluate on, found none")
    answers = asyncio.run(_answers(agent, golden, options))
    if all(answer.failed for answer in answers):
        raise ValueError(f"Expected replies to {len(answers)} conversations, found none: is the model up?")
    found = scores(answers)
    mlflow.set_experiment(options.experiment)
    with mlflow.start_run(run_name=options.run_name, nested=mlflow.active_run() is not None):
        about = {"agent": agent.files.version, "agent_sha256": agent.files.digest, "model": options.model}
        mlflow.log_params({**about, **options.parameters})
        mlflow.log_metrics(found)
    return found


def scores(answers: Sequence[Answer]) -> dict[str, float]:
    """`chrf` (chrF++, Popović 2017, 0 to 100) over all and by language; `bleu_en`, `bleu_ko` (Papineni 2002, 0 to 100)
    with sacrebleu's tokenizers; and our own: `in_language`, the share of replies in the language of the question,
    `failed`, the share without one, and `seconds` a reply."""
    from sacrebleu.metrics import BLEU, CHRF

    chrf, found = CHRF(word_order=2), {"conversations": float(len(answers))}
    found["chrf"] = _corpus(chrf, answers)
    for language, tokenizer in TOKENIZERS.items():
        these = [answer for answer in answers if _language(answer.reference) == language]
        if these:
            found[f"chrf_{language}"] = _corpus(chrf, these)
            found[f"bleu_{language}"] = _corpus(BLEU(tokenize=tokenizer), these)
    there = [answer for answer in answers if not answer.failed]
    found["failed"] = 1 - len(there) / len(answers)
    found["in_language"] = sum(_language(a.reply) == _language(a.asked) for a in there) / len(answers)
    found["seconds"] = sum(answer.seconds for answer in there) / len(there) if there else 0.0
    return found


async def _answers(agent: "LangGraphWrapper", golden: Sequence[Conversation], options: AgentEvaluation) -> list[Answer]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(conversation: Conversation) -> Answer:
        async with places:
            return await _answer(agent, conversation, options)

    return list(await asyncio.gather(*map(one, golden)))


async def _answer(agent: "LangGraphWrapper", conversation: Conversation, options: AgentEvaluation) -> Answer:
    messages = tuple(message.model_dump() for message in conversation.messages)
    request = AgentRequest(messages=messages, model=options.model, parameters=options.parameters)
    began, reply = time.monotonic(), ""
    try:
        async with aclosing(agent.stream(request)) as said:
            async for piece in said:
                reply = piece.text if isinstance(piece, Done) else reply
    except Exception:  # noqa: BLE001 -- whatever it was, this one has no reply, and the others are asked
        return Answer("", conversation.reply, conversation.last_user, time.monotonic() - began, failed=True)
    return Answer(reply, conversation.reply, conversation.last_user, time.monotonic() - began)


def _corpus(metric: Any, answers: Sequence[Answer]) -> float:
    return float(metric.corpus_score([a.reply for a in answers], [[a.reference for a in answers]]).score)


def _language(text: str) -> str:
    found = read(text)
    return language_of(found) or script_of(found)
