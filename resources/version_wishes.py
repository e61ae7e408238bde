"""What a person wants of an unfinished version: that it stops, goes on, or is given up; each in one transaction."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from resources.event_rows import write_event
from resources.store_errors import NotAllowed
from resources.tables import events, versions
from resources.version_rows import Desired, version_row

RESUME_ASKED = "resume_asked"


def unfinished_version(connection: Connection, n: int) -> Row[Any]:
    """NotFound; NotAllowed once it is concluded, failed or given up."""
    row = version_row(connection, n)
    if not row.in_flight:
        remedy = ": its conversations wait again, ask for a new one" if row.state in ("failed", "abandoned") else ""
        raise NotAllowed(f"Expected v{n} to be unfinished, found it {row.state}{remedy}")
    return row


def desire(connection: Connection, n: int, desired: Desired) -> None:
    """Note the wish, with an event; to go on is noted even where nobody stopped it.

    Who lets it go on has seen why its last attempt failed: the next one waits for nothing, and does not count.
    """
    row = unfinished_version(connection, n)
    if row.desired == desired == "stop":
        return
    seen = {"error": None, "error_class": None} if desired == "run" and row.released else {}
    connection.execute(update(versions).where(versions.c.n == n).values(desired=desired, **seen))
    kind, says = ("stop_asked", "stops") if desired == "stop" else (RESUME_ASKED, "goes on")
    write_event(connection, kind, f"v{n} {says}, as a person asked", n)


def stop_cancelled(connection: Connection, n: int, cancelled: datetime) -> bool:
    """Stop a version whose run was cancelled in Dagster's pages, unless a person asked since that it goes on."""
    row = version_row(connection, n)
    asked = select(events.c.id).where(
        events.c.type == RESUME_ASKED, events.c.version == n, events.c.timestamp > cancelled
    )
    if not row.in_flight or row.desired == "stop" or connection.execute(asked.limit(1)).first():
        return False
    desire(connection, n, "stop")
    return True
