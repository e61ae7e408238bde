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
from serve.error_docs import STORED, errors
from serve.errors import ApiError
from serve.figures import chat_figures
from serve.hang_up import while_connected
from serve.limits import IngressLimits
from serve.openai_api import truth
from serve.schema import ChatBody
from serve.store_door import StoreDoor
from serve.turn import Turn

_COUNT_SECONDS = 1.0
_UNKNOWN = {"total_collected": 0, "new_data_count": 0, "should_train": False, "training_queued": False}


def chat_routes(answering: Answering, door: StoreDoor, limits: IngressLimits) -> APIRouter:
    routes = APIRouter(tags=["Chat"], responses=errors(*STORED, 504))
    figures = _Figures(door, limits.capture_seconds)

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
        reply = await while_connected(request, answering.reply(turn))
        info = {
            "collected": reply.kept.collected,
            **await figures.now(),
            "current_version": answering.speakers.champion(),
            "eligible": reply.kept.eligible,
            "reason": reply.kept.reason,
        }
        timing = {"total": f"{time.monotonic() - started:.1f}s", "gpt": f"{reply.seconds:.1f}s"}
        answer = {"response": reply.text, "search_results": [], "timing": timing, "mlops_info": info}
        return JSONResponse(answer, headers=truth(reply.model, turn, reply.kept, reply.tier))

    return routes


class _Figures:
    """As the store counts them now, or as it last did: an answer does not wait for a store that is away.

    All that was ever collected is counted once a second, so that `total_collected` may lag by that second.
    """

    def __init__(self, door: StoreDoor, seconds: float) -> None:
        self._door, self._seconds = door, seconds
        self._seen: dict[str, Any] = dict(_UNKNOWN)
        self._total: int | None = None
        self._count_at = 0.0

    async def now(self) -> dict[str, Any]:
        now, total = time.monotonic(), self._total
        if total is None or now >= self._count_at:
            self._count_at, total = now + _COUNT_SECONDS, None  # whoever comes meanwhile takes the old number
        with contextlib.suppress(StoreUnavailable):
            self._seen = await self._door.ask(lambda store: chat_figures(store, total), seconds=self._seconds)
            if total is None:
                self._total = self._seen["total_collected"]
        return self._seen
