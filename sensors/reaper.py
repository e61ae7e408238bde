"""The sensor that ends what can no longer end itself: runs without a process, versions and runs without attempts."""

import socket
import time

import dagster as dg
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord, RunsFilter

from assets.step import PROCESS_TAG, started
from resources.lease_watch import LeaseWatch
from resources.mlflow_store import MlflowUnavailable
from resources.store import NotAllowed, Store, StoreUnavailable
from resources.tracking import RunStatus, Tracking
from resources.versions import Version
from sensors.loop_state import AT_EVERY_TURN, IN_FLIGHT, OURS, cancelled_at, failures_since_asked, runs_of

SECONDS_WITHOUT_PROCESS = 300.0


@dg.sensor(minimum_interval_seconds=AT_EVERY_TURN, default_status=dg.DefaultSensorStatus.RUNNING)
def end_runs_without_a_process(
    context: dg.SensorEvaluationContext,
    store: dg.ResourceParam[Store],
    lease_watch: dg.ResourceParam[LeaseWatch],
    tracking: dg.ResourceParam[Tracking],
) -> dg.SkipReason:
    """Ends zombie runs, which would block the pool for ever, and gives up a version that used its attempts."""
    try:
        version = store.versions.unfinished()
        lease = lease_watch.lease_of(version) if version else "released"
        done = _end_runs(context.instance, version if lease == "alive" else None)
        if version and lease != "alive":
            done += _stop_cancelled(context.instance, store, version)
            if not _is_worked_on(context.instance, version):
                done += _tidy_version(store, tracking, version, any_ended=bool(done))
        if version is None:
            done += _give_up_beginning(context.instance, store)
    except StoreUnavailable as error:
        return dg.SkipReason(f"the store does not answer: {error}")
    return dg.SkipReason("; ".join(done) or "every run has its process")


def _end_runs(instance: DagsterInstance, held: Version | None) -> list[str]:
    statuses = [DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    records = instance.get_run_records(RunsFilter(statuses=statuses), limit=100)
    gone = [record.dagster_run for record in records if record.dagster_run.job_name in OURS and _is_gone(record)]
    return [_end(instance, run) for run in gone if held is None or held.owner != run.run_id]


def _end(instance: DagsterInstance, run: DagsterRun) -> str:
    message = "Its process is gone and its lease is dead: the sensor takes the version up again"
    if run.status == DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, message)
    else:
        instance.report_run_failed(run, message)
    return f"run {run.run_id[:8]} had no process any more and was ended"


def _is_gone(record: RunRecord) -> bool:
    """Whether the process a run named as its own is no longer there; on another machine it never counts as gone."""
    host, _, process = record.dagster_run.tags.get(PROCESS_TAG, "").partition(":")
    if not host:
        return time.time() - (record.start_time or time.time()) > SECONDS_WITHOUT_PROCESS
    pid, _, since = process.partition(":")
    return host == socket.gethostname() and pid.isdecimal() and started(int(pid)) != since


def _is_worked_on(instance: DagsterInstance, version: Version) -> bool:
    """Whether its owner lives: between two steps nothing beats, and a lease may die there, also of the last attempt.

    One whose process is gone was ended before this is asked.
    """
    owner = instance.get_run_record_by_id(version.owner) if version.owner else None
    return owner is not None and owner.dagster_run.status in IN_FLIGHT


def _tidy_version(store: Store, tracking: Tracking, version: Version, *, any_ended: bool) -> list[str]:
    if not version.released and version.attempts >= store.versions.max_attempts and version.desired == "run":
        try:
            store.versions.fail(version.n, "UNKNOWN_ERROR", "its process died and no attempt is left")
        except NotAllowed:  # it was concluded in this moment
            return []
        _end_mlflow_run(tracking, version, "FAILED")
        return [f"v{version.n} used all its attempts and is failed"]
    if any_ended:
        _end_mlflow_run(tracking, version, "KILLED")
    return []


def _stop_cancelled(instance: DagsterInstance, store: Store, version: Version) -> list[str]:
    """A run cancelled in the pages before its process could note it: in the queue, or its process was gone."""
    ended = cancelled_at(runs_of(instance, version.n))
    if ended is None or not store.versions.stop_cancelled(version.n, ended):
        return []
    return [f"v{version.n} is stopped: its run was cancelled by a person"]


def _give_up_beginning(instance: DagsterInstance, store: Store) -> list[str]:
    """Runs that fail before they claim anything leave nothing in the store: what stops them is said here."""
    if store.pause.get() is not None:
        return []
    n = store.versions.next_number()
    failures = failures_since_asked(store, runs_of(instance, n))
    if failures < store.versions.max_attempts:
        return []
    reason = f"{failures} runs failed before v{n} could begin: look at the last run's error, then trigger a run"
    store.pause.set(reason)
    return [f"automatic training is paused: {reason}"]


def _end_mlflow_run(tracking: Tracking, version: Version, status: RunStatus) -> None:
    if not version.mlflow_run_id:
        return
    try:
        tracking.end(version.mlflow_run_id, status)
    except MlflowUnavailable:  # the next attempt opens it again anyway
        return
