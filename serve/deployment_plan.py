"""What of a wished deployment would fit where this runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resources.deployments import START_SETTINGS
from resources.settings import Settings
from serve.errors import ApiError
from serve.placement import PlacementRefused, placed


@dataclass(frozen=True)
class DeploymentPlan:
    """The settings that run now, and the GPUs that Ray sees."""

    settings: Settings
    gpus: float

    def check(self, chosen: Mapping[str, Any]) -> None:
        """Raises ApiError 422 where the next start would refuse it; a ValidationError where settings contradict."""
        given = {name: getattr(self.settings, name) for name in self.settings.model_fields_set}
        try:
            placed(type(self.settings)(**{**given, **chosen}), self.gpus)
        except PlacementRefused as refused:
            raise ApiError(422, str(refused), param="fractions", code="does_not_fit") from None

    def running(self) -> dict[str, Any]:
        """What was started, as the API names it."""
        part = placed(self.settings, self.gpus)
        values = {name: getattr(self.settings, name) for name in START_SETTINGS}
        return named({**values, "engine_gpu_fraction": part.engine.share})


def named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as the deployment route names them."""
    shares = {name.removesuffix("_gpu_fraction"): share for name, share in values.items() if name.endswith("_fraction")}
    counts = {name.removeprefix("engine_"): number for name, number in values.items() if name.endswith("_replicas")}
    return {**counts, "fractions": shares}
