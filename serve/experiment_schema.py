"""Bodies and queries of the routes of experiments."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictFloat, StrictInt, StrictStr, model_validator

from core.domain import Identifier, Text
from core.experiments import LEAST_RATED, Arm, ArmName, Design, ExperimentName, MetricName, Status
from serve.schema import Closed, Paged

# an integer is a version's number; arms may also name `base`, `teacher` and `agent`
ModelId = StrictInt | StrictStr
# other names under which clients know what is measured
_SAME = {"user_rating": "rating", "avg_rating": "rating", "response_time": "latency", "response_time_ms": "latency"}
SuccessMetric = Annotated[
    MetricName, BeforeValidator(lambda name: _SAME.get(name, name) if isinstance(name, str) else name)
]
Share = Annotated[StrictFloat | StrictInt, Field(ge=0, le=1)]


class ArmBody(Closed):
    """One arm where there are more than two, or where base, teacher or agent is one."""

    name: ArmName
    model: ModelId
    weight: Share


class ExperimentBody(Closed):
    """`POST /api/v1/admin/ab-tests`: two models and their split, or `arms`; the first is the control."""

    experiment_name: ExperimentName
    description: Text = Field(default="", max_length=2000)
    model_a_id: ModelId | None = None
    model_b_id: ModelId | None = None
    traffic_split: dict[str, Share] | None = None
    arms: list[ArmBody] | None = Field(default=None, min_length=2, max_length=8)
    target_samples: StrictInt = Field(default=500, ge=LEAST_RATED, le=10_000_000)
    success_metric: SuccessMetric = "rating"
    minimum_effect: Annotated[StrictFloat | StrictInt, Field(gt=0)] | None = None
    coverage: Share = 1.0
    status: Literal["draft", "running"] = "running"

    @model_validator(mode="after")
    def _names_its_arms_once(self) -> Self:
        pair = (self.model_a_id, self.model_b_id, self.traffic_split)
        if (self.arms is None) == (pair[:2] == (None, None)) or (
            self.arms and any(value is not None for value in pair)
        ):
            raise ValueError("Expected model_a_id, model_b_id and traffic_split, or arms, one of the two ways")
        if self.arms is None and None in pair[:2]:
            raise ValueError("Expected model_a_id and model_b_id, found one of them")
        if self.traffic_split is not None and set(self.traffic_split) != {"a", "b"}:
            raise ValueError("Expected traffic_split to share out a and b, found other names")
        return self

    def design(self) -> Design:
        """As the domain has it; a ValidationError says what cannot be judged."""
        split = self.traffic_split or {"a": 0.5, "b": 0.5}
        pair = (("a", self.model_a_id), ("b", self.model_b_id))
        two = [{"name": name, "model": model_of(model), "weight": split[name]} for name, model in pair]
        given = [{**arm.model_dump(), "model": model_of(arm.model)} for arm in self.arms or ()]
        return Design(
            name=self.experiment_name,
            description=self.description,
            arms=tuple(Arm.model_validate(arm) for arm in given or two),
            coverage=self.coverage,
            target_samples=self.target_samples,
            success_metric=self.success_metric,
            minimum_effect=self.minimum_effect,
        )


class ExperimentPatch(Closed):
    """`PATCH`: what may change while it runs; `status: running` starts a draft."""

    coverage: Share | None = None
    description: Text | None = Field(default=None, max_length=2000)
    status: Literal["running"] | None = None
    traffic_split: Any = None
    arms: Any = None


class ExperimentsQuery(Paged):
    status: Status | None = None
    search: Identifier | None = None


class LogsQuery(Paged):
    """Pages of an experiment's replies."""


class AssignQuery(Closed):
    """Who is to be assigned: at least one of them."""

    user_id: Identifier | None = None
    session_id: Identifier | None = None


class LogBody(Closed):
    """`POST {id}/logs`: one reply that another program gave."""

    user_id: Identifier
    session_id: Identifier | None = None
    variant: str = Field(max_length=64)
    query: Text = Field(max_length=100_000)
    response: Text = Field(max_length=100_000)
    response_time_ms: Annotated[StrictFloat | StrictInt, Field(ge=0, le=86_400_000)]
    user_rating: StrictInt | None = Field(default=None, ge=1, le=5)
    user_feedback: Text | None = Field(default=None, max_length=10_000)


class StopBody(Closed):
    """`POST {id}/stop`."""

    reason: Text = Field(min_length=1, max_length=2000)


class ConcludeBody(Closed):
    """`POST {id}/conclude`; a reason makes the winner champion also where the results do not name it."""

    winner: str = Field(max_length=64)
    reason: Text | None = Field(default=None, min_length=1, max_length=2000)


def model_of(given: ModelId | None) -> str:
    return f"v{given}" if isinstance(given, int) else str(given)
