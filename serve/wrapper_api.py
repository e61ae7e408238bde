"""`POST /predict` and `POST /invoke`: the configured wrapper's `predict`, whose model calls go through the engine."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from resources.aliases import production_alias, stage_of
from serve.answering import Answering, Reply
from serve.bodies import body_as, documented
from serve.error_docs import STORED, errors
from serve.errors import ApiError, invalid
from serve.limits import Gate, IngressLimits
from serve.messages import asked
from serve.openai_api import truth
from serve.schema import WrapperBody
from serve.store_door import StoreDoor
from serve.turn import Turn
from wrappers.lora import Complete


class Predicts(Protocol):
    """What is needed of a `wrappers.base.ModelWrapper`."""

    def predict(self, input_data: Any) -> Any: ...


def wrapper_routes(
    answering: Answering, make: Callable[[Complete], Predicts], limits: IngressLimits, door: StoreDoor, stage: str
) -> APIRouter:
    """`make` builds the wrapper around a function that answers messages; `stage` is whose version answers them."""
    routes = APIRouter(tags=["Wrapper"], responses=errors(*STORED, 504))
    gate = Gate("predictions", limits.predictions)
    # a prediction holds its thread for the whole reply: in the default pool a few would stop the champion's follower
    threads = ThreadPoolExecutor(limits.predictions, thread_name_prefix="predict")

    @routes.post("/predict", openapi_extra=documented(WrapperBody))
    @routes.post("/invoke", openapi_extra=documented(WrapperBody))
    async def predict(request: Request) -> Response:
        """What the wrapper makes of `input`, and the version that answered for it."""
        body = await body_as(WrapperBody, request, limits.body_bytes)
        call = _Call(answering, body, limits, await _model(door, stage))
        work = make(call.complete).predict
        try:
            with gate.place():
                loop = asyncio.get_running_loop()
                output = await loop.run_in_executor(threads, work, body.model_dump(exclude_none=True))
        except ValidationError as error:
            raise _bad_message(error) from None
        except ValueError as error:
            raise ApiError(422, f"input: {error}"[:500], param="input", code="invalid_value") from None
        finally:
            call.cancel()
        model = call.reply.model if call.reply else answering.champion()
        version = int(model[1:]) if model[1:].isdecimal() else None
        headers = truth(model, call.turn, call.reply.kept, call.reply.tier) if call.reply and call.turn else {}
        return JSONResponse({"output": output, "model": model, "version": version}, headers=headers)

    return routes


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

    def __init__(self, answering: Answering, body: WrapperBody, limits: IngressLimits, model: str) -> None:
        self.reply: Reply | None = None
        self.turn: Turn | None = None
        self._answering, self._body, self._limits, self._model = answering, body, limits, model
        self._loop = asyncio.get_running_loop()
        self._running: Future[Reply] | None = None
        self._over = False

    def complete(self, messages: Sequence[dict[str, str]]) -> str:
        """Called in the wrapper's thread."""
        self.turn = Turn(
            messages=asked(messages, self._limits.messages),
            source="predict",
            model=self._model,
            parameters={"max_tokens": self._limits.default_tokens},
            user_id=self._body.user_id,
            session_id=self._body.session_id,
        )
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
