"""What every step of the graph shares: its claim on the version, and how a refusal is told to Dagster."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from core.error_classes import advice
from resources.holding import NothingToDo, begin, error_class_of, go_on, holding
from resources.mlflow_store import MlflowUnavailable
from resources.settings import Settings
from resources.store import Fenced, Store, StoreError
from resources.trainer import TrainerFailed
from resources.versions import Claim

VERSION_TAG = "whetstone/version"
DEAD_BEAT_TAG = "whetstone/dead_beat"
TRIGGER_TAG = "whetstone/trigger"
# the prefix keeps it off the pages
PROCESS_TAG = ".dagster/whetstone/process"
# Dagster's own, on a run that a person started once more
RE_EXECUTED_TAG = "dagster/parent_run_id"
PROGRESS_TAG = "whetstone/progress"
POOL = "train"
ORDER = ("raw_conversations", "validated_dataset", "lora_adapter", "evaluation_report", "registered_model")


@contextmanager
def step(
    context: dg.AssetExecutionContext, store: Store, settings: Settings, *, begins: bool = False
) -> Iterator[Claim]:
    """The claim on the version this run works on, held while the body runs; a refusal is a Failure in one sentence."""
    tag = context.instance.add_run_tags
    tag(context.run.run_id, {PROCESS_TAG: this_process()})
    claim: Claim | None = None
    try:
        owner, lease = context.run.run_id, settings.lease_seconds
        re_executed = RE_EXECUTED_TAG in context.run.tags
        if re_executed:
            _resume_what_was_terminated(context, store)
        if begins:
            # a run that a person starts once more has the tags of the first, but its own reason
            trigger = None if re_executed else _number(context, TRIGGER_TAG)
            claim = begin(store, owner, dead_beat=_number(context, DEAD_BEAT_TAG), lease_seconds=lease, trigger=trigger)
        else:
            claim = go_on(store, owner, dead_beat=_number(context, DEAD_BEAT_TAG), lease_seconds=lease)
        tag(context.run.run_id, {VERSION_TAG: str(claim.n)})
        with _heeding_the_pages(context, store, claim), holding(store, claim, keep=_more_follows(context)):
            yield claim
    except (NothingToDo, StoreError, TrainerFailed, MlflowUnavailable, ValueError) as refusal:
        said = _given_up(store, claim, refusal) or str(refusal)
        raise dg.Failure(said, metadata=_what_to_do(refusal), allow_retries=False) from refusal


def _resume_what_was_terminated(context: dg.AssetExecutionContext, store: Store) -> None:
    """Who starts a terminated run once more in Dagster's pages lets its version go on; a later stop holds."""
    version = store.versions.unfinished()
    record = context.instance.get_run_record_by_id(context.run.run_id)
    if version is None or version.desired != "stop" or record is None:
        return
    if not version.released or context.run.tags.get(VERSION_TAG) != str(version.n):
        return
    stops = store.events.page(limit=1, type="stop_asked")
    if stops and stops[0].timestamp.timestamp() < record.create_timestamp.timestamp():
        store.versions.resume(version.n)


def _given_up(store: Store, claim: Claim | None, refusal: Exception) -> str | None:
    """What is to be said of a lease that was lost because a person cancelled the version."""
    if not isinstance(refusal, Fenced) or claim is None:
        return None
    try:
        version = store.versions.get(claim.n)
    except StoreError:
        return None
    given_up = f"v{claim.n} was given up ({version.error}): its conversations wait for the next version"
    return given_up if version.state == "abandoned" else None


def _what_to_do(refusal: Exception) -> dict[str, str]:
    """What the page of the run shows beside the sentence; a refusal that is no failure of the training needs none."""
    if isinstance(refusal, NothingToDo | StoreError):
        return {}
    found = error_class_of(refusal)
    return {"error_class": found, "what_to_do": advice(found)}


@contextmanager
def _heeding_the_pages(context: dg.AssetExecutionContext, store: Store, claim: Claim) -> Iterator[None]:
    """A run that a person terminates in Dagster's pages stops its version, as the API would; a shutdown does not."""
    try:
        yield
    except Exception:
        raise
    except BaseException as interruption:
        run = context.instance.get_run_by_id(context.run.run_id)
        if run is not None and run.status == dg.DagsterRunStatus.CANCELING:
            try:
                store.versions.stop(claim.n)
            except StoreError as error:  # the sensor that ends runs notes it later
                interruption.add_note(f"The stop of v{claim.n} is not noted yet: {error}")
        raise


def folder(settings: Settings, kind: str, n: int) -> Path:
    """`kind` is one of the folders of the state: datasets, adapters, reports."""
    return settings.state_dir / kind / f"v{n}"


def this_process() -> str:
    """Host, process id and its start time, so that a number given out again is not taken for this process."""
    return f"{socket.gethostname()}:{os.getpid()}:{started(os.getpid())}"


def started(pid: int) -> str:
    """When a process started, in ticks of the kernel; empty when it is gone or the machine does not say."""
    try:
        # the name of the program may hold spaces and brackets; the fields after it are counted from its last bracket
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _number(context: dg.AssetExecutionContext, name: str) -> int | None:
    tag = context.run.tags.get(name, "")
    return int(tag) if tag.isdecimal() else None


def _more_follows(context: dg.AssetExecutionContext) -> bool:
    """Whether a later step of this run will need the lease."""
    later = ORDER[ORDER.index(context.asset_key.to_user_string()) + 1 :]
    selected = context.run.asset_selection
    return bool(later) if selected is None else any(dg.AssetKey(name) in selected for name in later)
