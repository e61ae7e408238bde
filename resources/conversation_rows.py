"""A conversation with what stands beside it, and its row."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, select

from core.conversation import Conversation
from core.eligibility import Eligibility
from core.pii import UNIQUE, mask_unique
from core.rules import Finding
from core.sides import Side
from core.wish import Wish, source_of
from resources.tables import conversations, texts, utc_now

# what `IN (...)` is given at once: far below the limits of both databases
CHUNK = 500
# the rating from which on an own reply counts as praised
PRAISE = 4
# the rating down to which a reply counts as blamed
BLAMED_RATING = 2


@dataclass(frozen=True)
class StoredConversation:
    """A conversation with what stands beside it; `rating` and `thumb` are the latest feedback.

    `overruled` are the rules by which it was rejected once, and which a person set aside when they released it.
    """

    conversation: Conversation
    seq: int
    eligible: bool
    reason: str | None
    version: int | None
    side: Side | None
    findings: tuple[Finding, ...]
    rating: int | None
    thumb: int | None
    overruled: tuple[str, ...] = ()

    @property
    def rejected(self) -> bool:
        """Whether screening keeps it out of the dataset."""
        return any(finding.severity == "error" for finding in self.findings)


@dataclass(frozen=True)
class Masked:
    """A conversation as it may be stored; `personal` counts by kind what was masked in it, now or before."""

    conversation: Conversation
    personal: Mapping[str, int]

    @property
    def held_back(self) -> bool:
        """A conversation with somebody's number is not trained on before a person has released it."""
        return not UNIQUE.isdisjoint(self.personal)


def masked(conversations: Iterable[Conversation]) -> list[Masked]:
    """What every conversation goes through before anything of it is written."""
    return [Masked(*mask_unique(conversation)) for conversation in conversations]


def is_held_back(row: Row[Any]) -> bool:
    """Whether a number of somebody was masked in it that no person has released since."""
    return row.released_at is None and not UNIQUE.isdisjoint(row.personal or {})


def stored(row: Row[Any]) -> StoredConversation:
    return StoredConversation(
        conversation=conversation_of(row),
        seq=row.seq,
        eligible=row.eligible,
        reason=row.reason,
        version=row.version,
        side=row.side,
        findings=tuple(Finding.model_validate(finding) for finding in row.findings),
        rating=row.rating,
        thumb=row.thumb,
        overruled=tuple(row.overruled or ()),
    )


def conversation_of(row: Row[Any]) -> Conversation:
    return Conversation.model_validate({field: getattr(row, field) for field in Conversation.model_fields})


def with_texts() -> Select[Any]:
    """Rows as `stored` and `conversation_of` read them."""
    return select(conversations, texts.c.messages, texts.c.reply).join(texts, texts.c.seq == conversations.c.seq)


def new_row(one: Masked, hash: str, decision: Eligibility) -> dict[str, Any]:
    """The row of a conversation that was never seen, without its text."""
    conversation = one.conversation
    return {
        **completing_values(one, hash, decision),
        "id": conversation.id,
        "user_id": conversation.user_id,
        "session_id": conversation.session_id,
        "thread_id": conversation.thread_id,
        "source": conversation.source,
        "provenance": conversation.provenance,
        "created_at": conversation.created_at,
        "recorded_at": utc_now(),
        "findings": [],
        "rejected": False,
    }


def completing_values(one: Masked, hash: str, decision: Eligibility) -> dict[str, Any]:
    """What a complete conversation changes in the row of an incomplete one, its text apart."""
    return {
        "model": one.conversation.model,
        "complete": one.conversation.complete,
        "personal": dict(one.personal),
        "hash": hash,
        "eligible": decision.eligible,
        "reason": decision.reason,
    }


def text_values(conversation: Conversation) -> dict[str, Any]:
    """The text as plain JSON."""
    return {
        "messages": [message.model_dump() for message in conversation.messages],
        "reply": conversation.reply,
    }


def is_positive(rating: int | None, thumb: int | None) -> bool:
    """The feedback that makes an own reply eligible."""
    return (rating or 0) >= PRAISE or thumb == 1


def in_no_version() -> ColumnElement[bool]:
    return conversations.c.version.is_(None)


def waits() -> ColumnElement[bool]:
    """Eligible and in no version; written as the partial indexes have it."""
    return conversations.c.eligible & in_no_version()


def wanted_of(wish: Wish) -> ColumnElement[bool]:
    """What waits, of that one upload where the wish names one."""
    one_upload = conversations.c.source == source_of(wish.dataset_id) if wish.dataset_id is not None else None
    return waits() if one_upload is None else waits() & one_upload
