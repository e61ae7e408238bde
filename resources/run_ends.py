"""MLflow runs of concluded versions that are still open: MLflow was away when they should have been ended."""

from resources.store import Store
from resources.tracking import Tracking


def end_runs(store: Store, tracking: Tracking, ended: set[int]) -> list[str]:
    """End those of the last versions that are not in `ended`, and add them to it; MlflowUnavailable says try again."""
    done = []
    for version in store.versions.history(limit=5):
        concluded = version.state in ("promoted", "rejected") and version.mlflow_run_id is not None
        if concluded and version.n not in ended:
            tracking.end(str(version.mlflow_run_id), "FINISHED")
            ended.add(version.n)
            done.append(f"v{version.n}")
    return done
