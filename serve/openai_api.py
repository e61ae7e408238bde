"""The OpenAI routes: chat completions, models, and feedback on a reply."""

from typing import Any, cast

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from core.canonical import fingerprint_of
from core.conversation import Message
from serve.answering import Answering, Opened
from serve.bodies import body_as, documented
from serve.error_docs import STORED, errors
from serve.errors import ApiError
from serve.hang_up import while_connected
from serve.keeper import Kept
from serve.limits import IngressLimits
from serve.messages import asked
from serve.schema import ChatCompletionBody, FeedbackBody
from serve.store_door import StoreDoor
from serve.streams import EventStream
from serve.turn import Turn

_SALT = "dialogue-v1"
# Ignoring these would answer another question than the one asked.
_NOT_UNDERSTOOD = ("tools", "tool_choice", "functions", "function_call", "audio", "modalities", "prediction")


def openai_routes(answering: Answering, door: StoreDoor, limits: IngressLimits) -> APIRouter:
    routes = APIRouter(tags=["OpenAI"], responses=errors(*STORED, 404, 504))

    @routes.post("/v1/chat/completions", openapi_extra=documented(ChatCompletionBody))
    async def chat_completions(request: Request) -> Response:
        """A reply of `production`, `base`, `teacher`, a version such as `v3`, or `agent`, streamed or whole.

        The agent remembers the thread (`metadata.conversation_id`, else `metadata.session_id`) of a `user`.

        What is wrong with the body is answered 400, as OpenAI's clients expect, where other routes answer 422.
        """
        body = await body_as(ChatCompletionBody, request, limits.body_bytes, status=400)
        turn = turn_of(body, limits, request.scope.get("caller", ""))
        return await _streamed(answering, turn, request) if body.stream else await _whole(answering, turn, request)

    @routes.get("/v1/models")
    async def models() -> dict[str, Any]:
        """Every name that `model` may have now."""
        return {"object": "list", "data": [_model(name) for name in answering.speakers.names()]}

    @routes.get("/v1/models/{name}")
    async def model(name: str) -> dict[str, Any]:
        """One of them."""
        if name not in answering.speakers.names():
            known = ", ".join(answering.speakers.names())
            raise ApiError(404, f"Expected one of {known}, found another model", param="model", code="model_not_found")
        return _model(name)

    @routes.post("/v1/feedback", openapi_extra=documented(FeedbackBody))
    async def feedback(request: Request) -> dict[str, Any]:
        """Rating or thumb, comment, corrected reply: what makes one of our own replies worth training on."""
        said = (await body_as(FeedbackBody, request, limits.body_bytes)).feedback()
        saved = await door.ask(lambda store: store.conversations.feedback(said))
        return saved.model_dump(mode="json")

    return routes


def turn_of(body: ChatCompletionBody, limits: IngressLimits, caller: str = "") -> Turn:
    """Raises ApiError 400 for what cannot be asked."""
    found = next((name for name in _NOT_UNDERSTOOD if (body.model_extra or {}).get(name)), None)
    if found:
        raise ApiError(400, f"{found}: not supported here, remove it", param=found, code="unsupported_parameter")
    wished = body.max_completion_tokens or body.max_tokens
    if wished and wished > limits.most_tokens:
        name = "max_completion_tokens" if body.max_completion_tokens else "max_tokens"
        message = f"{name}: expected at most {limits.most_tokens}, found {wished}"
        raise ApiError(400, message, param=name, code="invalid_value")
    metadata = body.metadata
    messages = asked(body.messages, limits.messages)
    return Turn(
        messages=messages,
        source="openai",
        model=body.model,
        parameters={**body.parameters(), "max_tokens": wished or limits.default_tokens},
        user_id=body.user,
        session_id=metadata.session_id if metadata else None,
        thread_id=metadata.conversation_id if metadata else None,
        dialogue=_dialogue(messages, caller, body.user or "", (metadata and metadata.session_id) or ""),
        keep=body.store is not False,
        caller=caller,
    )


def _dialogue(messages: tuple[Message, ...], *whose: str) -> str:
    """How it began, which every later turn repeats, so that all its turns lie on one side; hashed, for it is text."""
    first = next((place for place, message in enumerate(messages) if message.role == "user"), len(messages) - 1)
    said = [*whose, *(message.model_dump() for message in messages[: first + 1])]
    return f"opening-{fingerprint_of([_SALT, *said])[:32]}"


def truth(model: str, turn: Turn, kept: Kept, tier: str = "primary") -> dict[str, str]:
    """The headers of every reply: who wrote it, in whose place if not its own, and whether it is in the store."""
    return {
        "x-whetstone-model": model,
        "x-whetstone-conversation": turn.id,
        "x-whetstone-collected": str(kept.collected).lower(),
        "x-whetstone-tier": tier,
    }


async def _whole(answering: Answering, turn: Turn, request: Request) -> Response:
    reply = await while_connected(request, answering.reply(turn))
    return JSONResponse(reply.body, headers=truth(reply.model, turn, reply.kept, reply.tier))


async def _streamed(answering: Answering, turn: Turn, request: Request) -> Response:
    stream = answering.stream(turn)
    try:
        opened = cast(Opened, await while_connected(request, anext(stream)))  # the first item of a stream is its head
    except BaseException:
        await stream.aclose()
        raise
    return EventStream(stream, truth(opened.model, turn, opened.kept, opened.tier))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "whetstone"}
