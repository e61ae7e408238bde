"""The figures of each arm, summed a user in the database."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, case, func, literal, select

from core.arm_figures import ArmFigures, Sums
from core.experiments import Design
from core.two_means import Floats
from resources.tables import conversations, experiment_logs, exposures, feedback

LEAST_WITH_PAST = 30  # below, what a few users did before says too little to correct by


def figures(connection: Connection, experiment: int, design: Design, started_at: Any = None) -> list[ArmFigures]:
    """In the order of the design's arms."""
    rows = connection.execute(_by_unit(experiment)).all()
    pasts = _pasts(connection, experiment, started_at) if started_at else {}
    exposed = _exposed(connection, experiment)
    return [
        _arm(arm.name, exposed.get(arm.name, 0), [row for row in rows if row.arm == arm.name], pasts)
        for arm in design.arms
    ]


def _exposed(connection: Connection, experiment: int) -> dict[str, int]:
    query = select(exposures.c.arm, func.count()).where(exposures.c.experiment == experiment)
    return {arm: int(n) for arm, n in connection.execute(query.group_by(exposures.c.arm))}


def _by_unit(experiment: int) -> Select[Any]:
    """Sums a unit. A reply counts as answered unless it failed; ratings here are told by others or by feedback."""
    log, said = experiment_logs.c, conversations.c
    corrected = select(feedback.c.conversation_id.label("id")).where(feedback.c.corrected_reply.is_not(None))
    redone = corrected.distinct().subquery()
    rating = func.coalesce(log.rating, said.rating)
    sums: Mapping[str, Any] = {
        "replies": func.count(),
        "failed": func.sum(_one_if(log.failed)),
        "timed": func.count(log.seconds),
        "seconds": func.coalesce(func.sum(log.seconds), 0.0),
        "measured": func.count(log.length),
        "length": func.coalesce(func.sum(log.length), 0),
        "empty": func.sum(_one_if(log.length == 0)),
        "rated": func.count(rating),
        "rating": func.coalesce(func.sum(rating), 0),
        "thumbs": func.count(said.thumb),
        "up": func.sum(_one_if(said.thumb == 1)),
        "kept": func.count(said.id),
        "corrected": func.count(redone.c.id),
    }
    # where the arm failed another model answered, and what is said of that reply is not said of the arm
    joined = experiment_logs.outerjoin(conversations, (said.id == log.conversation_id) & ~log.failed)
    joined = joined.outerjoin(redone, redone.c.id == said.id)
    columns = [value.label(name) for name, value in sums.items()]
    query = select(log.unit, log.arm, *columns).select_from(joined).where(log.experiment == experiment)
    return query.group_by(log.unit, log.arm).order_by(log.unit)


def _one_if(condition: Any) -> Any:
    return case((condition, 1), else_=0)


# metric: the sum a user, and of how many
_METRICS = {
    "rating": ("rating", "rated"),
    "thumbs_up": ("up", "thumbs"),
    "corrected": ("corrected", "kept"),
    "latency": ("seconds", "timed"),
    "length": ("length", "measured"),
    "errors": ("failed", "replies"),
    "empty": ("empty", "measured"),
}


def _arm(name: str, exposed: int, rows: list[Any], pasts: Mapping[str, float]) -> ArmFigures:
    metrics = {}
    for metric, (total, count) in _METRICS.items():
        counted = [row for row in rows if getattr(row, count)]
        past = _past([row.unit for row in counted], pasts) if metric == "rating" else None
        metrics[metric] = Sums(_column(counted, total), _column(counted, count), past)
    return ArmFigures(name, exposed, metrics)


def _column(rows: list[Any], name: str) -> Floats:
    return np.array([float(getattr(row, name)) for row in rows], dtype=np.float64)


def _past(units: list[str], pasts: Mapping[str, float]) -> Floats | None:
    """Whoever has no past counts as the average one, so that they change nothing."""
    known = [pasts[unit] for unit in units if unit in pasts]
    if len(known) < LEAST_WITH_PAST:
        return None
    mean = float(np.mean(known))
    return np.array([pasts.get(unit, mean) for unit in units], dtype=np.float64)


def _pasts(connection: Connection, experiment: int, started_at: Any) -> dict[str, float]:
    """The mean rating of each exposed user before the experiment began."""
    unit = literal("user:") + conversations.c.user_id
    query = (
        select(unit.label("unit"), func.avg(conversations.c.rating))
        .join(exposures, (exposures.c.unit == unit) & (exposures.c.experiment == experiment))
        .where(conversations.c.rating.is_not(None), conversations.c.created_at < started_at)
        .group_by(unit)
    )
    return {row[0]: float(row[1]) for row in connection.execute(query)}
