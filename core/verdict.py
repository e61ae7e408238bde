"""The gate's words: what was measured, what each check says of it, and the verdict."""

from typing import Annotated

from pydantic import Field, model_validator

from core.domain import Domain

Finite = Annotated[float, Field(allow_inf_nan=False)]


class PairedLoss(Domain):
    """One conversation scored by each model: mean loss in nats per label token. NaN is kept, and fails the gate."""

    conversation_id: str
    unit: str
    tokens: int = Field(ge=1)
    base: float
    candidate: float
    champion: float | None = None


class ArtifactSanity(Domain):
    """What the adapter's weights say before any text is scored."""

    finite: bool
    changed: bool
    right_base: bool
    detail: str = ""


class Evaluation(Domain):
    """All that was measured of a candidate; `champion` is the version it was compared with, None for the base."""

    version: int = Field(ge=1)
    base_fingerprint: str
    champion: int | None = None
    held_out: tuple[PairedLoss, ...]
    general: tuple[PairedLoss, ...]
    sanity: ArtifactSanity


class GateThresholds(Domain):
    """Where the gate draws its lines; losses in nats per token, negative differences are improvements."""

    alpha: float = Field(default=0.05, gt=0.0, lt=0.5, description="One-sided error rate of each check")
    min_held_out: int = Field(default=12, ge=2, description="Held-out conversations below which nothing is promoted")
    exact_below: int = Field(default=300, ge=2, description="Pairs below which the permutation test decides")
    base_margin: float = Field(default=0.02, ge=0.0, description="How much worse than the base is still no loss")
    general_margin: float = Field(default=0.02, ge=0.0, description="How much may be forgotten on the general set")
    bootstrap_draws: int = Field(default=10_000, ge=100, le=1_000_000)
    seed: int = Field(default=20260101, ge=0)
    power_effect: float = Field(default=0.05, gt=0.0, description="Improvement for which the power is stated")


class Check(Domain):
    """One question put to the measurements, with all that is needed to doubt the answer.

    Losses in nats a token, negative `estimate` is an improvement; `lower` and `upper` are one-sided bounds. `power` is
    the chance to pass if the truth were an improvement of `effect` (superiority) or no change under a margin of
    `effect` (non-inferiority); `detectable_effect` is the least effect seen in 80 % of cases.
    """

    name: str
    passed: bool
    statistic: str
    n: int
    clusters: int | None = None
    estimate: Finite | None = None
    lower: Finite | None = None
    upper: Finite | None = None
    p_value: Finite | None = None
    threshold: Finite | None = None
    effect: Finite | None = None
    power: Finite | None = None
    detectable_effect: Finite | None = None
    sentence: str


class Verdict(Domain):
    """What the gate says, with the lines it drew."""

    promoted: bool
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    thresholds: GateThresholds

    @model_validator(mode="after")
    def _is_earned(self) -> "Verdict":
        failed = [check.name for check in self.checks if not check.passed]
        if self.promoted and failed:
            raise ValueError(f"Expected every check passed in a promoting verdict, found failed: {', '.join(failed)}")
        return self
