"""The sensor that starts a run when a batch is full, a person asks, or a version is unfinished. It only reads."""

import dagster as dg

from assets.jobs import retrain
from assets.step import DEAD_BEAT_TAG, TRIGGER_TAG, VERSION_TAG
from core.scheduling import Skip, decide
from resources.lease_watch import LeaseWatch
from resources.store import Store, StoreUnavailable
from sensors.loop_state import AT_EVERY_TURN, gather


@dg.sensor(job=retrain, minimum_interval_seconds=AT_EVERY_TURN, default_status=dg.DefaultSensorStatus.RUNNING)
def retrain_at_batch_threshold(
    context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store], lease_watch: dg.ResourceParam[LeaseWatch]
) -> dg.RunRequest | dg.SkipReason:
    """Request the next version's run, or say in one sentence why not."""
    try:
        state = gather(context.instance, store, lease_watch)
    except StoreUnavailable as error:
        return dg.SkipReason(f"the store does not answer: {error}")
    decision = decide(state)
    if isinstance(decision, Skip):
        return dg.SkipReason(decision.reason)
    tags = {VERSION_TAG: str(decision.version), "whetstone/reason": decision.reason, "dagster/max_retries": "0"}
    if state.unfinished and state.unfinished.lease == "dead":
        tags[DEAD_BEAT_TAG] = str(state.unfinished.beat)
    if state.trigger and not state.unfinished:
        tags[TRIGGER_TAG] = str(state.trigger.id)
    return dg.RunRequest(run_key=decision.run_key, tags=tags)
