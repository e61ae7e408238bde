"""`POST /chat`: one question, one answer, and what the loop made of it."""

import contextlib
import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from core.conversation import Message
from resources.store import StoreUnavailable
from serve.answering import Answering
from serve.bodies import body_as, documented
from serve.errors import ApiError
from serve.figures import chat_figures
from serve.limits import IngressLimits
from serve.openai_api import truth
from serve.schema import ChatBody
from serve.store_door import StoreDoor
from serve.turn import Turn

_UNKNOWN = {"total_collected": 0, "new_data_count": 0, "should_train": False, "training_queued": False}


def chat_routes(answering: Answering, door: StoreDoor, limits: IngressLimits) -> APIRouter:
    routes = APIRouter(tags=["Chat"])
    last_seen: dict[str, Any] = dict(_UNKNOWN)

    async def figures() -> dict[str, Any]:
        """As the store counts them now, or as it last did: an answer does not wait for a store that is away."""
        with contextlib.suppress(StoreUnavailable):
            last_seen.update(await door.ask(chat_figures, seconds=limits.capture_seconds))
        return last_seen

    @routes.post("/chat", openapi_extra=documented(ChatBody))
    async def chat(request: Request) -> Response:
        """Ask `production`, or the teacher where it is set to answer."""
        started = time.monotonic()
        body = await body_as(ChatBody, request, limits.body_bytes)
        if not body.message.strip():
            raise ApiError(422, "message: expected text, found none", param="message", code="invalid_value")
        turn = Turn(
            messages=(Message(role="user", content=body.message),),
            source="chat",
            parameters={"max_tokens": limits.default_tokens},
            user_id=body.user_id,
            session_id=body.session_id,
        )
        reply = await answering.reply(turn)
        info = {
            "collected": reply.kept.collected,
            **await figures(),
            "current_version": answering.champion(),
            "eligible": reply.kept.eligible,
            "reason": reply.kept.reason,
        }
        timing = {"total": f"{time.monotonic() - started:.1f}s", "gpt": f"{reply.seconds:.1f}s"}
        answer = {"response": reply.text, "search_results": [], "timing": timing, "mlops_info": info}
        return JSONResponse(answer, headers=truth(reply.model, turn, reply.kept))

    return routes
