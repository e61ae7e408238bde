"""How far training is."""

from dataclasses import dataclass

from resources.versions import Claim


@dataclass(frozen=True)
class Progress:
    """One report of the trainer; `version` is filled in by the store."""

    step: int
    total_steps: int
    loss: float | None
    learning_rate: float | None
    tokens_per_second: float | None
    eta_seconds: float | None
    stage: str
    version: int | None = None


class ProgressLog:
    def write(self, claim: Claim, progress: Progress) -> None:
        """Fenced when the claim is lost."""
        raise NotImplementedError

    def latest(self) -> Progress | None:
        """The last report of the unfinished version."""
        raise NotImplementedError

    def curve(self, n: int) -> list[Progress]:
        """One a step, in their order; what was repeated after a restart counts once."""
        raise NotImplementedError
