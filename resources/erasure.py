"""Taking conversations out: those in no version, or all of one person."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select, update

from core.conversation import Conversation
from resources.band_rows import forget_bands
from resources.conversation_rows import BLAMED_RATING, CHUNK, in_no_version, with_texts
from resources.duplicate_rows import revive_duplicates
from resources.erasure_rows import note_erasure
from resources.event_rows import write_event
from resources.experiment_rows import forget_user
from resources.tables import conversations, feedback, units, utc_now, versions
from resources.times import moment
from resources.version_rows import unfinished_row
from resources.waiting_triggers import cancel_waiting, cancel_when_nothing_waits

FEEDBACK_FIELDS = ("rating", "thumb", "comment", "corrected_reply")


@dataclass(frozen=True)
class Cleared:
    deleted: int
    backup: Path | None


@dataclass(frozen=True)
class Erased:
    """`versions` are all whose adapter saw, or may have seen, what is erased; `restarted` begins again without it."""

    deleted: int
    versions: tuple[int, ...]
    restarted: int | None
    id: int


def clear_waiting(connection: Connection, backup: Path | None) -> Cleared:
    """Delete what is in no version, and what asked to train on it; the backup is on disk before that is committed."""
    if backup is None:
        gone = delete(conversations).where(in_no_version()).returning(conversations.c.seq)
        numbers = connection.execute(gone).scalars().all()
    else:
        numbers = _move_to(connection, backup)
    # those of a version that failed were placed among near-duplicates
    forget_bands(connection, numbers)
    deleted = len(numbers)
    message = f"{deleted} conversations in no version were deleted{f', kept in {backup.name}' if backup else ''}"
    data = {"deleted": deleted, "backup": backup.name if backup else None}
    write_event(connection, "conversations_cleared", message, data=data)
    cancel_waiting(connection)
    return Cleared(deleted, backup)


def erase_late(connection: Connection, user_id: str, asked_at: datetime) -> None:
    """What was said before an erasure and stored after it: a chat, an experiment's note of it, or an import."""
    late = (conversations.c.user_id == user_id) & (conversations.c.created_at < asked_at)
    if connection.execute(select(conversations.c.seq).where(late).limit(1)).first():
        erase_user(connection, user_id, asked_at)
    forget_user(connection, user_id, asked_at)


def erase_user(connection: Connection, user_id: str, asked_at: datetime | None = None) -> Erased:
    """Everything of a user, feedback and corrections included; the event names nobody.

    What is in files is written down in the same transaction, for `resources.erasing` to finish. With `asked_at`, what
    was said since stays.
    """
    theirs = conversations.c.user_id == user_id
    if asked_at is not None:
        theirs &= conversations.c.created_at < asked_at
    restarted = _begin_again(connection, theirs)
    affected = _versions_that_saw(connection, theirs)
    names = ("seq", "id", "thread_id", "hash", "eligible")
    gone = connection.execute(delete(conversations).where(theirs).returning(*(conversations.c[n] for n in names))).all()
    forget_bands(connection, [row.seq for row in gone])
    threads = sorted({row.thread_id or row.id for row in gone})
    _forget_units(connection, [f"thread:{name}" for name in threads])
    if asked_at is None:
        _forget_units(connection, [f"user:{user_id}"])
        forget_user(connection, user_id)
    revived = revive_duplicates(connection, (row.hash for row in gone if row.eligible))
    names_of = {"ids": [row.id for row in gone], "threads": threads}
    id = note_erasure(connection, user_id, names_of, affected, asked_at or utc_now())
    data = {"erasure": id, "deleted": len(gone), "versions": list(affected)}
    data |= {"restarted": restarted, "eligible_again": revived}
    write_event(connection, "user_erased", f"{len(gone)} conversations of a user were erased", data=data)
    cancel_when_nothing_waits(connection)
    return Erased(len(gone), affected, restarted, id)


