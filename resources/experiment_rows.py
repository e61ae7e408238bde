"""What an experiment is in the store, and how it is read from its row."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, or_, select, update

from core.assignment import arm_of
from core.experiment_results import Results
from core.experiments import Design, Look, Status, Window
from resources.store_errors import NotFound
from resources.tables import experiment_logs, experiments, exposures, utc_now


@dataclass(frozen=True)
class Experiment:
    """`results` are those at its end; `staged` is the version that passed its gate while it ran."""

    id: int
    lineage: str
    design: Design
    salt: str
    status: Status
    looks: tuple[Look, ...]
    results: Results | None
    winner: str | None
    reason: str | None
    ended_by: str | None
    staged: int | None
    staged_against: int | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def running(self) -> bool:
        return self.status == "running"

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions among its arms."""
        return tuple(arm.version for arm in self.design.arms if arm.version is not None)

    def assigned(self, unit: str) -> str | None:
        """The name of the unit's arm; None where the experiment does not cover it."""
        number = arm_of(self.salt, unit, self.design.weights, self.design.coverage)
        return None if number is None else self.design.arms[number].name

    def window(self, now: datetime | None = None) -> Window:
        return Window(self.started_at, self.ended_at or now or utc_now())


def experiment_of(row: Row[Any]) -> Experiment:
    fields = {key: value for key, value in row._mapping.items() if key not in ("running", "name")}
    parsed = {
        "design": Design.model_validate(row.design),
        "looks": tuple(Look.model_validate(look) for look in row.looks),
        "results": Results.model_validate(row.results) if row.results else None,
    }
    return Experiment(**{**fields, **parsed})


def experiment_row(connection: Connection, id: int) -> Row[Any]:
    """NotFound when there is none."""
    row = connection.execute(select(experiments).where(experiments.c.id == id)).first()
    if row is None:
        raise NotFound(f"Expected an experiment {id}, found none")
    return row


def running_row(connection: Connection, lineage: str) -> Row[Any] | None:
    mine = select(experiments).where(experiments.c.lineage == lineage, experiments.c.running.is_not(None))
    return connection.execute(mine).first()


def hold_back(connection: Connection, lineage: str, n: int, against: int | None) -> str | None:
    """Note that version n, compared with champion `against`, waits for the running experiment; the name of that."""
    row = running_row(connection, lineage)
    if row is None:
        return None
    mine = update(experiments).where(experiments.c.id == row.id)
    connection.execute(mine.values(staged=n, staged_against=against))
    return str(row.name)


def forget_user(connection: Connection, user_id: str, before: datetime | None = None) -> None:
    """Nothing of a user stays, or nothing from before a moment; running experiments go on with the others' figures."""
    unit = f"user:{user_id}"
    logs = or_(experiment_logs.c.unit == unit, experiment_logs.c.user_id == user_id)
    seen = exposures.c.unit == unit
    if before is not None:
        logs, seen = logs & (experiment_logs.c.created_at < before), seen & (exposures.c.first_at < before)
    connection.execute(delete(experiment_logs).where(logs))
    connection.execute(delete(exposures).where(seen))
