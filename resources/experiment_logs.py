"""Who was exposed to which arm, and what came of each reply: written in batches, read a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from core.pii import Masker
from resources.conversations import Page
from resources.tables import experiment_logs, experiments, exposures, utc_now


@dataclass(frozen=True)
class Served:
    """One reply of an arm. `seconds` and `length` (characters) are None where it failed before they were known."""

    experiment: int
    unit: str
    arm: str
    user_id: str | None = None
    session_id: str | None = None
    conversation_id: str | None = None
    query: str | None = None
    response: str | None = None
    seconds: float | None = None
    length: int | None = None
    failed: bool = False
    rating: int | None = None
    comment: str | None = None
    created_at: datetime = field(default_factory=utc_now)


@dataclass(frozen=True)
class Log:
    """A reply as it was noted."""

    id: int
    served: Served


def expose(connection: Connection, seen: Sequence[Served]) -> None:
    """Once a unit, at its first reply; whoever is known already stays as noted."""
    first = {(one.experiment, one.unit): one for one in reversed(seen)}
    values = [
        {"experiment": one.experiment, "unit": one.unit, "arm": one.arm, "first_at": one.created_at}
        for one in first.values()
    ]
    if values:
        connection.execute(_insert(connection, exposures).on_conflict_do_nothing(), values)


def write_logs(connection: Connection, served: Sequence[Served]) -> None:
    """Replies with their exposures; one handed over twice is noted once, one of a deleted experiment not at all."""
    known = set(connection.execute(select(experiments.c.id)).scalars())
    rows = [one for one in served if one.experiment in known]
    if rows:
        expose(connection, rows)
        values = [vars(one) for one in rows]
        connection.execute(_insert(connection, experiment_logs).on_conflict_do_nothing(), values)


def write_log(connection: Connection, served: Served) -> Log:
    """One reply, told by another program; its words are for people to read alone, and personal data is masked."""
    expose(connection, [served])
    masker, texts = Masker(), ("query", "response", "comment")
    masked: dict[str, Any] = {name: masker.mask(text) for name in texts if (text := getattr(served, name)) is not None}
    served = replace(served, **masked)
    id = connection.execute(insert(experiment_logs).values(**vars(served)).returning(experiment_logs.c.id)).scalar_one()
    return Log(int(id), served)


def exposed_arm(connection: Connection, experiment: int, unit: str) -> str | None:
    """The arm this unit was exposed to first."""
    mine = exposures.c.arm, (exposures.c.experiment == experiment) & (exposures.c.unit == unit)
    return connection.execute(select(mine[0]).where(mine[1])).scalar_one_or_none()


def logs_page(connection: Connection, experiment: int, page: int, page_size: int) -> Page[Log]:
    """Newest first, pages from 1."""
    mine = experiment_logs.c.experiment == experiment
    total = connection.execute(select(func.count()).select_from(experiment_logs).where(mine)).scalar_one()
    query = select(experiment_logs).where(mine).order_by(experiment_logs.c.id.desc())
    rows = connection.execute(query.limit(page_size).offset((page - 1) * page_size)).all()
    return Page([_log(row) for row in rows], page, page_size, int(total))


def _log(row: Row[Any]) -> Log:
    return Log(row.id, Served(**{key: value for key, value in row._mapping.items() if key != "id"}))


def _insert(connection: Connection, table: Any) -> Any:
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
