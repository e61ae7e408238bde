"""The captured conversations: written once, found again, taken out on request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, func, select

from core.conversation import Conversation
from resources.capturing import Captured, capture_batch
from resources.conversation_rows import StoredConversation, masked, stored, waits, with_texts
from resources.database import Database
from resources.erasure import Cleared, Erased, clear_waiting, erase_late, erase_user
from resources.feedback import Feedback, FeedbackSaved, save_feedback
from resources.tables import conversations

__all__ = [
    "Captured",
    "Cleared",
    "Conversations",
    "Counts",
    "Erased",
    "Feedback",
    "FeedbackSaved",
    "Page",
    "StoredConversation",
]

Item = TypeVar("Item")

# an own reply without feedback is kept, not filtered: a thumb makes it eligible
FILTERED = ("duplicate", "provenance", "superseded")


@dataclass(frozen=True)
class Page(Generic[Item]):
    items: list[Item]
    page: int
    page_size: int
    total: int


@dataclass(frozen=True)
class Counts:
    """`total` + `filtered_out` = `rows`; filtered out are duplicates and what screening rejected."""

    rows: int
    total: int
    filtered_out: int
    eligible: int
    waiting: int
    in_versions: int
    incomplete: int


class Conversations:
    def __init__(self, database: Database) -> None:
        self._database = database

    def capture(self, batch: Sequence[Conversation]) -> list[Captured]:
        """Store all in one transaction, answers in their order; idempotent by id, a complete one completes its id.

        What names a person by itself is masked before; what was held back for it has the reason `personal_data`.
        """
        storable = masked(batch)
        return self._database.write(lambda c: capture_batch(c, storable), in_turn=False) if batch else []

    def get(self, id: str) -> StoredConversation | None:
        query = with_texts().where(conversations.c.id == id)
        row = self._database.read(lambda c: c.execute(query).first())
        return stored(row) if row else None

    def page(
        self,
        page: int = 1,
        page_size: int = 50,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        source: str | None = None,
        eligible: bool | None = None,
        version: int | None = None,
    ) -> Page[StoredConversation]:
        """Newest first, pages from 1."""
        columns = conversations.c
        wanted = {columns.user_id: user_id, columns.session_id: session_id, columns.source: source}
        filters = [
            column == value for column, value in {**wanted, columns.version: version}.items() if value is not None
        ]
        if eligible is not None:
            filters.append(columns.eligible if eligible else ~columns.eligible)

        def work(connection: Connection) -> Page[StoredConversation]:
            total = connection.execute(select(func.count()).select_from(conversations).where(*filters)).scalar_one()
            rows = connection.execute(page_query(filters, page, page_size)).all()
            return Page([stored(row) for row in rows], page, page_size, total)

        return self._database.read(work)

    def feedback(self, feedback: Feedback) -> FeedbackSaved:
        """Store it beside its conversation, which may become eligible by it; NotFound for an unknown id."""
        return self._database.write(lambda c: save_feedback(c, feedback))

    def counts(self) -> Counts:
        rows = self._database.read(lambda c: c.execute(counts_query()).all())

        def number(keep: Any) -> int:
            return sum(row.number for row in rows if keep(row))

        everything = number(lambda row: True)
        filtered = number(lambda row: row.rejected or row.reason in FILTERED)
        return Counts(
            rows=everything,
            total=everything - filtered,
            filtered_out=filtered,
            eligible=number(lambda row: row.eligible),
            waiting=number(lambda row: row.eligible and row.version is None),
            in_versions=number(lambda row: row.version is not None),
            incomplete=number(lambda row: not row.complete),
        )

    def waiting(self) -> int:
        """Eligible conversations in no version: cheaper than `counts`."""
        query = select(func.count()).select_from(conversations).where(waits())
        return int(self._database.read(lambda c: c.execute(query).scalar_one()))

    def users(self) -> int:
        """How many different users the store knows."""
        query = select(func.count(conversations.c.user_id.distinct()))
        return int(self._database.read(lambda c: c.execute(query).scalar_one()))

    def clear_waiting(self, backup: Path | None) -> Cleared:
        """Delete what is in no version; `backup` is a new JSONL file, complete before anything is deleted."""
        return self._database.write(lambda c: clear_waiting(c, backup))

    def erase_user(self, user_id: str) -> Erased:
        """Delete everything of a user, feedback and corrections included."""
        erased = self._database.write(lambda c: erase_user(c, user_id))
        self._database.forget_deleted()
        return erased

    def erase_late(self, user_id: str, asked_at: datetime) -> None:
        """Delete what an erasure asked for then has missed, as it was said before and stored after."""
        self._database.write(lambda c: erase_late(c, user_id, asked_at))


def counts_query() -> Any:
    """Grouped in the order of the index `standing`, which is all it reads."""
    columns = conversations.c
    keys = (columns.complete, columns.eligible, columns.reason, columns.rejected, columns.version)
    return select(*keys, func.count().label("number")).group_by(*keys)


def page_query(filters: Sequence[ColumnElement[bool]], page: int, page_size: int) -> Any:
    """The page is found in an index, and only its own rows are read."""
    newest_first = conversations.c.seq.desc()
    wanted = select(conversations.c.seq).where(*filters).order_by(newest_first)
    wanted = wanted.limit(page_size).offset((page - 1) * page_size)
    return with_texts().where(conversations.c.seq.in_(wanted)).order_by(newest_first)
