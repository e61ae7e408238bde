"""Who works on a version: claimed in one transaction, held by a heartbeat, fenced by a number that only grows."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from core.wish import Wish, wish_in
from resources.champions import champion_row
from resources.conversation_rows import wanted_of
from resources.endings import abandon_version, fail_version
from resources.event_rows import write_event
from resources.store_errors import AttemptsExhausted, Fenced, VersionBusy, VersionStopped
from resources.tables import conversations, triggers, utc_now, versions
from resources.version_rows import Claim, State, unfinished_row
from resources.waiting_triggers import give_up_waiting, waiting_job, waiting_triggers


def claim_version(
    connection: Connection,
    owner: str,
    dead_beat: int | None,
    lineage: str,
    settings: Mapping[str, Any],
    max_attempts: int,
    trigger: int | None = None,
) -> Claim | AttemptsExhausted | None:
    """The unfinished version if it is free, else all that waits as a new one; None when nothing does.

    `trigger` is the request that a new one is begun for: none is begun where it was cancelled or served meanwhile.
    """
    row = unfinished_row(connection)
    if row is not None:
        _check_free(row, owner, dead_beat)
        if row.base_fingerprint == lineage:
            return _take_over(connection, row, owner, max_attempts)
        abandon_version(connection, row, "the base model was changed")
    if trigger is not None and not _still_waits(connection, trigger):
        return None
    return _claim_waiting(connection, owner, lineage, settings)


def check_held(connection: Connection, claim: Claim, *states: State) -> Row[Any]:
    """The row of a version that this claim still holds, in one of the states if any are given; else Fenced."""
    row = connection.execute(select(versions).where(versions.c.n == claim.n)).first()
    if row is None or row.fence != claim.fence or row.released or not row.in_flight:
        found = f"fence {row.fence} in state {row.state}{', released' if row.released else ''}" if row else "none"
        raise Fenced(f"Expected to hold v{claim.n} with fence {claim.fence}, found {found}: stop writing")
    if states and row.state not in states:
        raise Fenced(f"Expected v{claim.n} to be {' or '.join(states)}, found {row.state}: stop writing")
    return row


def beat(connection: Connection, claim: Claim) -> bool:
    held = update(versions).where(
        versions.c.n == claim.n,
        versions.c.fence == claim.fence,
        versions.c.in_flight.is_not(None),
        ~versions.c.released,
    )
    return connection.execute(held.values(beat=versions.c.beat + 1)).rowcount == 1


def release(connection: Connection, claim: Claim, error: str | None) -> None:
    held = update(versions).where(
        versions.c.n == claim.n,
        versions.c.fence == claim.fence,
        versions.c.in_flight.is_not(None),
        ~versions.c.released,
    )
    values = {"released": True, "error": error, "error_class": "UNKNOWN_ERROR" if error else None}
    if connection.execute(held.values(**values)).rowcount and error:
        data = {"attempt": claim.attempt}
        write_event(connection, "attempt_failed", f"v{claim.n}, attempt {claim.attempt}: {error}", claim.n, data)


def _check_free(row: Row[Any], owner: str, dead_beat: int | None) -> None:
    if row.desired == "stop":
        raise VersionStopped(row.n, row.beat)
    if not (row.released or row.owner == owner or row.beat == dead_beat):
        raise VersionBusy(row.owner, row.n, row.beat)


def _take_over(connection: Connection, row: Row[Any], owner: str, max_attempts: int) -> Claim | AttemptsExhausted:
    # an attempt is used up by a crash or an error, not by a clean stop nor by the next step of the same run
    clean = row.error is None and (row.released or row.owner == owner)
    attempts = row.attempts if clean else row.attempts + 1
    if attempts > max_attempts:
        fail_version(connection, row, row.error_class or "UNKNOWN_ERROR", row.error or "its process died")
        return AttemptsExhausted(row.n, row.attempts)
    connection.execute(
        update(versions)
        .where(versions.c.n == row.n)
        .values(
            owner=owner,
            fence=row.fence + 1,
            beat=row.beat + 1,
            attempts=attempts,
            released=False,
            error=None,
            error_class=None,
        )
    )
    if row.owner != owner or row.released:
        data = {"attempt": attempts, "owner": owner, "state": row.state}
        write_event(connection, "run_resumed", f"v{row.n} goes on, attempt {attempts}", row.n, data)
    return Claim(row.n, row.fence + 1, attempts, row.state, resumed=True)


def _still_waits(connection: Connection, trigger: int) -> bool:
    return connection.execute(waiting_triggers().where(triggers.c.id == trigger)).first() is not None


def _claim_waiting(connection: Connection, owner: str, lineage: str, settings: Mapping[str, Any]) -> Claim | None:
    job = waiting_job(connection)
    wish = wish_in(job.params) if job else Wish()
    wanted = wanted_of(wish)
    if connection.execute(select(conversations.c.seq).where(wanted).limit(1)).first() is None:
        if job is not None and wish.dataset_id is not None:
            give_up_waiting(connection, [job], lineage, f"no conversation of dataset {wish.dataset_id} waits any more")
        return None
    settings = wish.settings(settings) if job else settings
    # the beat goes on over all versions, so that a beat seen dead in one is never alive in the next
    highest = connection.execute(select(func.max(versions.c.n), func.max(versions.c.beat))).one()
    n = (highest[0] or 0) + 1
    champion = champion_row(connection, lineage)
    now = utc_now()
    connection.execute(
        insert(versions).values(
            n=n,
            state="open",
            in_flight=True,
            desired="run",
            parent=champion.n if champion else None,
            method=settings["finetune_method"],
            base_fingerprint=lineage,
            owner=owner,
            fence=1,
            beat=(highest[1] or 0) + 1,
            released=False,
            attempts=1,
            settings=dict(settings),
            counts={},
            training={},
            created_at=now,
            started_at=now,
        )
    )
    # by what is free, never up to a number: a row with a lower number may be committed later
    claimed = connection.execute(update(conversations).where(wanted).values(version=n)).rowcount
    asked = update(triggers).where(triggers.c.version.is_(None), triggers.c.cancelled_at.is_(None))
    if job is not None and wish.dataset_id is not None:  # the others asked for all that waits, and wait on for the rest
        asked = asked.where(triggers.c.id == job.id)
    by_trigger = connection.execute(asked.values(version=n)).rowcount
    counts = {"claimed": claimed, "triggers": by_trigger}
    connection.execute(update(versions).where(versions.c.n == n).values(counts=counts))
    write_event(connection, "run_started", f"v{n} took {claimed} conversations", n, {**counts, "owner": owner})
    return Claim(n, 1, 1, "open", resumed=False)
