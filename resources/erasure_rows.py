"""What was asked to be erased: in the clear until it is done, afterwards as a salted digest."""

import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, union, update

from core.pseudonyms import digest_of, pseudonym_of
from resources.conversation_rows import CHUNK
from resources.database import Database
from resources.event_rows import write_event
from resources.pseudonyms import pseudonyms_of, secret
from resources.tables import conversations, erasures, experiment_logs, utc_now


@dataclass(frozen=True)
class Pending:
    """An erasure whose files are not all swept; `ids` and `threads` are those the store has forgotten.

    `last`: nothing that had read the store before is still writing, so that one more sweep ends it.
    """

    id: int
    user_id: str
    ids: frozenset[str]
    threads: frozenset[str]
    asked_at: datetime
    last: bool


@dataclass(frozen=True)
class Past:
    """An erasure as it outlives itself: who it was can be recognised, not read."""

    salt: str
    digest: str
    asked_at: datetime

    def was_of(self, user_id: str) -> bool:
        """By their name or, where this salt made it, by their pseudonym."""
        named = hmac.compare_digest(digest_of(self.salt, user_id), self.digest)
        return named or user_id == pseudonym_of(self.digest)


class Erasures:
    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, settled: timedelta) -> list[Pending]:
        """Those never swept, and those asked for `settled` ago, whose last sweep is then due."""
        before = utc_now() - settled
        is_due = or_(erasures.c.swept_at.is_(None), erasures.c.asked_at <= before)
        query = select(erasures).where(erasures.c.user_id.is_not(None), is_due).order_by(erasures.c.id)
        return [_pending(row, before) for row in self._database.read(lambda c: c.execute(query).all())]

    def swept(self, who: Pending, counts: Mapping[str, int]) -> None:
        """Add up what was found in files; after the last sweep only the digest stays."""
        self._database.write(lambda c: _swept(c, who, counts))

    def past(self) -> list[Past]:
        """Every erasure ever asked for, oldest first."""
        query = select(erasures).order_by(erasures.c.id)
        rows = self._database.read(lambda c: c.execute(query).all())
        return [Past(row.salt, row.digest, row.asked_at) for row in rows]

    def adopt(self, past: Iterable[Past]) -> None:
        """Remember erasures that another copy of the store has seen."""
        rows = [{**_finished(one), "finished_at": utc_now()} for one in past]
        if rows:
            self._database.write(lambda c: c.execute(insert(erasures), rows))

    def unknown(self, ids: Collection[str], user_id: str) -> set[str]:
        """Those of these conversations of a user, by id or its pseudonym, that the store does not hold."""
        names = pseudonyms_of(self._database)
        here = select(conversations.c.id).where(conversations.c.user_id == user_id)
        known = self._database.read(lambda c: _known(c, sorted(ids)) | set(c.execute(here).scalars()))
        return set(ids) - known - {names.id(id) for id in known}

    def users(self) -> set[str]:
        """Every user with a conversation, or a turn of an experiment, in the store."""
        columns = (conversations.c.user_id, experiment_logs.c.user_id)
        found = union(*(select(column).where(column.is_not(None)) for column in columns))
        return set(self._database.read(lambda c: c.execute(found).scalars().all()))


def note_erasure(
    connection: Connection,
    user_id: str,
    names: Mapping[str, Sequence[str]],
    versions: Sequence[int],
    asked_at: datetime,
) -> int:
    """Write down what is to be erased from files; the number of the erasure."""
    salt = secret(connection)
    values = {"user_id": user_id, "names": dict(names), "versions": list(versions), "counts": {}}
    row = {**values, "salt": salt, "digest": digest_of(salt, user_id), "asked_at": asked_at}
    return int(connection.execute(insert(erasures).values(**row).returning(erasures.c.id)).scalar_one())


def _swept(connection: Connection, who: Pending, counts: Mapping[str, int]) -> None:
    mine = erasures.c.id == who.id
    row = connection.execute(select(erasures).where(mine)).one()
    found = {place: row.counts.get(place, 0) + counts.get(place, 0) for place in {*row.counts, *counts}}
    now = utc_now()
    done: dict[str, Any] = {"user_id": None, "names": {}, "finished_at": now} if who.last else {}
    connection.execute(update(erasures).where(mine).values(counts=found, swept_at=now, **done))
    if who.last and row.finished_at is None:
        data = {"erasure": who.id, "removed": found, "versions": row.versions}
        write_event(connection, "erasure_finished", f"Erasure {who.id} is done in all files", data=data)


def _known(connection: Connection, ids: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(ids), CHUNK):
        query = select(conversations.c.id).where(conversations.c.id.in_(ids[start : start + CHUNK]))
        known.update(connection.execute(query).scalars())
    return known


def _finished(past: Past) -> dict[str, Any]:
    row = {"salt": past.salt, "digest": past.digest, "asked_at": past.asked_at}
    return {**row, "user_id": None, "names": {}, "versions": [], "counts": {}}


def _pending(row: Row[Any], before: datetime) -> Pending:
    ids, threads = row.names.get("ids", []), row.names.get("threads", [])
    return Pending(row.id, row.user_id, frozenset(ids), frozenset(threads), row.asked_at, last=row.asked_at <= before)
