"""Bodies and queries of the routes of models."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictFloat, StrictInt, model_validator

from core.domain import Identifier, Text
from core.text_metrics import METRICS, Metric
from resources.deployments import START_SETTINGS
from serve.dataset_schema import Metadata
from serve.schema import Closed, Paged

_UNKNOWN = re.compile(r"[^A-Za-z0-9_-]")
NATIVE = re.compile(r"v[1-9][0-9]{0,8}")
MOST_COMPARED = 20
_VERSION = re.compile(r"v[1-9][0-9]{0,8}|(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}")


def _plain(name: str, most: int) -> str:
    """What stands in addresses, folders and MLflow alike."""
    expected = f"expected 1 to {most} of the letters A-Z and a-z, digits, `-` and `_`"
    if not 1 <= len(name) <= most:
        raise ValueError(f"{expected}, found {len(name)} characters")
    if found := _UNKNOWN.search(name):
        raise ValueError(f"{expected}, found another at character {found.start() + 1}: write it without")
    return name


def _version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise ValueError("expected a version such as 1.2.0, or the native name such as v3")
    return text


ModelName = Annotated[str, AfterValidator(lambda name: _plain(name, 255)), Field(json_schema_extra={"maxLength": 255})]
Tag = Annotated[str, AfterValidator(lambda tag: _plain(tag, 50)), Field(json_schema_extra={"maxLength": 50})]
BenchmarkName = Annotated[str, AfterValidator(lambda name: _plain(name, 100))]
VersionName = Annotated[str, AfterValidator(_version)]
ModelId = Annotated[StrictInt, Field(ge=1, lt=2**31)]
Reason = Annotated[Text, Field(min_length=1, max_length=2000, pattern=r"\S")]
Share = Annotated[StrictFloat | StrictInt, Field(ge=0, le=1)]
_COUNTS = {"replicas", "max_replicas"}
Score = Annotated[StrictFloat | StrictInt, Field(ge=0, le=1)]


def _tags(value: Any) -> Any:
    """`a,b` as people write it in a query, and `tags=a&tags=b` too."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return value
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _each_once(ids: list[int]) -> list[int]:
    if not 2 <= len(ids) <= MOST_COMPARED or len(set(ids)) < len(ids):
        raise ValueError(
            f"expected 2 to {MOST_COMPARED} models, each once, found {len(ids)}, {len(set(ids))} different"
        )
    return ids


def _without_v(value: Any) -> Any:
    """`v3` in an address is what everything else calls model 3."""
    return value[1:] if isinstance(value, str) and NATIVE.fullmatch(value) else value


ModelPath = Annotated[int, BeforeValidator(_without_v)]


class RegisterBody(Closed):
    """`POST /api/v1/admin/models/register`; without `version` the native name, which is `v` and the job's number."""

    job_id: ModelId
    model_name: ModelName
    version: VersionName | None = None
    tags: Annotated[list[Tag], Field(max_length=50)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _native_name_is_its_own(self) -> Self:
        if self.version is not None and self.version.startswith("v") and self.version != self.native:
            raise ValueError(f"version: expected {self.native}, the native name of job {self.job_id}, or X.Y.Z")
        return self

    @property
    def native(self) -> str:
        return f"v{self.job_id}"


class ModelsQuery(Paged):
    """`GET /api/v1/admin/models`."""

    status: Literal["staging", "production", "archived"] | None = None
    base_model: Identifier | None = None
    tags: Annotated[list[Tag], BeforeValidator(_tags), Field(max_length=50)] | None = None
    match_all: bool = False
    search: Identifier | None = None


class PromoteBody(Closed):
    """`POST …/{id}/promote`; `force` overrules the gate, for a reason that is kept."""

    target: Literal["production", "archived"] = "production"
    force: StrictBool = False
    reason: Reason | None = None

    @model_validator(mode="after")
    def _overrules_for_a_reason(self) -> Self:
        if self.force and self.reason is None:
            raise ValueError("reason: expected why the gate is overruled, found none: force is kept with its reason")
        return self


class ReasonBody(Closed):
    """`POST …/{id}/archive` and `…/rollback`."""

    reason: Reason | None = None


class Fractions(Closed):
    """Shares of a GPU: of each engine, of one more engine of another size, of the agent, and kept free of all."""

    engine: Share | None = None
    second_engine: Share | None = None
    agent: Share | None = None
    rest: Share | None = None


class DeployBody(Closed):
    """`POST …/{id}/deploy`; null goes back to what the settings say."""

    pinned: StrictBool | None = None
    replicas: Annotated[StrictInt, Field(ge=1, le=64)] | None = None
    max_replicas: Annotated[StrictInt, Field(ge=0, le=64)] | None = None
    fractions: Fractions | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.model_fields_set or ("fractions" in self.model_fields_set and not self.start_settings()):
            raise ValueError("Expected pinned, replicas, max_replicas or fractions, found nothing to change")
        return self

    def start_settings(self) -> dict[str, int | float | None]:
        """What concerns the next start, as settings; only what was named."""
        given = self.model_fields_set
        values: dict[str, Any] = {f"engine_{name}": getattr(self, name) for name in sorted(given & _COUNTS)}
        if "fractions" in given:
            of = self.fractions or Fractions(engine=None, second_engine=None, agent=None, rest=None)
            values |= {f"{name}_gpu_fraction": getattr(of, name) for name in sorted(of.model_fields_set)}
        return {name: values[name] for name in START_SETTINGS if name in values}


class BenchmarkBody(Closed):
    """`POST …/{id}/benchmarks`."""

    benchmark_name: BenchmarkName
    score: Score
    details: Metadata = Field(default_factory=dict)


class BenchmarksQuery(Paged):
    """`GET …/{id}/benchmarks`."""

    benchmark_name: BenchmarkName | None = None


class EvaluateBody(Closed):
    """`POST …/{id}/evaluate`; without `dataset_id` all golden sets, without `metrics` all of them."""

    dataset_id: ModelId | None = None
    metrics: Annotated[list[Metric], Field(min_length=1, max_length=len(METRICS))] = Field(default=list(METRICS))


class CompareBody(Closed):
    """`POST /api/v1/admin/models/compare`."""

    model_ids: Annotated[list[ModelId], AfterValidator(_each_once)]
    benchmark_name: BenchmarkName | None = None
