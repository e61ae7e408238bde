"""The review queue: what was held back is looked at, corrected, released or dismissed by a person."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, Field

from core.conversation import Message
from core.domain import Identifier, Text
from core.reason_codes import REASONS
from core.review import NOT_OVERRULED
from resources.reviews import Review
from resources.times import moment
from serve import figures
from serve.bodies import body_as, documented
from serve.error_docs import GUARDED, errors
from serve.errors import ApiError
from serve.limits import IngressLimits
from serve.pages import page_shape
from serve.schema import Closed, Paged
from serve.store_door import StoreDoor

Said = Annotated[Text, Field(min_length=1)]


def _known(rule: str) -> str:
    if rule not in REASONS:
        raise ValueError(f"expected one of {', '.join(sorted(REASONS))}")
    return rule


class ReviewQuery(Paged):
    """`GET /api/v1/admin/review`."""

    status: Literal["waiting", "released", "dismissed"] = "waiting"
    rule: Annotated[str, AfterValidator(_known)] | None = None
    user_id: Identifier | None = None
    version: int | None = Field(default=None, ge=1, lt=2**31)


class CorrectionBody(Closed):
    """`PATCH /api/v1/admin/review/{conversation_id}`: all messages, or the reply, or both."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=500)] | None = None
    reply: Said | None = None


class ReleaseBody(Closed):
    """`POST …/release`; the reason stays with the conversation."""

    reason: Annotated[Text, Field(min_length=1, max_length=2000)]
    by: Identifier = "admin"


class DismissBody(Closed):
    """`POST …/dismiss`."""

    reason: Annotated[Text, Field(min_length=1, max_length=2000)] | None = None
    by: Identifier = "admin"


def review_routes(door: StoreDoor, limits: IngressLimits) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/admin/review", tags=["Review"], responses=errors(*GUARDED, 404, 409, 422, 503))

    @routes.get("")
    async def queue(query: Annotated[ReviewQuery, Query()]) -> dict[str, Any]:
        """What was held back, newest first: rejected by screening, or with somebody's number in it."""
        number, size = query.as_page()
        filters = query.model_dump(include={"status", "rule", "user_id", "version"})
        page = await door.ask(lambda store: store.reviews.page(number, size, **filters))
        return page_shape(page, review_row)

    @routes.get("/{conversation_id:path}")
    async def one(conversation_id: Identifier) -> dict[str, Any]:
        """One of them, with its correction where there is one."""
        return review_row(await door.ask(lambda store: store.reviews.get(conversation_id)))

    @routes.patch("/{conversation_id:path}", openapi_extra=documented(CorrectionBody))
    async def correct(conversation_id: Identifier, request: Request) -> dict[str, Any]:
        """Correct its messages or its reply; nothing is trained on before it is released."""
        body = await body_as(CorrectionBody, request, limits.body_bytes)
        if body.messages is None and body.reply is None:
            raise ApiError(422, "the body: expected messages or reply, found neither", code="invalid_value")
        return review_row(
            await door.ask(lambda store: store.reviews.correct(conversation_id, body.messages, body.reply))
        )

    @routes.post("/{conversation_id:path}/release", openapi_extra=documented(ReleaseBody))
    async def release(conversation_id: Identifier, request: Request) -> dict[str, Any]:
        """Let it, or its correction, wait for the next version; 422 names a rule that nobody can overrule."""
        body = await body_as(ReleaseBody, request, limits.body_bytes)
        return review_row(await door.ask(lambda store: store.reviews.release(conversation_id, body.by, body.reason)))

    @routes.post("/{conversation_id:path}/dismiss", openapi_extra=documented(DismissBody))
    async def dismiss(conversation_id: Identifier, request: Request) -> dict[str, Any]:
        """Leave it out and take it off the queue; it can still be released later."""
        body = await body_as(DismissBody, request, limits.body_bytes)
        return review_row(await door.ask(lambda store: store.reviews.dismiss(conversation_id, body.by, body.reason)))

    return routes


def review_row(review: Review) -> dict[str, Any]:
    """A conversation that was held back, as the API shows it."""
    shown = figures.conversation_row(review.stored)
    correction = review.correction
    turns = correction.messages if correction else None
    return {
        "conversation_id": shown.pop("id"),
        "status": review.status,
        **shown,
        "held_back_by": review.version,
        "findings": [
            {**finding.model_dump(mode="json"), "can_be_overruled": finding.rule not in NOT_OVERRULED}
            for finding in review.findings
        ],
        "correction": correction
        and {
            "messages": None if turns is None else [turn.model_dump(mode="json") for turn in turns],
            "reply": correction.reply,
        },
        "released_id": review.released_id,
        "overruled": list(review.stored.overruled),
        "decided_by": review.decided_by,
        "decision_reason": review.reason,
        "decided_at": moment(review.updated_at) if review.updated_at and review.decided_by else None,
    }
