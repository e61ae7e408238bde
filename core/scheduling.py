"""What the retrain sensor does next, as a pure function of what it sees."""

import math
from typing import Literal

from pydantic import Field

from core.domain import Domain
from core.live_settings import LiveSettings

Lease = Literal["alive", "dead", "released"]

# attempts at one version, after which it is failed
MAX_ATTEMPTS = 5


class UnfinishedVersion(Domain):
    """A version in state open or trained: somebody works on it, or somebody has to; `lease` was judged by `beat`."""

    n: int = Field(ge=1)
    lease: Lease
    beat: int = 0
    desired: Literal["run", "stop"] = "run"
    owner: str | None = None
    step: int | None = None


class WaitingTrigger(Domain):
    id: int
    force: bool


class LoopState(Domain):
    """`attempts`, `backoff_seconds_left` and `cancelled_by_person` speak of the version that would be requested.

    `ingesting` is an uploaded dataset that is being taken in.
    """

    settings: LiveSettings
    waiting: int = Field(ge=0)
    next_number: int = Field(ge=1)
    run_in_flight: str | None = None
    unfinished: UnfinishedVersion | None = None
    trigger: WaitingTrigger | None = None
    attempts: int = Field(default=0, ge=0)
    max_attempts: int = Field(default=MAX_ATTEMPTS, ge=1)
    backoff_seconds_left: float = Field(default=0.0, ge=0.0)
    cancelled_by_person: bool = False
    paused: str | None = None
    seconds_since_finished: float | None = Field(default=None, ge=0.0)
    ingesting: int | None = None


class Request(Domain):
    version: int
    attempt: int
    resume: bool
    reason: str

    @property
    def run_key(self) -> str:
        """Equal for the same attempt at the same version, so that no crash of the sensor doubles a run."""
        return f"v{self.version}.a{self.attempt}"


class Skip(Domain):
    reason: str


def decide(state: LoopState) -> Request | Skip:
    """Start a run, or say in one sentence why not."""
    old = state.unfinished
    obstacle = _busy(state) or (_cannot_resume(state, old) if old else _cannot_begin(state)) or _between_attempts(state)
    if obstacle is not None:
        return Skip(reason=obstacle)
    version = old.n if old else state.next_number
    reason = f"v{version} goes on where it stopped" if old else _why_now(state)
    return Request(version=version, attempt=state.attempts, resume=old is not None, reason=reason)


def _busy(state: LoopState) -> str | None:
    """What stops everything, old and new."""
    if not state.settings.finetune_enabled:
        return f"training is switched off (finetune_enabled); {_waiting(state)}"
    if state.run_in_flight:
        return f"run {state.run_in_flight[:8]} is in flight; {_waiting(state)}"
    return None


def _cannot_resume(state: LoopState, version: UnfinishedVersion) -> str | None:
    if version.lease == "alive":
        return f"v{version.n} is being trained by {version.owner or 'another run'}; {_waiting(state)}"
    if version.desired == "stop":
        at = "" if version.step is None else f" at step {version.step}"
        return f"v{version.n} was stopped by a person{at}: resume or cancel it"
    if state.cancelled_by_person:
        return f"the run of v{version.n} was cancelled by a person: resume or cancel the version"
    return None


def _cannot_begin(state: LoopState) -> str | None:
    """A person's trigger goes past pause, interval and a cancelled run; only `force` goes below the threshold."""
    if state.waiting == 0:
        return "no eligible conversation waits"
    if state.trigger is not None:
        return None if state.trigger.force else _below_threshold(state)
    return _below_threshold(state) or _not_by_itself(state)


def _below_threshold(state: LoopState) -> str | None:
    size = state.settings.finetune_batch_size
    return None if state.waiting >= size else f"{state.waiting} of {size} eligible conversations"


def _not_by_itself(state: LoopState) -> str | None:
    if not state.settings.finetune_auto_trigger:
        return f"automatic training is switched off (finetune_auto_trigger); {_waiting(state)}"
    if state.paused is not None:
        return f"automatic training is paused: {state.paused}; {_waiting(state)}"
    if state.cancelled_by_person:
        return f"the last run was cancelled by a person before it began: trigger a run to go on; {_waiting(state)}"
    if state.ingesting is not None:
        return f"dataset {state.ingesting} is being taken in, and is waited for; {_waiting(state)}"
    finished, interval = state.seconds_since_finished, state.settings.finetune_min_interval_seconds
    if finished is not None and finished < interval:
        left = math.ceil(interval - finished)
        return f"the last version finished less than {interval} s ago: {left} s left; {_waiting(state)}"
    return None


def _between_attempts(state: LoopState) -> str | None:
    version = state.unfinished.n if state.unfinished else state.next_number
    if state.attempts >= state.max_attempts:
        return f"v{version} used all its {state.max_attempts} attempts: look at the last run's error"
    if state.backoff_seconds_left > 0:
        return f"v{version} is tried again in {math.ceil(state.backoff_seconds_left)} s"
    return None


def _why_now(state: LoopState) -> str:
    if state.trigger is not None:
        how = "by force" if state.trigger.force else "by request"
        return f"trigger {state.trigger.id}, {how}: {_waiting(state)}"
    return f"{state.waiting} of {state.settings.finetune_batch_size} eligible conversations"


def _waiting(state: LoopState) -> str:
    return f"{state.waiting} eligible conversation{'' if state.waiting == 1 else 's'} waiting"
