"""`POST /predict` and `POST /invoke`: the configured wrapper's `predict`, whose model calls go through the engine."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from resources.aliases import production_alias, stage_of
from serve.answering import Answering, Reply
from serve.bodies import body_as, documented
from serve.error_docs import STORED, errors
from serve.errors import ApiError, invalid
from serve.features import Features
from serve.hang_up import while_connected
from serve.limits import Gate, IngressLimits
from serve.messages import asked
from serve.openai_api import truth
from serve.schema import WrapperBody
from serve.store_door import StoreDoor
from serve.turn import AGENT, Turn
from wrappers.lora import Complete, messages_of


class Predicts(Protocol):
    """What is needed of a `wrappers.base.ModelWrapper`."""

    def predict(self, input_data: Any) -> Any: ...


def wrapper_routes(
    answering: Answering,
    make: Callable[[Complete], Predicts] | None,
    limits: IngressLimits,
    door: StoreDoor,
    stage: str,
    features: Features,
) -> APIRouter:
    """`make` builds the wrapper around a function that answers messages, None: the agent is the wrapper.

    `stage` is whose version answers either.
    """
    routes = APIRouter(tags=["Wrapper"], responses=errors(*STORED, 504))
    predicts = _Agent(answering, limits) if make is None else _InThread(answering, make, limits)

    @routes.post("/predict", openapi_extra=documented(WrapperBody))
    @routes.post("/invoke", openapi_extra=documented(WrapperBody))
    async def predict(request: Request) -> Response:
        """What the wrapper makes of `input`, and the version that answered for it.

        What a configured source knows of `user_id` is given to the wrapper as `features`; the agent remembers the
        thread that `user_id` and `session_id` name.
        """
        body = await body_as(WrapperBody, request, limits.body_bytes)
        model = await _model(door, stage)
        known = await features.of(body.user_id)
        try:
            made = await while_connected(request, predicts(_Asked(body, model, known, request.scope.get("caller", ""))))
        except ValidationError as error:
            raise _bad_message(error) from None
        except ValueError as error:
            raise ApiError(422, f"input: {error}"[:500], param="input", code="invalid_value") from None
        model = made.reply.model if made.reply else answering.speakers.champion()
        version = int(model[1:]) if model[1:].isdecimal() else None
        headers = truth(model, made.turn, made.reply.kept, made.reply.tier) if made.reply and made.turn else {}
        return JSONResponse({"output": made.output, "model": model, "version": version}, headers=headers)

    return routes


@dataclass(frozen=True)
class _Asked:
    body: WrapperBody
    model: str
    features: dict[str, Any]
    caller: str

    def turn(self, messages: Sequence[dict[str, str]], limits: IngressLimits, **more: Any) -> Turn:
        return Turn(
            messages=asked(messages, limits.messages),
            source="predict",
            parameters={"max_tokens": limits.default_tokens},
            user_id=self.body.user_id,
            session_id=self.body.session_id,
            **more,
        )


@dataclass(frozen=True)
class _Made:
    output: Any
    turn: Turn | None
    reply: Reply | None


class _Agent:
    """The agent predicts in its own process; its reply is the output."""

    def __init__(self, answering: Answering, limits: IngressLimits) -> None:
        self._answering, self._limits = answering, limits

    async def __call__(self, question: _Asked) -> _Made:
        more = {"model": AGENT, "version": question.model, "features": question.features, "caller": question.caller}
        turn = question.turn(messages_of(question.body.input), self._limits, **more)
        reply = await self._answering.reply(turn)
        return _Made(reply.text, turn, reply)


class _InThread:
    """A wrapper of this process, whose `predict` blocks a thread of its own pool for the whole reply."""

    def __init__(self, answering: Answering, make: Callable[[Complete], Predicts], limits: IngressLimits) -> None:
        self._answering, self._make, self._limits = answering, make, limits
        self._gate = Gate("predictions", limits.predictions)
        # in the default pool a few predictions would stop the champion's follower
        self._threads = ThreadPoolExecutor(limits.predictions, thread_name_prefix="predict")

    async def __call__(self, question: _Asked) -> _Made:
        call = _Call(self._answering, question, self._limits)
        work = self._make(call.complete).predict
        given = question.body.model_dump(exclude_none=True)
        try:
            with self._gate.place():
                loop = asyncio.get_running_loop()
                known = {"features": question.features} if question.features else {}
                output = await loop.run_in_executor(self._threads, work, given | known)
        finally:
            call.cancel()
        return _Made(output, call.turn, call.reply)


async def _model(door: StoreDoor, stage: str) -> str:
    """The champion is not asked for in the store: predictions, too, go on without it."""
    if production_alias(stage) == stage.lower():
        return "production"
    n = await door.ask(lambda store: stage_of(store, stage))
    if n is None:
        message = f"Expected a version with the stage {stage} (MLFLOW_MODEL_STAGE), found none: train one"
        raise ApiError(503, message, code="no_model")
    return f"v{n}"


def _bad_message(error: ValidationError) -> ApiError:
    """The wrapper's own check of its input, in our words and under the name the client knows."""
    found = [{**problem, "loc": ("input", *problem["loc"])} for problem in error.errors(include_url=False)]
    return invalid(found)


class _Call:
    """One prediction: its thread asks, the event loop answers."""

    def __init__(self, answering: Answering, question: _Asked, limits: IngressLimits) -> None:
        self.reply: Reply | None = None
        self.turn: Turn | None = None
        self._answering, self._question, self._limits = answering, question, limits
        self._loop = asyncio.get_running_loop()
        self._running: Future[Reply] | None = None
        self._over = False

    def complete(self, messages: Sequence[dict[str, str]]) -> str:
        """Called in the wrapper's thread."""
        self.turn = self._question.turn(messages, self._limits, model=self._question.model)
        self._running = asyncio.run_coroutine_threadsafe(self._answering.reply(self.turn), self._loop)
        if self._over:  # the client left before there was anything to cancel
            self._running.cancel()
        self.reply = self._running.result()
        return self.reply.text

    def cancel(self) -> None:
        """A client that left is not answered for."""
        self._over = True
        if self._running:
            self._running.cancel()
