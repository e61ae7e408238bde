"""What the retrain sensor does next, as a pure function of what it sees."""

from typing import Literal

from pydantic import Field

from core.domain import Domain
from core.live_settings import LiveSettings

Lease = Literal["alive", "dead", "released"]


class UnfinishedVersion(Domain):
    """A version in state open or trained: somebody works on it, or somebody has to."""

    n: int = Field(ge=1)
    lease: Lease
    desired: Literal["run", "stop"] = "run"
    owner: str | None = None
    step: int | None = None


class WaitingTrigger(Domain):
    id: int
    force: bool


class LoopState(Domain):
    """`attempts`, `backoff_seconds_left` and `cancelled_by_person` speak of the version that would be requested."""

    settings: LiveSettings
    waiting: int = Field(ge=0)
    next_number: int = Field(ge=1)
    run_in_flight: str | None = None
    unfinished: UnfinishedVersion | None = None
    trigger: WaitingTrigger | None = None
    attempts: int = Field(default=0, ge=0)
    max_attempts: int = Field(default=5, ge=1)
    backoff_seconds_left: float = Field(default=0.0, ge=0.0)
    cancelled_by_person: bool = False
    paused: str | None = None
    seconds_since_finished: float | None = Field(default=None, ge=0.0)


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
    raise NotImplementedError
