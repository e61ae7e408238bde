"""What the retrain sensor sees: the store, the lease it watches, and Dagster's own runs."""

from collections.abc import Sequence
from datetime import UTC, datetime

from dagster import DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter

from assets.jobs import RETRAIN
from assets.step import VERSION_TAG
from core.scheduling import LoopState, UnfinishedVersion, WaitingTrigger
from resources.lease_watch import LeaseWatch
from resources.store import Store
from resources.triggers import Trigger
from resources.version_rows import FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS
from resources.versions import Version

# Dagster holds a sensor to its least interval by the wall clock: set back by an hour, it would not tick for one.
# Far below zero there is none, and the daemon comes by every five seconds.
AT_EVERY_TURN = -(10**9)
# "Materialize" in Dagster's pages runs under this name
AD_HOC_JOB = "__ASSET_JOB"
OURS = frozenset({RETRAIN, AD_HOC_JOB})
IN_FLIGHT = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def gather(instance: DagsterInstance, store: Store, watch: LeaseWatch, now: datetime | None = None) -> LoopState:
    """Everything `core.scheduling.decide` asks for; reads only."""
    now = now or datetime.now(UTC)
    version = store.versions.unfinished()
    number = version.n if version else store.versions.next_number()
    runs = runs_of(instance, number)
    trigger = store.triggers.next()
    failures = failures_since_asked(store, runs)
    return LoopState(
        settings=store.settings.get(),
        waiting=store.conversations.waiting(),
        next_number=store.versions.next_number(),
        run_in_flight=run_in_flight(instance),
        unfinished=_unfinished(store, watch, version) if version else None,
        trigger=WaitingTrigger(id=trigger.id, force=trigger.force) if trigger else None,
        attempts=len(runs),
        # the store itself counts the attempts at a version that was claimed, and ends it after the last
        max_attempts=len(runs) + (1 if version else max(0, store.versions.max_attempts - failures)) or 1,
        backoff_seconds_left=_claimed_backoff(watch, version) if version else _unclaimed_backoff(runs, failures, now),
        cancelled_by_person=_cancelled(store, runs, None if version else trigger),
        paused=store.pause.get(),
        seconds_since_finished=_since_finished(store, now),
        ingesting=store.uploads.being_ingested(now),
    )


def runs_of(instance: DagsterInstance, n: int) -> Sequence[RunRecord]:
    """Newest first."""
    return instance.get_run_records(RunsFilter(tags={VERSION_TAG: str(n)}), limit=100)


def run_in_flight(instance: DagsterInstance) -> str | None:
    """Id of a run that works on a version or is about to."""
    runs = instance.get_runs(RunsFilter(statuses=IN_FLIGHT), limit=100)
    return next((run.run_id for run in runs if run.job_name in OURS), None)


def _unfinished(store: Store, watch: LeaseWatch, version: Version) -> UnfinishedVersion:
    progress = store.progress.latest()
    return UnfinishedVersion(
        n=version.n,
        lease=watch.lease_of(version),
        beat=version.beat,
        desired=version.desired,
        owner=version.owner,
        step=progress.step if progress else None,
    )


def _claimed_backoff(watch: LeaseWatch, version: Version) -> float:
    return max(0.0, version.backoff_seconds - watch.unchanged_seconds(version)) if version.backoff_seconds else 0.0


def _unclaimed_backoff(runs: Sequence[RunRecord], failures: int, now: datetime) -> float:
    """Runs that failed before they claimed anything: nothing in the store knows of them."""
    if not failures or not runs or runs[0].end_time is None:
        return 0.0
    pause = min(FIRST_BACKOFF_SECONDS * 2.0 ** (failures - 1), LONGEST_BACKOFF_SECONDS)
    ago = now.timestamp() - runs[0].end_time
    # an end that is still to come: the clock was set back since, and nobody knows how long ago it was
    return max(0.0, pause - ago) if ago >= 0 else 0.0


def failures_since_asked(store: Store, runs: Sequence[RunRecord]) -> int:
    """Runs that failed after a person last asked for training: who asks has seen what failed before."""
    asked = _last(store, "trigger_added", "resume_asked", "unpaused")
    failed = [_ended(record) for record in runs if record.dagster_run.status == DagsterRunStatus.FAILURE]
    return sum(asked is None or moment > asked for moment in failed)


def _last(store: Store, *types: str) -> datetime | None:
    newest = [event.timestamp for type in types for event in store.events.page(limit=1, type=type)]
    return max(newest, default=None)


def _ended(record: RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time or record.create_timestamp.timestamp(), UTC)


def cancelled_at(runs: Sequence[RunRecord]) -> datetime | None:
    """When the last of these runs was cancelled in Dagster's pages; None where it ended otherwise, or goes on."""
    if not runs or runs[0].dagster_run.status != DagsterRunStatus.CANCELED:
        return None
    return _ended(runs[0])


def _cancelled(store: Store, runs: Sequence[RunRecord], trigger: Trigger | None) -> bool:
    """Whether a person cancelled the last run, and nobody asked to go on since."""
    ended = cancelled_at(runs)
    if ended is None:
        return False
    asked = [_last(store, "resume_asked"), trigger.created_at if trigger else None]
    return not any(moment is not None and moment > ended for moment in asked)


def _since_finished(store: Store, now: datetime) -> float | None:
    last = store.versions.history(limit=1)
    finished = last[0].finished_at if last else None
    # one that is still to come: the clock was set back since
    return (now - finished).total_seconds() if finished and finished <= now else None
