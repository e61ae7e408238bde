"""Bodies and queries of the routes of jobs."""

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, Strict, StrictInt, create_model, model_validator

from core.domain import Identifier, Text
from core.recipe import Method, Recipe
from core.wish import MOST_GPUS, Wish
from resources.job_rows import Status
from serve.errors import ApiError
from serve.model_schema import ModelName, ModelPath
from serve.schema import Closed, Paged

__all__ = ["HyperParameters", "JobBody", "JobsQuery", "LogsQuery", "ModelPath", "ReasonBody"]

# names that trainers elsewhere use → ours; the first of each is the one that is shown
NAMES = {
    "lora_r": "rank",
    "lora_rank": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "targets",
    "num_epochs": "epochs",
}
_ROWS = ("micro_batch_size", "batch_size")
_MOST_ROWS = 1024


def _optional(name: str) -> Any:
    """The field of the recipe with its range, where it may be left out; no number is made out of a text or a truth."""
    field = Recipe.model_fields[name]
    parts = [*field.metadata, *([Strict()] if field.annotation in (int, float, bool) else [])]
    kind: Any = field.annotation
    for part in parts:
        kind = Annotated[kind, part]
    return (kind | None, Field(default=None, description=field.description))


_OWN = {name: _optional(name) for name in Recipe.model_fields if name != "method"}
_Rows = Annotated[StrictInt, Field(ge=1, le=_MOST_ROWS)] | None
_Fields = create_model(
    "_Fields", __base__=Closed, **{**_OWN, **{alias: _optional(name) for alias, name in NAMES.items()}}
)


class HyperParameters(_Fields):
    """Every number of the recipe by our name, and those that trainers elsewhere know by theirs."""

    micro_batch_size: _Rows = Field(default=None, description="Packed rows at once")
    batch_size: _Rows = Field(default=None, description="The same")
    gradient_accumulation_steps: _Rows = Field(default=None, description="Batches summed for one step")
    bf16: Literal[True] | None = Field(default=None, description="Always so")
    keep_last_n: Annotated[StrictInt, Field(ge=1, le=100)] | None = Field(
        default=None, description="Checkpoints that are kept, and the best beside them"
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        given: dict[str, str] = {}
        for name in sorted(self.model_fields_set):
            if getattr(self, name) is None:
                continue
            means = "micro_batch_size" if name in _ROWS else NAMES.get(name, name)
            if means in given:
                raise ValueError(f"expected each number once, found it as {given[means]} and as {name}")
            given[means] = name
        if "tokens_per_step" in given and {"micro_batch_size", "gradient_accumulation_steps"} & set(given):
            raise ValueError("expected tokens_per_step, or rows and how many of them make a step, found both")
        return self

    def recipe(self, usual: Recipe) -> dict[str, Any]:
        """The fields of the recipe that were named; rows count `usual` tokens where no other length is named."""
        said = self.model_dump(mode="json", exclude_none=True)
        fields = {NAMES.get(name, name): value for name, value in said.items() if name in {**_OWN, **NAMES}}
        rows = [said.get(name) for name in (*_ROWS, "gradient_accumulation_steps")]
        if any(rows):
            tokens = fields.get("pack_tokens", usual.pack_tokens)
            for many in filter(None, rows):
                tokens *= many
            fields["tokens_per_step"] = tokens
        return fields


def _gpus(ids: list[int]) -> list[int]:
    doubled = sorted({id for id in ids if ids.count(id) > 1})
    if doubled:
        raise ValueError(f"expected each GPU once, found {doubled[0]} {ids.count(doubled[0])} times")
    return ids


class JobBody(Closed):
    """`POST /api/v1/admin/finetuning/jobs`; what is left out is as the settings have it."""

    job_name: ModelName | None = None
    base_model: Identifier | None = None
    dataset_id: Annotated[StrictInt, Field(ge=1, lt=2**31)] | Literal["eligible"] = "eligible"
    method: Method | None = None
    hyperparameters: HyperParameters = Field(default_factory=HyperParameters)
    gpu_ids: Annotated[
        list[Annotated[StrictInt, Field(ge=0, lt=MOST_GPUS)]], Field(max_length=MOST_GPUS), AfterValidator(_gpus)
    ] = Field(default_factory=list)

    def wish(self, usual: Recipe, base_model: str, layers: Collection[str], gpus: float | None) -> Wish:
        """What is asked, held against the base that is served, its layers and the GPUs there are. ApiError 422."""
        self._check_base(base_model)
        self._check_gpus(gpus)
        named = self.hyperparameters.recipe(usual)
        self._check_layers(named.get("targets", ()), layers)
        if self.method is not None:
            named["method"] = self.method
        return Wish(
            job_name=self.job_name,
            dataset_id=None if self.dataset_id == "eligible" else self.dataset_id,
            gpu_ids=tuple(self.gpu_ids),
            checkpoint_keep=self.hyperparameters.keep_last_n,
            recipe=named,
        )

    def _check_base(self, served: str) -> None:
        asked = self.base_model
        if asked in (None, served):
            return
        is_path = asked.startswith(("/", "~", ".")) or ".." in asked or "\\" in asked or ":" in asked
        found = "a path" if is_path else "the name of another"
        message = f"base_model: expected {served}, the base that is served, found {found}: BASE_MODEL changes it"
        raise ApiError(422, message, param="base_model", code="unknown_model")

    def _check_gpus(self, gpus: float | None) -> None:
        for place, id in enumerate(self.gpu_ids):
            if gpus is not None and id >= gpus:
                there = f"a GPU of this machine, 0 to {int(gpus) - 1}" if gpus >= 1 else "none, this machine has no GPU"
                message = f"gpu_ids[{place}]: expected {there}, found {id}"
                raise ApiError(422, message, param=f"gpu_ids[{place}]", code="unknown_gpu")

    def _check_layers(self, targets: Collection[str], layers: Collection[str]) -> None:
        for place, target in enumerate(targets):
            if layers and not any(layer == target or layer.endswith(f".{target}") for layer in layers):
                known = ", ".join(sorted({layer.rpartition(".")[2] for layer in layers})[:20])
                where = f"hyperparameters.target_modules[{place}]"
                message = f"{where}: expected a linear layer of the base ({known}), found another name"
                raise ApiError(422, message, param=where, code="unknown_layer")


class ReasonBody(Closed):
    """`POST …/{id}/cancel`."""

    reason: Annotated[Text, Field(min_length=1, max_length=2000, pattern=r"\S")] | None = None


class JobsQuery(Paged):
    """`GET /api/v1/admin/finetuning/jobs`."""

    status: Status | None = None
    search: Identifier | None = None


class LogsQuery(Closed):
    """`GET …/{id}/logs`."""

    tail: int = Field(default=100, ge=1, le=5000)
