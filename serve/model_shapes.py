"""Models as the API shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.manifest import MANIFEST_NAME
from core.verdict import Verdict
from resources.champions import Champion, model_name
from resources.evaluations import Again
from resources.models import Ancestry, Benchmark, Model
from resources.times import moment
from resources.trained import WHOLE_MODELS


@dataclass(frozen=True)
class Shelf:
    """Where adapters lie, with whole models beside them, and what is called by which name here: the base that is
    served, and versions unregistered."""

    adapters: Path
    base_model: str
    lineage: str
    unnamed: str

    def base_of(self, model: Model) -> str:
        """The name of its base, or the fingerprint of one that is served no more and was never named."""
        here = self.base_model if model.base_fingerprint == self.lineage else None
        return here or model.base_model or model.base_fingerprint

    def bytes_of(self, n: int) -> int | None:
        """What its files take; None once they are removed. Blocks for the disk."""
        whole = self.adapters.parent / WHOLE_MODELS / f"v{n}"
        folder = whole if whole.is_dir() else self.adapters / f"v{n}"
        try:
            if not (folder / MANIFEST_NAME).is_file():
                return None
            return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        except OSError:  # removed meanwhile
            return None


def model_row(model: Model, shelf: Shelf) -> dict[str, Any]:
    """A model as a list shows it."""
    size = shelf.bytes_of(model.n)
    return {
        "id": model.n,
        "model_name": model.model_name or shelf.unnamed,
        "version": model.version or f"v{model.n}",
        "native_version": f"v{model.n}",
        "base_model": shelf.base_of(model),
        "base_fingerprint": model.base_fingerprint,
        "status": model.status,
        "verdict": {"promoted": "promoted", "rejected": "rejected"}.get(model.state),
        "override_reason": model.override_reason,
        "model_size_gb": None if size is None else round(size / 1e9, 6),
        "tags": list(model.tags),
        "pinned": model.pinned,
        "method": model.method,
        "dataset_hash": model.dataset_hash,
        "mlflow_version": model.mlflow_version,
        "created_at": moment(model.created_at),
        "finished_at": moment(model.finished_at) if model.finished_at else None,
        "registered_at": moment(model.registered_at) if model.registered_at else None,
    }


def model_details(model: Model, verdict: Verdict | None, scores: Sequence[Benchmark], shelf: Shelf) -> dict[str, Any]:
    """One model with why it is what it is; `benchmarks` are its newest scores."""
    return {
        **model_row(model, shelf),
        "reasons": list(verdict.reasons) if verdict else [],
        "adapter_sha256": model.adapter_sha256,
        "mlflow_run_id": model.mlflow_run_id,
        "benchmarks": {score.name: score.score for score in scores},
    }


def moved_row(before: Model, now: Model, champion: Champion, message: str, shelf: Shelf) -> dict[str, Any]:
    """What a promotion, a rollback or an archiving came to."""
    return {
        "model_id": now.n,
        "model_name": now.model_name or shelf.unnamed,
        "previous_status": before.status,
        "current_status": now.status,
        "promoted_at": moment(champion.changed_at) if now.status == "production" and champion.changed_at else None,
        "message": message,
    }


def benchmark_row(found: Benchmark) -> dict[str, Any]:
    """A score as the API shows it."""
    return {
        "id": found.id,
        "model_id": found.n,
        "benchmark_name": found.name,
        "score": found.score,
        "details": found.details,
        "created_at": moment(found.created_at),
    }


_STATES = {"waiting": "pending", "done": "completed"}


def evaluation_row(found: Again) -> dict[str, Any]:
    """An evaluation as the API shows it; `promoted` is what the gate would say, nothing was moved."""
    verdict = found.verdict
    return {
        "id": found.id,
        "model_id": found.n,
        "status": _STATES.get(found.state, found.state),
        "dataset_id": found.upload,
        "compared_with": model_name(found.compared_with) if verdict else None,
        "promoted": verdict.promoted if verdict else None,
        "reasons": list(verdict.reasons) if verdict else [],
        "metrics": found.figures if verdict else dict.fromkeys(found.metrics),
        "error": found.error,
        "created_at": moment(found.created_at),
        "started_at": moment(found.started_at) if found.started_at else None,
        "finished_at": moment(found.finished_at) if found.finished_at else None,
    }


def comparison(models: Sequence[Model], scores: Sequence[Benchmark], shelf: Shelf) -> dict[str, Any]:
    """The newest scores side by side; `best` is None where fewer than two were measured, or the first are equal."""
    by_name: dict[str, dict[int, Benchmark]] = {}
    for score in scores:
        by_name.setdefault(score.name, {})[score.n] = score
    return {
        "models": [model_row(model, shelf) for model in models],
        "benchmarks": [_compared(name, found, [model.n for model in models]) for name, found in by_name.items()],
    }


def _compared(name: str, found: dict[int, Benchmark], ns: Sequence[int]) -> dict[str, Any]:
    top = max(score.score for score in found.values())
    first = [n for n in ns if n in found and found[n].score == top]
    return {
        "benchmark_name": name,
        "best": first[0] if len(first) == 1 and len(found) > 1 else None,
        "scores": [
            {
                "model_id": n,
                "score": found[n].score,
                "behind_best": round(top - found[n].score, 12),
                "created_at": moment(found[n].created_at),
            }
            for n in ns
            if n in found
        ],
        "not_measured": [n for n in ns if n not in found],
    }


def lineage_row(ancestry: Ancestry, shelf: Shelf) -> dict[str, Any]:
    """Where a model comes from, as the API shows it; times oldest first."""
    model, version = ancestry.model, ancestry.version
    starts_from = version.starts_from
    return {
        "id": model.n,
        "model_name": model.model_name or shelf.unnamed,
        "version": model.version or f"v{model.n}",
        "status": model.status,
        "base": {"base_model": shelf.base_of(model), "fingerprint": model.base_fingerprint},
        "start_from": "base" if starts_from is None else f"v{starts_from}",
        "parent_id": starts_from,
        "ancestors": list(ancestry.ancestors),
        "champion_when_claimed": model_name(version.parent),
        "dataset": {"hash": version.dataset_hash, "counts": version.counts},
        "conversations": {"by_provenance": ancestry.provenance, "by_source": ancestry.sources},
        "experiments": [
            {
                "experiment_id": tried.id,
                "experiment_name": tried.name,
                "arm": tried.arm,
                "status": tried.status,
                "won": tried.winner == tried.arm if tried.winner else None,
                "started_at": moment(tried.started_at) if tried.started_at else None,
                "ended_at": moment(tried.ended_at) if tried.ended_at else None,
            }
            for tried in ancestry.experiments
        ],
        "replacements": [
            {
                "at": moment(move.at),
                "from": model_name(move.previous),
                "to": model_name(move.n),
                "by": move.by,
                "reason": move.reason,
                "override": move.override,
            }
            for move in ancestry.moves
        ],
    }
