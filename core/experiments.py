"""An experiment as planned: its arms, what is measured a user, and which way each metric is better."""

import math
import re
from datetime import datetime
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from core.domain import Domain, Text, UtcTime

MetricName = Literal["rating", "thumbs_up", "corrected", "latency", "length", "errors", "empty"]
Status = Literal["draft", "running", "stopped", "completed"]

LEAST_RATED = 30
LEAST_DAYS = 7
MODEL = re.compile(r"base|teacher|agent|v[1-9][0-9]{0,8}")


class Metric(NamedTuple):
    """`sign` is +1 where more is better, -1 where less is, 0 where neither.

    A guardrail holds while the challenger is worse by less than `margin` (a share of the control's mean where
    `relative`); `smallest` is the difference worth finding unless an experiment names another.
    """

    words: str
    sign: int
    margin: float
    smallest: float
    guards: bool = True
    relative: bool = False
    is_share: bool = False


METRICS: dict[str, Metric] = {
    "rating": Metric("rating, 1 to 5", +1, 0.2, 0.2),
    "thumbs_up": Metric("thumbs up, of all thumbs", +1, 0.05, 0.05, is_share=True),
    "corrected": Metric("replies corrected", -1, 0.05, 0.05, is_share=True),
    "latency": Metric("seconds a reply", -1, 0.1, 0.1, relative=True),
    "length": Metric("characters a reply", 0, 0.0, 0.1, guards=False, relative=True),
    "errors": Metric("replies that failed", -1, 0.01, 0.01, is_share=True),
    "empty": Metric("replies that were empty", -1, 0.01, 0.01, is_share=True),
}
SUCCESS_METRICS = tuple(name for name, metric in METRICS.items() if metric.sign)

ArmName = Annotated[str, Field(pattern=r"^[\w-]+$", max_length=32)]
ExperimentName = Annotated[str, Field(pattern=r"^[\w-]+$", max_length=255)]


class Arm(Domain):
    """`model` is `base`, `teacher`, `agent` or a version such as `v3`; `weight` its share of the traffic."""

    name: ArmName
    model: str
    weight: float = Field(gt=0, le=1, allow_inf_nan=False)

    @field_validator("model")
    @classmethod
    def _is_known(cls, model: str) -> str:
        if not MODEL.fullmatch(model):
            raise ValueError("expected base, teacher, agent or a version such as v3")
        return model

    @property
    def version(self) -> int | None:
        return int(self.model[1:]) if self.model.startswith("v") else None


class Design(Domain):
    """What is decided before the first user comes. The first arm is the control; `target_samples` counts an arm."""

    name: ExperimentName
    description: Text = Field(default="", max_length=2000)
    arms: tuple[Arm, ...] = Field(min_length=2, max_length=8)
    coverage: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)
    target_samples: int = Field(ge=LEAST_RATED, le=10_000_000)
    success_metric: MetricName
    minimum_effect: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        total = math.fsum(arm.weight for arm in self.arms)
        if not 0.99 <= total <= 1.01:
            raise ValueError(f"Expected the shares of the traffic to sum to 1, found {total:g}")
        for what, values in (("name", [a.name for a in self.arms]), ("model", [a.model for a in self.arms])):
            if len(set(values)) < len(values):
                raise ValueError(f"Expected every arm to have a {what} of its own, found one twice")
        if self.success_metric not in SUCCESS_METRICS:
            raise ValueError(f"Expected a success metric of {', '.join(SUCCESS_METRICS)}, found {self.success_metric}")
        return self

    @property
    def weights(self) -> tuple[float, ...]:
        return tuple(arm.weight for arm in self.arms)

    @property
    def control(self) -> Arm:
        return self.arms[0]

    def arm(self, name: str) -> Arm | None:
        return next((arm for arm in self.arms if arm.name == name), None)

    @property
    def smallest_effect(self) -> float:
        """The difference worth finding: absolute, or a share of the control's mean for relative metrics."""
        return self.minimum_effect or METRICS[self.success_metric].smallest


class Look(Domain):
    """One planned look: when, at which share of the planned users, and each challenger's z (positive is better)."""

    at: UtcTime
    fraction: float
    statistics: dict[str, float]


class Window(NamedTuple):
    """How long the experiment has run."""

    started_at: datetime | None
    until: datetime

    @property
    def days(self) -> float:
        return (self.until - self.started_at).total_seconds() / 86_400 if self.started_at else 0.0
