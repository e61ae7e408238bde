"""The store's conversations for other tools: masked, without those that the gate judges by."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exists, func, select

from core.conversation import Conversation, Message
from core.formats import ExportFormat
from core.formats_out import Exported, export
from core.pii import Recogniser, mask_personal
from resources.conversation_rows import CHUNK, conversation_of, is_held_back, is_positive, with_texts
from resources.database import Database
from resources.feedback import SUPERSEDED
from resources.pseudonyms import pseudonyms_of
from resources.tables import conversations, feedback

_ROW = conversations.c
_CORRECTED = feedback.c.corrected_reply.is_not(None)


def exports(database: Database, format: ExportFormat, recognise: Recogniser | None) -> Iterator[Exported]:
    """A record of each, oldest first: what may be trained on; for KTO what was rated, for DPO what was corrected."""
    names = pseudonyms_of(database)
    last = 0
    while rows := database.read(lambda connection, last=last: _after(connection, format, last)):  # type: ignore[misc]
        for row, corrected in rows:
            if not is_held_back(row):
                one, better = _masked(conversation_of(row), corrected, recognise)
                liked = _liked(row.rating, row.thumb)
                yield export(format, names.conversation(one), liked=liked, corrected=better)
        last = rows[-1][0].seq


def _after(connection: Connection, format: ExportFormat, last: int) -> list[tuple[Row[Any], str | None]]:
    query = with_texts().where(_ROW.seq > last, *_wanted(format)).order_by(_ROW.seq).limit(CHUNK)
    rows = connection.execute(query).all()
    corrected = _corrections(connection, [row.id for row in rows]) if format == "dpo" else {}
    return [(row, corrected.get(row.id)) for row in rows]


def _wanted(format: ExportFormat) -> list[ColumnElement[bool]]:
    kept = [_ROW.complete, ~_ROW.rejected, _ROW.side.is_distinct_from("held_out")]
    if format == "kto":
        return [*kept, _ROW.rating.is_not(None) | _ROW.thumb.is_not(None), _ROW.reason.is_distinct_from(SUPERSEDED)]
    if format == "dpo":
        return [*kept, exists().where(feedback.c.conversation_id == _ROW.id, _CORRECTED)]
    return [*kept, _ROW.eligible]


def _corrections(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """The latest corrected reply of each."""
    latest = select(func.max(feedback.c.id)).where(feedback.c.conversation_id.in_(ids), _CORRECTED)
    query = select(feedback).where(feedback.c.id.in_(latest.group_by(feedback.c.conversation_id)))
    return {row.conversation_id: row.corrected_reply for row in connection.execute(query)}


def _masked(
    conversation: Conversation, corrected: str | None, recognise: Recogniser | None
) -> tuple[Conversation, str | None]:
    """The corrected reply goes through with the rest, so that a value has one placeholder in both."""
    if corrected is None:
        return mask_personal(conversation, recognise)[0], None
    said = Message(role="assistant", content=conversation.reply)
    both = {"messages": (*conversation.messages, said), "reply": corrected}
    shown = mask_personal(conversation.model_copy(update=both), recognise)[0]
    return shown.model_copy(update={"messages": shown.messages[:-1], "reply": shown.messages[-1].content}), shown.reply


def _liked(rating: int | None, thumb: int | None) -> bool | None:
    """A rating of three says neither."""
    if rating == 3 or (rating is None and thumb is None):
        return None
    return is_positive(rating, thumb)
