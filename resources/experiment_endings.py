"""How an experiment ends: its results kept, its winner crowned, and what waited at staging promoted."""

from typing import Any

from sqlalchemy import Connection, Row, update

from core.experiment_results import Results, results
from core.experiments import Arm, Status
from resources.champions import champion_row, model_name, move_champion
from resources.event_rows import write_event
from resources.experiment_figures import figures
from resources.experiment_rows import Experiment, experiment_of, experiment_row
from resources.knocking import changed
from resources.tables import experiments, utc_now


def results_of(connection: Connection, row: Row[Any]) -> Results:
    """Those of its end, or as they are now."""
    found = experiment_of(row)
    if found.results is not None:
        return found.results
    arms = figures(connection, row.id, found.design, found.started_at)
    return results(found.design, arms, found.looks, found.window())


def end(
    connection: Connection, row: Row[Any], status: Status, found: Results | None = None, **values: Any
) -> Experiment:
    """Keep the results (`found`, where they are known) and let the traffic go; what waited is promoted if it may be."""
    kept = (found or results_of(connection, row)).model_dump(mode="json")
    ended_at = row.ended_at or utc_now()
    set_values(connection, row.id, status=status, running=None, results=kept, ended_at=ended_at, **values)
    if row.running and row.staged is not None:
        _release(connection, row)
    return experiment_of(experiment_row(connection, row.id))


def _release(connection: Connection, row: Row[Any]) -> None:
    """What waited becomes champion over the one it was compared with, and over no other."""
    champion = champion_row(connection, row.lineage)
    now = champion.n if champion else None
    if now == row.staged:  # a person did not wait
        set_values(connection, row.id, staged=None)
        return
    if now != row.staged_against:
        names = model_name(row.staged), model_name(row.staged_against), model_name(now)
        message = "{} stays at staging: it was compared with {}, and {} answers now".format(*names)
        write_event(connection, "staged", message, row.staged, {"experiment": row.id})
        return
    why = f"it passed its gate while the experiment {row.name} ran"
    move_champion(connection, row.lineage, row.staged, why, "the gate")
    message = f"{model_name(row.staged)} is promoted: {why}"
    write_event(connection, "promoted", message, row.staged, {"experiment": row.id})
    set_values(connection, row.id, staged=None)


def crown(
    connection: Connection, lineage: str, arm: Arm, found: Results, reason: str | None, by: str, is_there: bool
) -> str:
    """Make the winner champion where the results or a reason say so; what became of it, in words."""
    champion = champion_row(connection, lineage)
    now = champion.n if champion else None
    if arm.model == "teacher":
        return f"{model_name(now)} stays champion; set answer_with to let the teacher answer"
    if arm.model == "agent":
        return f"{model_name(now)} stays champion; ask for the model agent to let it answer"
    if arm.version == now:
        return f"{model_name(now)} stays champion"
    if not (reason or (found.outcome == "ship" and found.winner == arm.name)):
        return f"{model_name(now)} stays champion, as the results do not name {arm.name} (a reason would override them)"
    if not is_there:
        return f"{model_name(now)} stays champion, as the adapter of {arm.model} is no longer on disk"
    why = reason or found.recommendation
    move_champion(connection, lineage, arm.version, why, by)
    message = f"{model_name(arm.version)} answers instead of {model_name(now)}, asked by {by}: {why}"
    write_event(connection, "champion_moved", message, arm.version, {"from": now, "to": arm.version, "by": by})
    return f"{model_name(arm.version)} is champion"


def set_values(connection: Connection, id: int, **values: Any) -> None:
    """Change columns of one experiment."""
    connection.execute(update(experiments).where(experiments.c.id == id).values(**values))
    changed(connection)
