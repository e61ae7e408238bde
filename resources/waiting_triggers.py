"""Requests to train that wait, found and cancelled inside another transaction."""

from typing import Any

from sqlalchemy import Connection, select, update

from resources.conversation_rows import waits
from resources.event_rows import write_event
from resources.tables import conversations, triggers, utc_now


def waiting_triggers() -> Any:
    return select(triggers).where(triggers.c.version.is_(None), triggers.c.cancelled_at.is_(None))


def cancel_when_nothing_waits(connection: Connection) -> None:
    """A request was made for conversations that are gone: it must not fire on the next one that comes."""
    if connection.execute(select(conversations.c.seq).where(waits()).limit(1)).first() is None:
        cancel_waiting(connection)


def cancel_waiting(connection: Connection) -> None:
    """Cancel all of them, with an event that names them."""
    ids = sorted(row.id for row in connection.execute(waiting_triggers()))
    if not ids:
        return
    connection.execute(update(triggers).where(triggers.c.id.in_(ids)).values(cancelled_at=utc_now()))
    message = f"{len(ids)} requests to train were cancelled: what they were made for is gone"
    write_event(connection, "triggers_cancelled", message, data={"triggers": ids})
