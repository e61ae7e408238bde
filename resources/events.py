"""What happened, in order, and what of it is told to the outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, or_, select, update

from resources.database import Database
from resources.event_rows import WEBHOOK_TYPES, write_event
from resources.setting_store import SettingStore
from resources.store_errors import NotFound
from resources.tables import events, outbox, utc_now

__all__ = ["WEBHOOK_TYPES", "Event", "Events", "Outbox", "Outgoing"]

FIRST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(hours=1)
MAX_DELIVERIES = 10


@dataclass(frozen=True)
class Event:
    id: int
    timestamp: datetime
    type: str
    version: int | None
    message: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Outgoing:
    """One event on its way to the webhook; `id` is the same at every attempt."""

    id: int
    event: Event
    attempts: int


class Events:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, type: str, message: str, version: int | None = None, data: Mapping[str, Any] | None = None) -> Event:
        """Write an event; those of `WEBHOOK_TYPES` go to the outbox in the same transaction."""
        return _event(self._database.write(lambda c: write_event(c, type, message, version, data)))

    def page(self, limit: int = 50, after: int | None = None, type: str | None = None, offset: int = 0) -> list[Event]:
        """Newest first; with `after`, the ones that follow that id, oldest first; `offset` of them left out."""
        query = select(events).limit(limit).offset(offset)
        if type is not None:
            query = query.where(events.c.type == type)
        if after is None:
            query = query.order_by(events.c.id.desc())
        else:
            query = query.where(events.c.id > after).order_by(events.c.id)
        return [_event(row) for row in self._database.read(lambda c: c.execute(query).all())]


class Outbox:
    def __init__(self, database: Database, settings: SettingStore) -> None:
        self._database = database
        self._settings = settings

    def due(self, limit: int = 20) -> list[Outgoing]:
        """What is to be sent now, oldest first; nothing without a webhook address."""
        if self._settings.get().finetune_webhook_url is None:
            return []
        now = utc_now()
        # a time further off than any delay was written before the clock was set back
        is_due = or_(outbox.c.next_at <= now, outbox.c.next_at > now + LONGEST_DELAY)
        query = (
            select(events, outbox.c.attempts)
            .join(outbox, outbox.c.id == events.c.id)
            .where(outbox.c.closed_at.is_(None), is_due)
            .order_by(outbox.c.id)
            .limit(limit)
        )
        rows = self._database.read(lambda c: c.execute(query).all())
        return [Outgoing(row.id, _event(row), row.attempts) for row in rows]

    def delivered(self, id: int) -> None:
        def work(connection: Connection) -> None:
            attempts = _attempts(connection, id) + 1
            _settle(connection, id, attempts=attempts, closed_at=utc_now(), outcome="delivered", error=None)
            write_event(connection, "webhook_delivered", f"Event {id} was delivered", data={"event": id})

        self._database.write(work)

    def failed(self, id: int, error: str) -> None:
        """Try again later, twice as late each time; after the last attempt it is dead and an event says so."""

        def work(connection: Connection) -> None:
            attempts = _attempts(connection, id) + 1
            now = utc_now()
            if attempts < MAX_DELIVERIES:
                delay = min(FIRST_DELAY * 2 ** (attempts - 1), LONGEST_DELAY)
                _settle(connection, id, attempts=attempts, next_at=now + delay, error=error)
                return
            _settle(connection, id, attempts=attempts, closed_at=now, outcome="dead", error=error)
            message = f"Event {id} could not be delivered in {attempts} attempts: {error}"
            write_event(connection, "webhook_dead", message, data={"event": id})

        self._database.write(work)


def _attempts(connection: Connection, id: int) -> int:
    found = connection.execute(
        select(outbox.c.attempts).where(outbox.c.id == id, outbox.c.closed_at.is_(None))
    ).scalar_one_or_none()
    if found is None:
        raise NotFound(f"Expected event {id} to wait in the outbox, found none")
    return int(found)


def _settle(connection: Connection, id: int, **values: Any) -> None:
    connection.execute(update(outbox).where(outbox.c.id == id).values(**values))


def _event(row: Row[Any]) -> Event:
    return Event(row.id, row.timestamp, row.type, row.version, row.message, row.data)
