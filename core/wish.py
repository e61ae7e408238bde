"""What a person asks of one version beside the settings: its data, its name, and numbers of its recipe."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from core.domain import Domain
from core.live_settings import LiveSettings
from core.recipe import Recipe

# where a version keeps its wish, among the settings of its claim
WISH = "wish"
# fields of the recipe that are live settings too, under these names
LIVE = {"method": "finetune_method", "epochs": "finetune_epochs", "start_from": "start_from"}
MOST_GPUS = 8


def _each_once(ids: tuple[int, ...]) -> tuple[int, ...]:
    if doubled := sorted({id for id in ids if ids.count(id) > 1}):
        raise ValueError(f"expected each GPU once, found {doubled[0]} {ids.count(doubled[0])} times")
    return ids


GpuId = Annotated[int, Field(ge=0, lt=MOST_GPUS)]


class Wish(Domain):
    """`dataset_id`: of what waits only the conversations of that upload. `recipe` holds the fields that were named."""

    job_name: str | None = Field(default=None, min_length=1, max_length=255)
    dataset_id: int | None = Field(default=None, ge=1)
    gpu_ids: Annotated[tuple[GpuId, ...], AfterValidator(_each_once)] = ()
    checkpoint_keep: int | None = Field(default=None, ge=1, le=100)
    recipe: dict[str, Any] = Field(default_factory=dict)

    def on(self, recipe: Recipe) -> Recipe:
        """`recipe` with the numbers of this wish; a ValueError (pydantic) where they do not fit together."""
        return Recipe.model_validate({**recipe.model_dump(), **self.recipe})

    def stored(self) -> dict[str, Any]:
        """As plain JSON, of what was asked only."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a claim with what was asked in their place, and the wish itself beside them."""
        asked = {live: self.recipe[name] for name, live in LIVE.items() if name in self.recipe}
        return {**settings, **asked, WISH: self.stored()}


def wish_in(kept: Mapping[str, Any]) -> Wish:
    """The wish among the settings of a version, or among what a request to train came with; empty without one."""
    return Wish.model_validate(kept.get(WISH, {}))


def recipe_of(kept: Mapping[str, Any], live: LiveSettings, make: Callable[[LiveSettings], Recipe]) -> Recipe:
    """The recipe of a version: what was live at its claim, as `kept` has it, and what was wished of it."""
    at_claim = {name: kept[name] for name in LIVE.values() if name in kept}
    return wish_in(kept).on(make(live.changed(at_claim)))


def source_of(dataset_id: int) -> str:
    """What the conversations of an upload have as their source."""
    return f"dataset-{dataset_id}"
