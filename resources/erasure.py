"""Taking conversations out: those in no version, or all of one person."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select

from core.conversation import Conversation
from resources.conversation_rows import CHUNK, in_no_version, with_texts
from resources.event_rows import write_event
from resources.tables import conversations, feedback, units, versions
from resources.times import moment
from resources.waiting_triggers import cancel_waiting, cancel_when_nothing_waits

FEEDBACK_FIELDS = ("rating", "thumb", "comment", "corrected_reply")


@dataclass(frozen=True)
class Cleared:
    deleted: int
    backup: Path | None


@dataclass(frozen=True)
class Erased:
    """`versions` are all that were trained, or may have been, with what is erased."""

    deleted: int
    versions: tuple[int, ...]


def clear_waiting(connection: Connection, backup: Path | None) -> Cleared:
    """Delete what is in no version, and what asked to train on it; the backup is on disk before that is committed."""
    if backup is None:
        deleted = connection.execute(delete(conversations).where(in_no_version())).rowcount
    else:
        deleted = _move_to(connection, backup)
    message = f"{deleted} conversations in no version were deleted{f', kept in {backup.name}' if backup else ''}"
    data = {"deleted": deleted, "backup": backup.name if backup else None}
    write_event(connection, "conversations_cleared", message, data=data)
    cancel_waiting(connection)
    return Cleared(deleted, backup)


def erase_user(connection: Connection, user_id: str) -> Erased:
    """Everything of a user, feedback and corrections included; the event names nobody."""
    theirs = conversations.c.user_id == user_id
    affected = _versions_that_saw(connection, theirs)
    gone = connection.execute(
        delete(conversations).where(theirs).returning(conversations.c.id, conversations.c.thread_id)
    ).all()
    _forget_units(connection, [f"user:{user_id}", *(f"thread:{row.thread_id or row.id}" for row in gone)])
    data = {"deleted": len(gone), "versions": list(affected)}
    write_event(connection, "user_erased", f"{len(gone)} conversations of a user were erased", data=data)
    cancel_when_nothing_waits(connection)
    return Erased(len(gone), affected)


def _versions_that_saw(connection: Connection, these: ColumnElement[bool]) -> tuple[int, ...]:
    """From the first that accepted one of them on: every later version may have learned from it too."""
    first = select(func.min(conversations.c.version)).where(these, ~conversations.c.rejected).scalar_subquery()
    saw = select(versions.c.n).where(versions.c.n >= first, versions.c.state.not_in(["failed", "abandoned"]))
    return tuple(connection.execute(saw.order_by(versions.c.n)).scalars())


def _forget_units(connection: Connection, names: list[str]) -> None:
    for start in range(0, len(names), CHUNK):
        connection.execute(delete(units).where(units.c.unit.in_(names[start : start + CHUNK])))


def _move_to(connection: Connection, backup: Path) -> int:
    """Exactly what is written is deleted: what is captured meanwhile stays."""
    rows = connection.execute(
        with_texts().where(in_no_version()).order_by(conversations.c.seq).with_for_update(of=conversations)
    ).all()
    said: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in connection.execute(
        select(feedback).join(conversations, conversations.c.id == feedback.c.conversation_id).where(in_no_version())
    ):
        said[row.conversation_id].append({name: getattr(row, name) for name in FEEDBACK_FIELDS})
    _write_backup(backup, (_line(row, said.get(row.id, [])) for row in rows))
    for start in range(0, len(rows), CHUNK):
        numbers = [row.seq for row in rows[start : start + CHUNK]]
        connection.execute(delete(conversations).where(conversations.c.seq.in_(numbers)))
    return len(rows)


def _line(row: Row[Any], said: list[dict[str, Any]]) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in Conversation.model_fields}
    text = {**fields, "created_at": moment(row.created_at)}
    return {"conversation": text, "eligible": row.eligible, "reason": row.reason, "feedback": said}


def _write_backup(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Whole or not at all, for the owner's eyes only; a file that is there already is never replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        with os.fdopen(
            os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            for line in lines:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
