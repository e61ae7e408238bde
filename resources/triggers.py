"""Requests to train that wait for a version."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from resources.database import Database
from resources.event_rows import write_event
from resources.tables import triggers, utc_now
from resources.waiting_triggers import waiting_triggers


@dataclass(frozen=True)
class Trigger:
    """`created` is False when the same request was waiting already; `version` is the one it became."""

    id: int
    kind: str
    force: bool
    params: dict[str, Any]
    created_at: datetime
    version: int | None
    cancelled: bool
    created: bool


class Triggers:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, force: bool, params: Mapping[str, Any], idempotency_key: str | None = None) -> Trigger:
        """Ask for a version; one of that kind and force that waits, or one with the same key, is given back instead.

        A request that waits takes over what else is wished; a key always stands for one request of its own.
        """

        def work(connection: Connection) -> Trigger:
            same = _same(connection, kind, force, idempotency_key)
            if same is not None:
                wished = same if idempotency_key else _with_wishes(connection, same, params)
                return _trigger(wished, created=False)
            row = connection.execute(
                insert(triggers)
                .values(
                    kind=kind,
                    force=force,
                    params=dict(params),
                    idempotency_key=idempotency_key,
                    created_at=utc_now(),
                )
                .returning(*triggers.c)
            ).one()
            message = f"Training was asked for ({kind}{', forced' if force else ''})"
            write_event(connection, "trigger_added", message, data={"trigger": row.id, "force": force})
            return _trigger(row, created=True)

        return self._database.write(work)

    def next(self) -> Trigger | None:
        """The one that waits: a forced one first, then the oldest."""
        query = waiting_triggers().order_by(triggers.c.force.desc(), triggers.c.id).limit(1)
        row = self._database.read(lambda c: c.execute(query).first())
        return _trigger(row) if row else None

    def get(self, id: int) -> Trigger | None:
        row = self._database.read(lambda c: c.execute(select(triggers).where(triggers.c.id == id)).first())
        return _trigger(row) if row else None

    def waits(self, id: int) -> bool:
        """Whether this one is neither cancelled nor served yet."""
        query = waiting_triggers().where(triggers.c.id == id)
        return self._database.read(lambda c: c.execute(query).first()) is not None

    def of_key(self, idempotency_key: str) -> Trigger | None:
        """What was asked for with this key, whatever became of it."""
        query = select(triggers).where(triggers.c.idempotency_key == idempotency_key)
        row = self._database.read(lambda c: c.execute(query).first())
        return _trigger(row) if row else None

    def of_version(self, n: int) -> list[Trigger]:
        """What asked for version n, oldest first."""
        query = select(triggers).where(triggers.c.version == n).order_by(triggers.c.id)
        return [_trigger(row) for row in self._database.read(lambda c: c.execute(query).all())]


def _same(connection: Connection, kind: str, force: bool, key: str | None) -> Row[Any] | None:
    if key is not None:
        return connection.execute(select(triggers).where(triggers.c.idempotency_key == key)).first()
    equal = waiting_triggers().where(triggers.c.kind == kind, triggers.c.force == force)
    return connection.execute(equal.order_by(triggers.c.id).limit(1)).first()


def _with_wishes(connection: Connection, row: Row[Any], params: Mapping[str, Any]) -> Row[Any]:
    """What was wished once stays wished; what is wished now comes to it."""
    both = {**params, **{name: value for name, value in row.params.items() if value}}
    mine = update(triggers).where(triggers.c.id == row.id).values(params=both)
    return connection.execute(mine.returning(*triggers.c)).one()


def _trigger(row: Row[Any], created: bool = False) -> Trigger:
    return Trigger(
        id=row.id,
        kind=row.kind,
        force=row.force,
        params=row.params,
        created_at=row.created_at,
        version=row.version,
        cancelled=row.cancelled_at is not None,
        created=created,
    )
