"""Experiments between models over the traffic of `production`: at most one runs a lineage."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select

from core.arm_figures import ArmFigures
from core.experiment_results import Results, results
from core.experiments import Design, Status
from resources.conversations import Page
from resources.database import Database
from resources.event_rows import write_event
from resources.experiment_endings import crown, end, results_of, set_values
from resources.experiment_figures import figures
from resources.experiment_logs import Log, Served, expose, exposed_arm, logs_page, write_log, write_logs
from resources.experiment_rows import Experiment, experiment_of, experiment_row, running_row
from resources.experiment_watch import watch
from resources.store_errors import NotAllowed, NotFound
from resources.tables import experiments, utc_now, versions
from resources.text_search import contains

__all__ = ["Concluded", "Experiment", "Experiments", "Log", "Served"]


@dataclass(frozen=True)
class Concluded:
    """`message` says what became of the champion."""

    experiment: Experiment
    message: str


class Experiments:
    def __init__(self, database: Database, lineage: str) -> None:
        self._database = database
        self._lineage = lineage

    def add(self, design: Design, *, start: bool = True) -> Experiment:
        """A new experiment; NotFound for a version that is none, NotAllowed for one that may not answer."""

        def work(connection: Connection) -> Experiment:
            _check_arms(connection, self._lineage, design)
            values = {"lineage": self._lineage, "name": design.name, "design": design.model_dump(mode="json")}
            new = {"salt": secrets.token_hex(8), "status": "draft", "looks": [], "created_at": utc_now()}
            id = connection.execute(insert(experiments).values(**values, **new).returning(experiments.c.id))
            row = experiment_row(connection, id.scalar_one())
            if start:
                _start(connection, row, design)
            return experiment_of(experiment_row(connection, row.id))

        return self._database.write(work)

    def get(self, id: int) -> Experiment:
        """NotFound when there is none."""
        return experiment_of(self._database.read(lambda c: experiment_row(c, id)))

    def page(
        self, page: int = 1, page_size: int = 50, *, status: Status | None = None, search: str | None = None
    ) -> Page[Experiment]:
        """Newest first, pages from 1."""
        filters = [experiments.c.lineage == self._lineage]
        filters += [experiments.c.status == status] if status else []
        filters += [contains(experiments.c.name, search)] if search else []
        query = select(experiments).where(*filters).order_by(experiments.c.id.desc())

        def work(connection: Connection) -> Page[Experiment]:
            total = connection.execute(select(func.count()).select_from(experiments).where(*filters)).scalar_one()
            rows = connection.execute(query.limit(page_size).offset((page - 1) * page_size)).all()
            return Page([experiment_of(row) for row in rows], page, page_size, int(total))

        return self._database.read(work)

    def running(self) -> Experiment | None:
        """The one that shares out the traffic of `production` now."""
        row = self._database.read(lambda c: running_row(c, self._lineage))
        return experiment_of(row) if row else None

    def pinned(self) -> set[int]:
        """Versions whose files an experiment still needs, or will: its arms, and what waits at staging."""
        open_ones = experiments.c.status.in_(["draft", "running"])
        query = select(experiments).where(experiments.c.lineage == self._lineage)
        rows = self._database.read(lambda c: c.execute(query.where(or_(open_ones, experiments.c.staged > 0))).all())
        found = [experiment_of(row) for row in rows]
        arms = {n for one in found if one.status in ("draft", "running") for n in one.versions}
        return arms | {one.staged for one in found if one.staged is not None}

    def staged(self) -> int | None:
        """The newest version that passed its gate while an experiment ran, and waits since."""
        mine = (experiments.c.lineage == self._lineage) & experiments.c.staged.is_not(None)
        query = select(func.max(experiments.c.staged)).where(mine)
        found = self._database.read(lambda c: c.execute(query).scalar_one())
        return None if found is None else int(found)

    def change(
        self, id: int, *, coverage: float | None = None, description: str | None = None, start: bool = False
    ) -> Experiment:
        """Ramp it, describe it, start a draft. Coverage of a running one only grows: less would move users back."""

        def work(connection: Connection) -> Experiment:
            row = experiment_row(connection, id)
            before = Design.model_validate(row.design)
            wanted = {"coverage": coverage, "description": description}
            changes = {key: value for key, value in wanted.items() if value is not None}
            design = Design.model_validate({**before.model_dump(), **changes})
            _check_open(row)
            if row.status == "running" and design.coverage < before.coverage:
                found = f"found {design.coverage:g}: stop it to take users out"
                raise NotAllowed(f"Expected coverage of at least {before.coverage:g} while it runs, {found}")
            set_values(connection, id, design=design.model_dump(mode="json"))
            if design.coverage != before.coverage:
                message = f"Experiment {row.name} covers {design.coverage:.0%} of the traffic"
                write_event(connection, "experiment_changed", message, data={"experiment": id, **changes})
            if start and row.status == "draft":
                _check_lineage(self._lineage, row)
                _start(connection, row, design)
            return experiment_of(experiment_row(connection, id))

        return self._database.write(work)

    def assign(self, id: int, seen: Served) -> str:
        """Note the exposure and say its arm; an earlier exposure stays. `seen.arm` is what the hash says."""

        def work(connection: Connection) -> str:
            _check_running(experiment_row(connection, id))
            expose(connection, [seen])
            return exposed_arm(connection, id, seen.unit) or seen.arm

        return self._database.write(work)

    def log(self, served: Served) -> Log:
        """One reply, told by another program; NotAllowed where the unit was exposed to another arm."""

        def work(connection: Connection) -> Log:
            row = experiment_row(connection, served.experiment)
            _check_running(row)
            arm = exposed_arm(connection, served.experiment, served.unit) or experiment_of(row).assigned(served.unit)
            if arm != served.arm:
                expected = "no variant, as the experiment does not cover this user" if arm is None else f"variant {arm}"
                raise NotAllowed(f"Expected {expected}, found {served.arm}: ask assign-variant first")
            return write_log(connection, served)

        return self._database.write(work)

    def record(self, served: Sequence[Served]) -> None:
        """Replies that were served here, all in one transaction; repeating it changes nothing."""
        if served:
            self._database.write(lambda c: write_logs(c, served), in_turn=False)

    def logs(self, id: int, page: int = 1, page_size: int = 50) -> Page[Log]:
        """Newest first, pages from 1; NotFound for an unknown experiment."""

        def work(connection: Connection) -> Page[Log]:
            experiment_row(connection, id)
            return logs_page(connection, id, page, page_size)

        return self._database.read(work)

    def figures(self, id: int) -> tuple[Experiment, list[ArmFigures]]:
        """The experiment with the figures of its arms, both as of one moment."""

        def work(connection: Connection) -> tuple[Experiment, list[ArmFigures]]:
            found = experiment_of(experiment_row(connection, id))
            return found, figures(connection, id, found.design, found.started_at)

        return self._database.read(work)

    def results(self, id: int) -> tuple[Experiment, Results]:
        """As they are now; those of its end once it has ended."""
        found = self.get(id)
        if found.results is not None:
            return found, found.results
        found, arms = self.figures(id)
        return found, results(found.design, arms, found.looks, found.window())

    def look(self) -> list[str]:
        """Watch the running experiment, which may end by itself; what was done, in sentences."""
        running = self.running()
        return watch(self._database, *self.figures(running.id)) if running else []

    def stop(self, id: int, reason: str, by: str) -> Experiment:
        """running to stopped; the champion answers everybody again."""

        def work(connection: Connection) -> Experiment:
            row = experiment_row(connection, id)
            _check_running(row)
            message = f"Experiment {row.name} was stopped by {by}: {reason}"
            write_event(connection, "experiment_stopped", message, data={"experiment": id, "reason": reason, "by": by})
            return end(connection, row, "stopped", reason=reason, ended_by=by)

        return self._database.write(work)

    def conclude(
        self, id: int, winner: str, reason: str | None, by: str, can_answer: Collection[str] | None = None
    ) -> Concluded:
        """To completed. The winner becomes champion where the results say so, or where a reason says why else.

        `can_answer` are the models whose files are there (None: all): no other becomes champion.
        """

        def work(connection: Connection) -> Concluded:
            row = experiment_row(connection, id)
            arm = Design.model_validate(row.design).arm(winner)
            if row.status not in ("running", "stopped"):
                raise NotAllowed(f"Expected an experiment that has run, found it {row.status}")
            _check_lineage(self._lineage, row)
            if arm is None:
                raise NotAllowed(f"Expected a variant of this experiment, found {winner!r}")
            found = results_of(connection, row)
            is_there = can_answer is None or arm.model in can_answer
            message = crown(connection, self._lineage, arm, found, reason, f"experiment {row.name}", is_there)
            data = {"experiment": id, "winner": winner, "reason": reason, "by": by}
            said = f"Experiment {row.name} is concluded, {winner} ({arm.model}) wins: {message}"
            write_event(connection, "experiment_concluded", said, arm.version, data)
            ended = end(connection, row, "completed", found, reason=reason or row.reason, winner=winner, ended_by=by)
            return Concluded(ended, message)

        return self._database.write(work)


def _check_arms(connection: Connection, lineage: str, design: Design) -> None:
    for arm in design.arms:
        if arm.version is None:
            continue
        row = connection.execute(select(versions).where(versions.c.n == arm.version)).first()
        if row is None:
            raise NotFound(f"Expected a version {arm.model} for arm {arm.name}, found none")
        if row.base_fingerprint != lineage:
            raise NotAllowed(f"Expected versions of the base that is served, found {arm.model} of another base")
        if row.state != "promoted":
            raise NotAllowed(f"Expected versions that passed their gate, found {arm.model} in state {row.state}")


def _start(connection: Connection, row: Row[Any], design: Design) -> None:
    other = running_row(connection, row.lineage)
    if other is not None:
        found = f"found {other.name} ({other.id}): stop or conclude it first"
        raise NotAllowed(f"Expected no other running experiment over the same traffic, {found}")
    set_values(connection, row.id, status="running", running=True, started_at=utc_now())
    arms = ", ".join(f"{arm.name} = {arm.model} ({arm.weight:g})" for arm in design.arms)
    message = f"Experiment {design.name} runs over {design.coverage:.0%} of the traffic: {arms}"
    write_event(connection, "experiment_started", message, data={"experiment": row.id})


def _check_lineage(lineage: str, row: Row[Any]) -> None:
    """Its arms are versions of its base: those of another can neither answer here nor become champion."""
    if row.lineage != lineage:
        raise NotAllowed(f"Expected an experiment over the base that is served, found {row.name} over another base")


def _check_running(row: Row[Any]) -> None:
    if row.status != "running":
        raise NotAllowed(f"Expected a running experiment, found {row.name} {row.status}")


def _check_open(row: Row[Any]) -> None:
    if row.status not in ("draft", "running"):
        raise NotAllowed(f"Expected an experiment that has not ended, found {row.name} {row.status}")
