"""Conversations that were held back, and what a person decides of them: corrected, released, dismissed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Boolean, ColumnElement, Connection, Row, Select, and_, func, literal_column, or_, select
from sqlalchemy import Text as TextType
from sqlalchemy import cast as sql_cast

from core.conversation import Message
from core.rules import Finding
from resources.conversation_rows import StoredConversation, stored, with_texts
from resources.conversations import Page
from resources.database import Database
from resources.releasing import Correction, correct, dismiss, release
from resources.store_errors import NotFound
from resources.tables import conversations, reviews
from resources.text_search import contains

Status = Literal["waiting", "released", "dismissed"]

# as the partial index has it, under the names of a join
_HELD = literal_column("(conversations.rejected OR conversations.reason = 'personal_data')", Boolean)
_BESIDE = [column.label(f"review_{column.name}") for column in reviews.c if column.name != "seq"]


@dataclass(frozen=True)
class Review:
    """A conversation that was held back. `findings` and `version` are those it was held back with.

    `released_id` names what waits for the next version instead: the corrected conversation, or itself.
    """

    stored: StoredConversation
    status: Status
    findings: tuple[Finding, ...]
    version: int | None
    correction: Correction | None
    released_id: str | None
    decided_by: str | None
    reason: str | None
    updated_at: datetime | None


class Reviews:
    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self,
        page: int = 1,
        page_size: int = 50,
        *,
        status: Status = "waiting",
        rule: str | None = None,
        user_id: str | None = None,
        version: int | None = None,
    ) -> Page[Review]:
        """Newest first, pages from 1; `version` is the one that held it back."""
        filters = [_of_status(status)]
        filters += [conversations.c.user_id == user_id] if user_id is not None else []
        filters += [func.coalesce(conversations.c.version, reviews.c.version) == version] if version is not None else []
        filters += [_of_rule(rule)] if rule is not None else []

        def work(connection: Connection) -> Page[Review]:
            joined = conversations.outerjoin(reviews, reviews.c.seq == conversations.c.seq)
            number = select(func.count()).select_from(joined).where(*filters)
            total = connection.execute(number).scalar_one()
            query = select(conversations.c.seq).select_from(joined).where(*filters).order_by(conversations.c.seq.desc())
            wanted = query.limit(page_size).offset((page - 1) * page_size)
            rows = connection.execute(_with_reviews().where(conversations.c.seq.in_(wanted)).order_by(
                conversations.c.seq.desc())).all()  # fmt: skip
            return Page([_review(row) for row in rows], page, page_size, total)

        return self._database.read(work)

    def get(self, id: str) -> Review:
        """NotFound where it does not exist or was never held back."""
        return self._database.read(lambda c: _get(c, id))

    def correct(self, id: str, messages: Sequence[Message] | None, reply: str | None) -> Review:
        """Keep a correction beside it until it is released; HeldBack where that would hold somebody's number."""

        def work(connection: Connection) -> Review:
            correct(connection, id, messages, reply)
            return _get(connection, id)

        return self._database.write(work)

    def release(self, id: str, by: str, reason: str) -> Review:
        """Let it be trained on, corrected where it was; HeldBack says which rule no person can overrule."""

        def work(connection: Connection) -> Review:
            release(connection, id, by, reason)
            return _get(connection, id)

        return self._database.write(work)

    def dismiss(self, id: str, by: str, reason: str | None = None) -> Review:
        """Leave it out for good; it can still be released later."""

        def work(connection: Connection) -> Review:
            dismiss(connection, id, by, reason)
            return _get(connection, id)

        return self._database.write(work)


def _get(connection: Connection, id: str) -> Review:
    row = connection.execute(_with_reviews().where(conversations.c.id == id)).first()
    if row is None or not (row.rejected or row.reason == "personal_data" or row.review_status):
        raise NotFound(f"Expected a conversation that was held back with id {id!r}, found none")
    return _review(row)


def _with_reviews() -> Select[Any]:
    beside = with_texts().outerjoin(reviews, reviews.c.seq == conversations.c.seq)
    return beside.add_columns(*_BESIDE)


def _of_status(status: Status) -> ColumnElement[bool]:
    """What is held back again after it was released waits again."""
    column = reviews.c.status
    if status == "released":
        # a released one has no reason, of which SQL would not know whether it differs
        back = conversations.c.reason.is_distinct_from("personal_data")
        return and_(column == "released", ~conversations.c.rejected, back)
    if status == "dismissed":
        return and_(_HELD, column == "dismissed")
    return and_(_HELD, or_(column.is_(None), column != "dismissed"))


def _of_rule(rule: str) -> ColumnElement[bool]:
    said = f'"rule":"{rule}"'
    columns = (conversations.c.findings, reviews.c.findings)
    return or_(conversations.c.reason == rule, *(contains(sql_cast(column, TextType), said) for column in columns))


def _review(row: Row[Any]) -> Review:
    held = row.rejected or row.reason == "personal_data"
    waits = held and row.review_status != "dismissed"
    kept = () if held or row.review_findings is None else row.review_findings
    now = stored(row)
    return Review(
        stored=now,
        status="waiting" if waits else row.review_status,
        findings=now.findings if held else _findings(kept),
        version=row.version if held else row.review_version,
        correction=_correction(row),
        released_id=None if waits else row.review_released_id,
        decided_by=None if waits else row.review_decided_by,
        reason=None if waits else row.review_reason,
        updated_at=row.review_updated_at,
    )


def _correction(row: Row[Any]) -> Correction | None:
    if row.review_messages is None and row.review_reply is None:
        return None
    messages = row.review_messages
    turns = None if messages is None else tuple(Message.model_validate(message) for message in messages)
    return Correction(turns, row.review_reply)


def _findings(values: Sequence[Mapping[str, Any]]) -> tuple[Finding, ...]:
    return tuple(Finding.model_validate(value) for value in values)
