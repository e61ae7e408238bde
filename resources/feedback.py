"""What a person says of a reply."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from sqlalchemy import Connection, Row, insert, select, update

from core.conversation import Conversation, Message, Provenance
from core.domain import Domain, Identifier, Text
from core.eligibility import Eligibility, decide
from core.pii import UNIQUE, Masker, mask_unique
from resources.capturing import capture_batch, known_hashes, make_eligible
from resources.conversation_rows import (
    Masked,
    conversation_of,
    in_no_version,
    is_held_back,
    is_positive,
    with_texts,
)
from resources.duplicate_rows import revive_duplicates
from resources.store_errors import NotFound
from resources.tables import conversations, utc_now
from resources.tables import feedback as table
from resources.text_search import escaped
from resources.waiting_triggers import cancel_when_nothing_waits

SUPERSEDED = "superseded"
_CORRECTION = re.compile(r"\.corrected(\.\d+)?")


class Feedback(Domain):
    """A rating or a thumb, a comment, a corrected reply: at least one of them, never rating and thumb."""

    conversation_id: Identifier
    rating: int | None = Field(default=None, ge=1, le=5)
    thumb: Literal[-1, 1] | None = None
    comment: Text | None = Field(default=None, max_length=10_000)
    corrected_reply: Text | None = None

    @field_validator("corrected_reply")
    @classmethod
    def _is_no_blank(cls, reply: str | None) -> str | None:
        if reply is not None and not reply.strip():
            raise ValueError("expected text, found none")
        return reply

    @model_validator(mode="after")
    def _says_something_once(self) -> Self:
        if self.rating is not None and self.thumb is not None:
            raise ValueError("Expected rating or thumb, found both: send one")
        if all(value is None for value in (self.rating, self.thumb, self.comment, self.corrected_reply)):
            raise ValueError("Expected rating, thumb, comment or corrected_reply, found none of them")
        return self

    @property
    def positive(self) -> bool:
        return is_positive(self.rating, self.thumb)


class FeedbackSaved(Domain):
    """`eligible` and `reason` of the conversation afterwards; `corrected_id` names the corrected conversation."""

    id: int
    conversation_id: str
    eligible: bool
    reason: str | None = None
    corrected_id: str | None = None


def save_feedback(connection: Connection, feedback: Feedback) -> FeedbackSaved:
    """Beside its conversation, which may become eligible by it; NotFound for an unknown id."""
    query = with_texts().where(conversations.c.id == feedback.conversation_id).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"Expected feedback for a stored conversation, found none with id {feedback.conversation_id!r}")
    values = {**feedback.model_dump(), **_masked_texts(feedback), "created_at": utc_now()}
    saved = connection.execute(insert(table).values(**values).returning(table.c.id)).scalar_one()
    decision = _rate(connection, row, feedback)
    corrected = _correct(connection, row, feedback.corrected_reply) if feedback.corrected_reply is not None else None
    if row.eligible and not decision.eligible:
        revive_duplicates(connection, [row.hash])
        cancel_when_nothing_waits(connection)
    return FeedbackSaved(
        id=saved, conversation_id=row.id, eligible=decision.eligible, reason=decision.reason, corrected_id=corrected
    )


def _masked_texts(feedback: Feedback) -> dict[str, str | None]:
    said = {"comment": feedback.comment, "corrected_reply": feedback.corrected_reply}
    return {name: Masker(UNIQUE).mask(text) if text is not None else None for name, text in said.items()}


def _rate(connection: Connection, row: Row[Any], feedback: Feedback) -> Eligibility:
    """The latest rating counts, as long as no version has claimed the conversation."""
    standing = Eligibility(eligible=row.eligible, reason=row.reason)
    if feedback.rating is None and feedback.thumb is None:
        return standing
    if row.version is None and row.reason != SUPERSEDED:
        taken = not row.eligible and row.hash in known_hashes(connection, [row.hash])
        standing = decide(
            conversation_of(row),
            hash_known=taken,
            positive_feedback=feedback.positive,
            personal_data=is_held_back(row),
        )
    values = {"rating": feedback.rating, "thumb": feedback.thumb}
    return make_eligible(connection, row.id, {**values, **standing.model_dump()})


def _correct(connection: Connection, row: Row[Any], reply: str) -> str:
    """A conversation of its own, in the thread of the first; a later one gets a number and replaces those that wait.

    It repeats what the first was asked, so it is held back where that was.
    """
    corrected, found = mask_unique(corrected_copy(connection, conversation_of(row), None, reply))
    inherited = row.personal if is_held_back(row) else {}
    capture_batch(connection, [Masked(corrected, found + Counter(inherited))])
    return corrected.id


def corrected_copy(
    connection: Connection,
    original: Conversation,
    messages: Sequence[Message] | None,
    reply: str,
    provenance: Provenance = "self_edited",
) -> Conversation:
    """The next correction of a conversation, not yet stored; earlier ones that wait are superseded."""
    like = conversations.c.id.like(f"{escaped(original.id)}.corrected%", escape="\\")
    earlier = connection.execute(select(conversations.c.id).where(like)).scalars().all()
    _supersede(connection, [id for id in earlier if _CORRECTION.fullmatch(id.removeprefix(original.id))])
    kept = original.model_dump(exclude={"id", "messages", "reply", "provenance", "thread_id", "complete", "created_at"})
    return Conversation(
        **kept,
        id=f"{original.id}.corrected" + (f".{len(earlier) + 1}" if earlier else ""),
        messages=tuple(messages or original.messages),
        reply=reply,
        provenance=provenance,
        thread_id=original.thread_id or original.id,
        complete=True,
        created_at=utc_now(),
    )


def _supersede(connection: Connection, ids: Sequence[str]) -> None:
    """Earlier corrections of the same turn are not trained on beside the latest; what a version has stays in it."""
    theirs = conversations.c.id.in_(ids) & in_no_version()
    stood = connection.execute(select(conversations.c.hash).where(theirs, conversations.c.eligible)).scalars().all()
    connection.execute(update(conversations).where(theirs).values(eligible=False, reason=SUPERSEDED))
    revive_duplicates(connection, stood)
