"""Requests to train that wait, found and cancelled inside another transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from core.wish import Wish, wish_in
from resources.conversation_rows import waits
from resources.event_rows import write_event
from resources.tables import conversations, triggers, utc_now, versions

# a request that came with a wish, of which one at most waits; its row knows the lineage it was made for
JOB = "job"
LINEAGE = "lineage"


def waiting_triggers() -> Any:
    return select(triggers).where(triggers.c.version.is_(None), triggers.c.cancelled_at.is_(None))


def waiting_job(connection: Connection) -> Row[Any] | None:
    """The request with a wish that waits."""
    return connection.execute(waiting_triggers().where(triggers.c.kind == JOB).order_by(triggers.c.id)).first()


def waiting_wish(connection: Connection) -> Wish:
    """What is wished of the next version."""
    job = waiting_job(connection)
    return wish_in(job.params) if job else Wish()


def next_number(connection: Connection) -> int:
    """Of the next version, which is what all that waits is asked for."""
    return int(connection.execute(select(func.coalesce(func.max(versions.c.n), 0))).scalar_one()) + 1


def cancel_when_nothing_waits(connection: Connection) -> None:
    """A request was made for conversations that are gone: it must not fire on the next one that comes."""
    if connection.execute(select(conversations.c.seq).where(waits()).limit(1)).first() is None:
        cancel_waiting(connection)


def cancel_waiting(connection: Connection) -> None:
    """Cancel all of them, with an event that names them."""
    rows = connection.execute(waiting_triggers().order_by(triggers.c.id)).all()
    if not rows:
        return
    reason = "what it was made for is gone"
    jobs = [row for row in rows if row.kind == JOB]
    for job in jobs:
        give_up_waiting(connection, [job], str(job.params.get(LINEAGE, "")), reason)
    others = sorted(row.id for row in rows if row.kind != JOB)
    connection.execute(update(triggers).where(triggers.c.id.in_(others)).values(cancelled_at=utc_now()))
    message = f"{len(rows)} requests to train were cancelled: what they were made for is gone"
    write_event(connection, "triggers_cancelled", message, data={"triggers": [row.id for row in rows]})


def give_up_waiting(connection: Connection, rows: Sequence[Row[Any]], lineage: str, reason: str) -> int:
    """End requests before they began, as the version that they would have become: their number is not used again."""
    n, now = next_number(connection), utc_now()
    wish = next((wish_in(row.params) for row in rows if row.kind == JOB), Wish())
    connection.execute(
        insert(versions).values(
            n=n,
            state="abandoned",
            desired="run",
            method=wish.recipe.get("method", "lora"),
            base_fingerprint=lineage,
            fence=0,
            beat=connection.execute(select(func.coalesce(func.max(versions.c.beat), 0))).scalar_one(),
            released=True,
            attempts=0,
            error=reason,
            settings=wish.settings({}),
            counts={"claimed": 0, "triggers": len(rows)},
            training={},
            created_at=min(row.created_at for row in rows),
            started_at=now,
            finished_at=now,
        )
    )
    mine = update(triggers).where(triggers.c.id.in_([row.id for row in rows]))
    connection.execute(mine.values(cancelled_at=now, version=n))
    write_event(connection, "abandoned", f"v{n} is given up before it began: {reason}", n, {"waiting_again": 0})
    return n
