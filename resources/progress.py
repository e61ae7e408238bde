"""How far training is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from resources.claims import check_held
from resources.database import Database
from resources.tables import progress as table
from resources.tables import utc_now, versions
from resources.version_rows import Claim


@dataclass(frozen=True)
class Progress:
    """One report of the trainer; `version` is filled in by the store, `validation_loss` is of that step alone."""

    step: int
    total_steps: int
    loss: float | None
    learning_rate: float | None
    tokens_per_second: float | None
    eta_seconds: float | None
    stage: str
    version: int | None = None
    validation_loss: float | None = None


class ProgressLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, claim: Claim, progress: Progress) -> None:
        """Fenced when the claim is lost."""

        def work(connection: Connection) -> None:
            check_held(connection, claim)
            connection.execute(
                insert(table).values(
                    version=claim.n,
                    fence=claim.fence,
                    stage=progress.stage,
                    step=progress.step,
                    total_steps=progress.total_steps,
                    loss=_finite(progress.loss),
                    learning_rate=_finite(progress.learning_rate),
                    tokens_per_second=_finite(progress.tokens_per_second),
                    eta_seconds=_finite(progress.eta_seconds),
                    validation_loss=_finite(progress.validation_loss),
                    created_at=utc_now(),
                )
            )
            connection.execute(update(versions).where(versions.c.n == claim.n).values(stage=progress.stage))

        self._database.write(work)

    def latest(self) -> Progress | None:
        """The last report of the unfinished version."""
        query = (
            select(table)
            .join(versions, versions.c.n == table.c.version)
            .where(versions.c.in_flight.is_not(None))
            .order_by(table.c.id.desc())
            .limit(1)
        )
        row = self._database.read(lambda c: c.execute(query).first())
        return _progress(row) if row else None

    def latest_of(self, n: int) -> Progress | None:
        """The last report of version n."""
        return self._database.read(lambda c: latest_reports(c, [n])).get(n)

    def curve(self, n: int) -> list[Progress]:
        """One a stage and step, in their order; what was repeated after a restart counts once."""
        query = select(table).where(table.c.version == n).order_by(table.c.id)
        rows = self._database.read(lambda c: c.execute(query).all())
        last = {(row.stage, row.step): row for row in rows}
        stages = list(dict.fromkeys(row.stage for row in rows))
        return [_progress(last[key]) for key in sorted(last, key=lambda key: (stages.index(key[0]), key[1]))]


def latest_reports(connection: Connection, ns: Sequence[int]) -> dict[int, Progress]:
    """The last report of each of these versions that has one."""
    last = select(func.max(table.c.id)).where(table.c.version.in_(ns)).group_by(table.c.version)
    rows = connection.execute(select(table).where(table.c.id.in_(last))).all() if ns else []
    return {row.version: _progress(row) for row in rows}


def _finite(value: float | None) -> float | None:
    """A loss that is not a number cannot be drawn nor sent; the gate judges it from the weights."""
    return value if value is not None and math.isfinite(value) else None


def _progress(row: Row[Any]) -> Progress:
    return Progress(
        step=row.step,
        total_steps=row.total_steps,
        loss=row.loss,
        learning_rate=row.learning_rate,
        tokens_per_second=row.tokens_per_second,
        eta_seconds=row.eta_seconds,
        stage=row.stage,
        version=row.version,
        validation_loss=row.validation_loss,
    )
