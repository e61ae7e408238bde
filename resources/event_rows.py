"""Writing an event inside another transaction, so that it happened exactly when the change did."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, insert

from resources.tables import events, outbox, utc_now

WEBHOOK_TYPES = frozenset(
    {
        "run_started",
        "run_completed",
        "run_failed",
        "promoted",
        "staged",
        "rejected",
        "rolled_back",
        "guardrail_stop",
        "paused",
    }
)


def write_event(
    connection: Connection,
    type: str,
    message: str,
    version: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> Row[Any]:
    """Write an event; those of `WEBHOOK_TYPES` go to the outbox as well."""
    now = utc_now()
    values = {"timestamp": now, "type": type, "version": version, "message": message, "data": dict(data or {})}
    row = connection.execute(insert(events).values(**values).returning(*events.c)).one()
    if type in WEBHOOK_TYPES:
        connection.execute(insert(outbox).values(id=row.id, attempts=0, next_at=now))
    return row
