"""Experiments and their replies as the API shows them."""

from typing import Any

from resources.experiments import Experiment, Log
from resources.times import moment


def experiment_row(experiment: Experiment) -> dict[str, Any]:
    """An experiment as the API shows it."""
    design = experiment.design
    arms = [{"name": a.name, "model": a.model, "model_id": a.version, "weight": a.weight} for a in design.arms]
    two = arms if len(arms) == 2 else [{"model_id": None}] * 2
    return {
        "id": experiment.id,
        "experiment_name": design.name,
        "description": design.description,
        "status": experiment.status,
        "model_a_id": two[0]["model_id"],
        "model_b_id": two[1]["model_id"],
        "arms": arms,
        "traffic_split": {arm.name: arm.weight for arm in design.arms},
        "coverage": design.coverage,
        "target_samples": design.target_samples,
        "success_metric": design.success_metric,
        "minimum_effect": design.minimum_effect,
        "winner": experiment.winner,
        "reason": experiment.reason,
        "ended_by": experiment.ended_by,
        "staged_version": experiment.staged,
        "created_at": moment(experiment.created_at),
        "started_at": moment(experiment.started_at) if experiment.started_at else None,
        "ended_at": moment(experiment.ended_at) if experiment.ended_at else None,
    }


def log_row(log: Log) -> dict[str, Any]:
    """A reply as the API shows it; of those served here the words stand in their conversation alone."""
    served = log.served
    return {
        "id": log.id,
        "experiment_id": served.experiment,
        "user_id": served.user_id,
        "session_id": served.session_id,
        "variant": served.arm,
        "query": served.query,
        "response": served.response,
        "response_time_ms": None if served.seconds is None else round(served.seconds * 1000, 3),
        "user_rating": served.rating,
        "user_feedback": served.comment,
        "conversation_id": served.conversation_id,
        "failed": served.failed,
        "created_at": moment(served.created_at),
    }
