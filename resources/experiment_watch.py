"""Watches a running experiment: its guardrails, its split, and the look that is due."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from core.arm_figures import ArmFigures
from core.confidence_sequence import FIRST_LOOK
from core.experiment_decision import Split, split_of
from core.experiment_results import due_look
from core.experiments import Look
from core.guardrails import Harm, breach
from resources.database import Database
from resources.event_rows import write_event
from resources.experiment_endings import end, set_values
from resources.experiment_rows import Experiment, experiment_row
from resources.tables import events, utc_now


def watch(database: Database, experiment: Experiment, arms: Sequence[ArmFigures]) -> list[str]:
    """What was done, in sentences; nothing where somebody else did it meanwhile."""
    harm = breach(arms)
    if harm is not None:
        return database.write(lambda c: _stop(c, experiment, harm))
    split = split_of(experiment.design, arms)
    look = due_look(experiment.design, arms, experiment.looks, utc_now())
    done = []
    if not split.ok and sum(split.seen.values()) >= FIRST_LOOK:
        done += database.write(lambda c: _tell_of_split(c, experiment, split))
    if look is not None:
        done += database.write(lambda c: _take(c, experiment, look))
    return done


def _stop(connection: Connection, experiment: Experiment, harm: Harm) -> list[str]:
    row = experiment_row(connection, experiment.id)
    if row.status != "running":
        return []
    message = f"Experiment {row.name} stopped by itself, and the champion answers: {harm.sentence}"
    write_event(connection, "guardrail_stop", message, data={"experiment": row.id, **harm.model_dump(mode="json")})
    end(connection, row, "stopped", reason=harm.sentence, ended_by="guardrail")
    return [message]


def _tell_of_split(connection: Connection, experiment: Experiment, split: Split) -> list[str]:
    """Once: its results show nothing any more, and somebody has to find out why."""
    told = select(events.c.data).where(events.c.type == "experiment_split").order_by(events.c.id.desc()).limit(50)
    if any(data.get("experiment") == experiment.id for data in connection.execute(told).scalars()):
        return []
    message = f"Experiment {experiment.design.name}: the users an arm do not fit the planned split"
    data = {"experiment": experiment.id, **split.model_dump(mode="json")}
    write_event(connection, "experiment_split", message, data=data)
    return [message]


def _take(connection: Connection, experiment: Experiment, look: Look) -> list[str]:
    row = experiment_row(connection, experiment.id)
    if row.status != "running" or len(row.looks) != len(experiment.looks):
        return []
    set_values(connection, row.id, looks=[*row.looks, look.model_dump(mode="json")])
    message = f"Experiment {row.name}: look {len(row.looks) + 1} at {look.fraction:.0%} of the planned users"
    write_event(connection, "experiment_look", message, data={"experiment": row.id, "fraction": look.fraction})
    return [message]
