"""What the loop says of itself, read from the store; each function is one thread hop and a few short queries."""

import math
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.error_classes import advice
from core.live_settings import LiveSettings
from core.pii import mask_personal
from resources.conversations import StoredConversation
from resources.events import Event
from resources.report import read_evaluation
from resources.store import Store
from resources.times import moment
from resources.versions import Version


def status(store: Store) -> dict[str, Any]:
    """`GET /mlops/status`."""
    counts, live, unfinished = store.conversations.counts(), store.settings.get(), store.versions.unfinished()
    performance = store.versions.performance()
    in_progress = unfinished is not None and working(unfinished)
    due = counts.waiting >= live.finetune_batch_size
    return {
        "collector_stats": {
            "total_collected": counts.total,
            "filtered_out": counts.filtered_out,
            "collection_rate": round(100 * counts.total / counts.rows, 1) if counts.rows else None,
            "file_size_kb": round(store.size_bytes() / 1024, 1),
            "eligible": counts.eligible,
            "waiting": counts.waiting,
            "incomplete": counts.incomplete,
        },
        "training_status": {
            "batch_size": live.finetune_batch_size,
            "in_progress": in_progress,
            "pending_request": in_progress and (due or store.triggers.next() is not None),
            "current_version": champion(store),
            "should_train": should_train(live, counts.waiting),
            "waiting": counts.waiting,
            "paused": store.pause.get(),
            "last_verdict": last_verdict(store),
        },
        "performance_metrics": {
            "avg_training_time_seconds": performance.mean_seconds,
            "success_rate": success_rate(performance.finished, performance.failed),
        },
    }


def progress(store: Store) -> dict[str, Any]:
    """`GET /mlops/training-progress`."""
    live, waiting, version = store.settings.get(), store.conversations.waiting(), store.versions.unfinished()
    queued = store.triggers.next() is not None or should_train(live, waiting)
    latest = store.progress.latest() if version else None
    state = loop_state(version, queued)
    return {
        "state": state,
        "version": version.n if version else None,
        "step": latest.step if latest else None,
        "total_steps": latest.total_steps if latest else None,
        "progress": round(latest.step / latest.total_steps, 4) if latest and latest.total_steps else 0.0,
        "loss": finite(latest.loss) if latest else None,
        "learning_rate": finite(latest.learning_rate) if latest else None,
        "tokens_per_second": finite(latest.tokens_per_second) if latest else None,
        "eta_seconds": finite(latest.eta_seconds) if latest and state == "training" else None,
        "batch_size": live.finetune_batch_size,
        "new_data_count": waiting,
        "remaining": max(0, live.finetune_batch_size - waiting),
        "training_queued": queued,
    }


def chat_figures(store: Store, total: int | None = None) -> dict[str, Any]:
    """What `/chat` tells of the loop beside its answer; `total` spares it counting all that was ever collected."""
    waiting, live = store.conversations.waiting(), store.settings.get()
    due = should_train(live, waiting)
    return {
        "total_collected": store.conversations.counts().total if total is None else total,
        "new_data_count": waiting,
        "should_train": due,
        "training_queued": due or store.triggers.next() is not None,
    }


LOOP_STATES = ("idle", "queued", "training", "evaluating", "registering", "stopped")


def loop_state(version: Version | None, queued: bool) -> str:
    """One word for where the loop is."""
    if version is None:
        return "queued" if queued else "idle"
    if version.desired == "stop":
        return "stopped"
    if version.released:
        return "queued"
    if version.state == "open":
        return "training"
    return "registering" if version.verdict else "evaluating"


def working(version: Version) -> bool:
    """Whether a run holds it, as far as the store knows."""
    return version.desired == "run" and not version.released


def should_train(live: LiveSettings, waiting: int) -> bool:
    return live.finetune_enabled and live.finetune_auto_trigger and waiting >= live.finetune_batch_size


def success_rate(finished: int, failed: int) -> float | None:
    """Percentage of finished runs that did not fail; None before the first."""
    return round(100 * (finished - failed) / finished, 1) if finished else None


def champion(store: Store) -> str:
    n = store.champion.get().n
    return "base" if n is None else f"v{n}"


def last_verdict(store: Store) -> dict[str, Any] | None:
    judged = next((version for version in store.versions.history(limit=20) if version.verdict), None)
    if judged is None or judged.verdict is None:
        return None
    return {"version": judged.n, "promoted": judged.verdict.promoted, "reasons": list(judged.verdict.reasons)}


def history_row(version: Version) -> dict[str, Any]:
    """One item of `GET /mlops/training-history`."""
    verdict = version.verdict
    return {
        "version": version.n,
        "state": version.state,
        "started_at": _moment(version.started_at),
        "finished_at": _moment(version.finished_at),
        "seconds": _seconds(version),
        "conversations": version.counts.get("claimed"),
        "counts": version.counts,
        "method": version.method,
        "verdict": None if verdict is None else "promoted" if verdict.promoted else "rejected",
        "reasons": list(verdict.reasons) if verdict else [],
        "held_out_loss": _held_out_loss(version.report_path) if verdict and version.report_path else None,
        "mlflow_run_id": version.mlflow_run_id,
        "mlflow_version": version.mlflow_version,
        "attempts": version.attempts,
        "error": version.error,
        "error_class": version.error_class,
        "advice": advice(version.error_class, version.n) if version.error_class else None,
    }


def conversation_row(stored: StoredConversation) -> dict[str, Any]:
    """One item of `GET /mlops/conversations`: nobody is reached through what a page shows."""
    shown, _ = mask_personal(stored.conversation, None)
    return {
        **shown.model_dump(mode="json"),
        "created_at": moment(stored.conversation.created_at),
        "seq": stored.seq,
        "eligible": stored.eligible,
        "reason": stored.reason,
        "version": stored.version,
        "side": stored.side,
        "findings": [finding.model_dump(mode="json") for finding in stored.findings],
        "rating": stored.rating,
        "thumb": stored.thumb,
    }


def event_row(event: Event) -> dict[str, Any]:
    """One item of `GET /mlops/events`."""
    return {
        "id": event.id,
        "timestamp": moment(event.timestamp),
        "type": event.type,
        "version": event.version,
        "message": event.message,
        "data": event.data,
    }


@lru_cache(maxsize=256)
def _held_out_loss(report: str) -> float | None:
    """The candidate's mean loss on what was held out; None where the report is gone. It never changes once written."""
    try:
        held_out = read_evaluation(Path(report).parent).held_out
    except (OSError, ValueError):
        return None
    return finite(sum(pair.candidate for pair in held_out) / len(held_out)) if held_out else None


def finite(number: float | None) -> float | None:
    """JSON has no NaN: a loss that is none is told as None."""
    return number if number is not None and math.isfinite(number) else None


def _moment(at: datetime | None) -> str | None:
    return moment(at) if at else None


def _seconds(version: Version) -> float | None:
    return (version.finished_at - version.started_at).total_seconds() if version.finished_at else None
