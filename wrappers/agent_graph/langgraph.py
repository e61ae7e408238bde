"""The built-in graph of the agent: asks the model in the user's language until it answers in it, and remembers less
where the thread no longer fits into the model.

What a graph must offer to be served: `build(prompts, config)`, an uncompiled StateGraph. Its state has `messages`, the
thread so far with the question last, to which it adds the reply; its runtime context is a `wrappers.agent_run.Run`,
through which alone it reaches a model. What it writes as `{"delta": text}` is streamed.
"""

import json
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import Field

from core.domain import Domain, Text
from core.language import language_of, mismatch, script_of
from core.reading import read

Message = dict[str, str]
Tongue = Literal["ko", "en", "other"]

TOO_LONG = "context_length_exceeded"


class State(TypedDict):
    messages: list[Message]


class Config(Domain):
    """`attempts`: how often the model is asked for one reply; `listen_characters`: heard before any is passed on."""

    attempts: int = Field(ge=1, le=5)
    listen_characters: int = Field(ge=0, le=200)


class Prompts(Domain):
    system: dict[Tongue, Text]
    features: dict[Tongue, Text]
    again: dict[Tongue, Text]


def build(prompts: dict[str, Any], config: dict[str, Any]) -> Any:
    """The graph, not yet compiled."""
    from langgraph.graph import START, StateGraph
    from langgraph.runtime import Runtime

    words, limits = Prompts.model_validate(prompts), Config.model_validate(config)

    async def answer(state: State, runtime: Runtime[Any]) -> State:
        return await _answer(state["messages"], runtime.context, words, limits)

    graph = StateGraph(State)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    graph.add_conditional_edges("answer", _next, ["answer", "__end__"])
    return graph


def _next(state: State) -> str:
    return "__end__" if state["messages"][-1]["role"] == "assistant" else "answer"


async def _answer(messages: list[Message], run: Any, words: Prompts, limits: Config) -> State:
    """One question to the model; without a reply at the end of `messages` it is asked again."""
    from langgraph.config import get_stream_writer

    write, said, passed_on = get_stream_writer(), "", False
    last = run.calls + 1 >= limits.attempts
    try:
        async with aclosing(run.ask([_prompt(messages, run, words), *messages])) as pieces:
            async for piece in pieces:
                said += piece
                if not passed_on and not last and len(said) < limits.listen_characters:
                    continue
                if not passed_on and not last and _strays(messages, said):
                    return {"messages": messages}
                write({"delta": piece if passed_on else said})
                passed_on = True
    except Exception as error:
        if getattr(error, "code", None) != TOO_LONG or passed_on or len(messages) < 3:
            raise
        return {"messages": _newer_half(messages)}
    if not passed_on and not last and (not said.strip() or _strays(messages, said)):
        return {"messages": messages}
    if not passed_on:
        write({"delta": said})
    return {"messages": [*messages, {"role": "assistant", "content": said}]}


def _prompt(messages: list[Message], run: Any, words: Prompts) -> Message:
    tongue = _tongue(messages)
    parts = [words.system[tongue]]
    if run.calls:
        parts.append(words.again[tongue])
    if run.features:
        told = json.dumps(run.features, ensure_ascii=False, default=str)
        parts.append(words.features[tongue].replace("{features}", told))
    parts += [run.instructions] if run.instructions else []
    return {"role": "system", "content": "\n\n".join(parts)}


def _tongue(messages: list[Message]) -> Tongue:
    asked = read(messages[-1]["content"])
    return language_of(asked) or script_of(asked)


def _strays(messages: list[Message], said: str) -> bool:
    """Whether it begins in another language than that of the question, which asked for no other."""
    asked, reply = read(messages[-1]["content"]), read(said)
    # a few signs have a language only where they are Hangul
    first = language_of(asked) or ("ko" if script_of(asked) == "ko" else None)
    before = [message["content"] for message in messages[:-1] if message["role"] == "user"]
    return mismatch(asked, reply, first, language_of(reply), before)


def _newer_half(messages: list[Message]) -> list[Message]:
    """Without the older half of what was said before the question; it still begins with the user."""
    kept = messages[(len(messages) - 1) // 2 :]
    while kept[0]["role"] != "user":
        kept = kept[1:]
    return kept


def predict(model_input: list[str]) -> list[str]:
    """For `mlflow.pyfunc.load_model`: each question on its own, to `production` behind OPENAI_BASE_URL."""
    from wrappers.agent import LangGraphWrapper
    from wrappers.agent_openai import openai_ask

    wrapper = LangGraphWrapper(openai_ask())
    wrapper.load(str(Path(__file__).parent))
    return [wrapper.predict({"input": question}) for question in model_input]


def _offer_to_mlflow() -> None:
    from mlflow.models import set_model

    set_model(predict)


if __name__.startswith("code_model_"):  # the name under which MLflow runs a model's code
    _offer_to_mlflow()
