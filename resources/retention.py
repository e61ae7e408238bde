"""What grows old: contact data is masked in stored texts, conversations that may not be trained on are deleted."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, or_, select, update

from core.pii import ALL, PII_VERSION, Masker, mask_personal
from resources.band_rows import forget_bands
from resources.conversation_rows import conversation_of, in_no_version, text_values, with_texts
from resources.database import Database
from resources.event_rows import write_event
from resources.tables import conversations, experiment_logs, feedback, retained, reviews, texts, utc_now

BATCH = 500
BATCHES_A_TURN = 10


class Turn(NamedTuple):
    """What one bounded turn came to; `more` says that another would find something too."""

    masked: int
    deleted: int
    more: bool
    emptied: int = 0


class Retention:
    def __init__(self, database: Database) -> None:
        self._database = database

    def turn(self, days: int, batch: int = BATCH, batches: int = BATCHES_A_TURN) -> Turn:
        """Some of what is older than that many days, told by one event; 0 days keep everything."""
        if days == 0:
            return Turn(0, 0, more=False)
        before = utc_now() - timedelta(days=days)
        deleted, more_to_delete = self._repeat(lambda c: _delete_old(c, before, batch), batches)
        masked, more_to_mask = self._repeat(lambda c: _mask_old(c, before, batch), batches)
        emptied, more_to_empty = self._repeat(lambda c: _empty_old_logs(c, before, batch), batches)
        turn = Turn(masked, deleted, more_to_delete or more_to_mask or more_to_empty, emptied)
        if deleted or masked or emptied:
            self._database.write(lambda c: _tell(c, days, turn))
            self._database.forget_deleted()
        return turn

    def _repeat(self, work: Callable[[Connection], tuple[int, bool]], batches: int) -> tuple[int, bool]:
        """What these batches came to, until one was not full; other writers get in between."""
        found = 0
        for _ in range(batches):
            done, full = self._database.write(work)
            found += done
            if not full:
                return found, False
        return found, True


def remove_copies(folder: Path, days: int) -> int:
    """Delete copies of resets that are older; how many. They hold whole conversations."""
    old = time.time() - days * 86_400
    gone = [path for path in folder.glob("*.jsonl") if days and path.stat().st_mtime < old]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _delete_old(connection: Connection, before: datetime, batch: int) -> tuple[int, bool]:
    columns = conversations.c
    old = ~columns.eligible & in_no_version() & (columns.recorded_at < before)
    rows = connection.execute(select(columns.seq, columns.cluster).where(old).order_by(columns.seq).limit(batch)).all()
    gone = [row.seq for row in rows]
    connection.execute(delete(conversations).where(columns.seq.in_(gone)))
    forget_bands(connection, [row.seq for row in rows if row.cluster is not None])
    return len(rows), len(rows) == batch


def _mask_old(connection: Connection, before: datetime, batch: int) -> tuple[int, bool]:
    """Goes through the store in its order, once for each version of the rules."""
    here = connection.execute(select(retained)).first()
    start = here.masked_to if here and here.rules_version == PII_VERSION else 0
    rows = connection.execute(
        with_texts().where(conversations.c.seq > start).order_by(conversations.c.seq).limit(batch)
    ).all()
    # up to the first that is young: what is numbered after it may be older by a moment and is found next time
    old = rows[: next((at for at, row in enumerate(rows) if row.recorded_at >= before), len(rows))]
    if not old:
        return 0, False
    connection.execute(delete(retained))
    connection.execute(insert(retained).values(masked_to=old[-1].seq, rules_version=PII_VERSION))
    masked = sum(_mask(connection, row) for row in old)
    _mask_beside(connection, [row.id for row in old], [row.seq for row in old])
    return masked, len(old) == batch


def _mask(connection: Connection, row: Any) -> bool:
    # what stays in the store is masked by the rules alone; names go where text leaves it
    found, counts = mask_personal(conversation_of(row), None)
    if not counts:
        return False
    personal = {
        kind: (row.personal or {}).get(kind, 0) + counts.get(kind, 0) for kind in {*(row.personal or {}), *counts}
    }
    connection.execute(update(texts).where(texts.c.seq == row.seq).values(**text_values(found)))
    connection.execute(update(conversations).where(conversations.c.seq == row.seq).values(personal=personal))
    return True


def _mask_beside(connection: Connection, ids: Sequence[str], seqs: Sequence[int]) -> None:
    """What people said of them, and corrections that wait for a release."""
    for row in connection.execute(select(feedback).where(feedback.c.conversation_id.in_(ids))).all():
        masker, texts_of = Masker(ALL), {"comment": row.comment, "corrected_reply": row.corrected_reply}
        values: dict[str, Any] = {name: masker.mask(text) for name, text in texts_of.items() if text}
        if masker.counts:
            connection.execute(update(feedback).where(feedback.c.id == row.id).values(**values))
    for row in connection.execute(select(reviews).where(reviews.c.seq.in_(seqs))).all():
        masker = Masker(ALL)
        messages = [{**turn, "content": masker.mask(turn["content"])} for turn in row.messages or ()]
        reply = masker.mask(row.reply) if row.reply else row.reply
        if masker.counts:
            values = {"messages": messages or None, "reply": reply}
            connection.execute(update(reviews).where(reviews.c.seq == row.seq).values(**values))


def _empty_old_logs(connection: Connection, before: datetime, batch: int) -> tuple[int, bool]:
    """What other programs told of turns in an experiment: it was counted, its words are needed no more."""
    columns = experiment_logs.c
    said = or_(*(column.is_not(None) for column in (columns.query, columns.response, columns.comment)))
    old = select(columns.id).where(said, columns.created_at < before).order_by(columns.id).limit(batch)
    ids = connection.execute(old).scalars().all()
    mine = update(experiment_logs).where(columns.id.in_(ids))
    connection.execute(mine.values(query=None, response=None, comment=None))
    return len(ids), len(ids) == batch


def _tell(connection: Connection, days: int, turn: Turn) -> None:
    message = (
        f"Older than {days} days: contact data was masked in {turn.masked} conversations, {turn.deleted} were deleted, "
        f"{turn.emptied} logs of experiments lost their texts"
    )
    data = {"days": days, "masked": turn.masked, "deleted": turn.deleted, "emptied": turn.emptied}
    write_event(connection, "retention_applied", message, data=data)