def _begin_again(connection: Connection, theirs: ColumnElement[bool]) -> int | None:
    """Take a version that is still open from whoever trains it on a dataset with them; it costs no attempt.

    One that is trained already goes on: its adapter has seen them, and says so.
    """
    row = unfinished_row(connection)
    if row is None or row.state != "open":
        return None
    in_dataset = (conversations.c.version == row.n) | ((conversations.c.version < row.n) & ~conversations.c.rejected)
    is_in = connection.execute(select(conversations.c.seq).where(theirs, in_dataset).limit(1)).first() is not None
    if not is_in and (row.method != "kto" or _blamed_at(connection, theirs) is None):
        return None
    # without a dataset, whoever claims it next has to make one first
    values = {"fence": row.fence + 1, "released": True, "error": None, "error_class": None, "dataset_hash": None}
    connection.execute(update(versions).where(versions.c.n == row.n).values(**values))
    write_event(connection, "run_taken_back", f"v{row.n} begins anew: conversations of its dataset were erased", row.n)
    return int(row.n)


def _versions_that_saw(connection: Connection, these: ColumnElement[bool]) -> tuple[int, ...]:
    """From the first that accepted one of them on: every later version may have learned from it too.

    So may one that learned from ratings after one of them was blamed, which is in no dataset. One that is still open
    trains without them, unless it starts from an adapter that saw them.
    """
    accepted = select(func.min(conversations.c.version)).where(these, ~conversations.c.rejected)
    first, blamed_at = connection.execute(accepted).scalar_one(), _blamed_at(connection, these)
    if first is None and blamed_at is None:
        return ()
    columns = (versions.c.n, versions.c.state, versions.c.parent, versions.c.settings, versions.c.method)
    rows = select(*columns, versions.c.finished_at).where(versions.c.state.not_in(["failed", "abandoned"]))
    found: list[int] = []
    for row in connection.execute(rows.order_by(versions.c.n)):
        learned = row.settings.get("start_from") == "champion" and row.parent in found
        saw = (first is not None and row.n >= first) or _by_blame(row, blamed_at)
        if learned or (saw and row.state != "open"):
            found.append(row.n)
    return tuple(found)


def _by_blame(version: Any, blamed_at: datetime | None) -> bool:
    if version.method != "kto" or blamed_at is None:
        return False
    return version.finished_at is None or bool(version.finished_at >= blamed_at)


def _blamed_at(connection: Connection, these: ColumnElement[bool]) -> datetime | None:
    """When the first of these was blamed, whatever was said of it since."""
    blamed = (feedback.c.thumb == -1) | (feedback.c.rating <= BLAMED_RATING)
    whole = feedback.join(conversations, feedback.c.conversation_id == conversations.c.id)
    found: datetime | None = connection.execute(
        select(func.min(feedback.c.created_at)).select_from(whole).where(these, blamed)
    ).scalar_one()
    return found


def _forget_units(connection: Connection, names: list[str]) -> None:
    for start in range(0, len(names), CHUNK):
        connection.execute(delete(units).where(units.c.unit.in_(names[start : start + CHUNK])))


def _move_to(connection: Connection, backup: Path) -> list[int]:
    """The numbers of what was deleted. Exactly what is written is deleted: what is captured meanwhile stays."""
    rows = connection.execute(
        with_texts().where(in_no_version()).order_by(conversations.c.seq).with_for_update(of=conversations)
    ).all()
    said: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in connection.execute(
        select(feedback).join(conversations, conversations.c.id == feedback.c.conversation_id).where(in_no_version())
    ):
        said[row.conversation_id].append({name: getattr(row, name) for name in FEEDBACK_FIELDS})
    _write_backup(backup, (_line(row, said.get(row.id, [])) for row in rows))
    numbers = [row.seq for row in rows]
    for start in range(0, len(numbers), CHUNK):
        connection.execute(delete(conversations).where(conversations.c.seq.in_(numbers[start : start + CHUNK])))
    return numbers


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
