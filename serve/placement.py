"""Which part of the stack takes how much of a GPU, and whether all of it fits where it starts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from resources.settings import Settings

USUAL_SHARE = 0.45  # the trainer needs the rest
MOST_MEMORY = 0.95  # vLLM counts neither its own CUDA context nor anybody else's
_GRAIN = 10_000  # Ray counts GPUs in ten-thousandths


class PlacementRefused(ValueError):
    """The parts do not fit; one sentence that says which settings to change."""


@dataclass(frozen=True)
class Part:
    """`share` is of one GPU, for each replica at the most there may be; `memory` what vLLM takes of the GPU's."""

    name: str
    setting: str
    share: float = 0.0
    replicas: int = 1
    memory: float = 0.0

    def actor_options(self, cpus: float) -> dict[str, Any]:
        """For Ray: what a replica is scheduled by. CPUs are bookkeeping, not a limit."""
        return {"num_cpus": cpus, **({"num_gpus": self.share} if self.share else {})}

    def __str__(self) -> str:
        times = f"{self.replicas} × " if self.replicas > 1 else ""
        return f"{times}{self.share:g} for {self.name} ({self.setting})"


@dataclass(frozen=True)
class Placement:
    """All that Ray schedules. `second` is an engine of another size beside the first; a share of 0 is none."""

    engine: Part
    second: Part
    agent: Part
    rest: Part

    @property
    def on_gpu(self) -> bool:
        """Whether engines run on a GPU."""
        return self.engine.share > 0

    @property
    def taking(self) -> list[Part]:
        """The parts that take something of a GPU."""
        return [part for part in (self.engine, self.second, self.agent, self.rest) if part.share]


def placed(settings: Settings, gpus: float | None) -> Placement:
    """The parts as the settings have them, on so many GPUs (None: not known here). Raises PlacementRefused."""
    wanted = Placement(
        _engine(settings, gpus),
        _second(settings),
        Part("the agent", "AGENT_GPU_FRACTION", settings.agent_gpu_fraction if settings.agent_enabled else 0.0),
        Part("the rest", "REST_GPU_FRACTION", settings.rest_gpu_fraction),
    )
    _check(wanted, gpus)
    return wanted


def fits(parts: Iterable[Part], gpus: int) -> bool:
    """Whether every replica finds one GPU with room for it, the largest placed first, as no replica is split."""
    free = [_GRAIN] * gpus
    for size in sorted((round(part.share * _GRAIN) for part in parts for _ in range(part.replicas)), reverse=True):
        place = next((n for n, room in enumerate(free) if room >= size), None)
        if place is None:
            return False
        free[place] -= size
    return True


def most_engines(settings: Settings) -> int:
    """How many there may be at once."""
    return max(settings.engine_replicas, settings.engine_max_replicas) + (settings.second_engine_gpu_fraction > 0)


def autoscaling(settings: Settings) -> dict[str, Any]:
    """For the deployment of the engine: a fixed number of replicas, or a range and what each should be busy with."""
    least, most = settings.engine_replicas, settings.engine_max_replicas
    if most <= least:
        return {"num_replicas": least}
    target = settings.engine_target_requests or settings.engine_max_sequences
    ongoing = {"min_replicas": least, "max_replicas": most, "target_ongoing_requests": target}
    return {"autoscaling_config": {**ongoing, "initial_replicas": least}}


def _engine(settings: Settings, gpus: float | None) -> Part:
    asked = settings.engine_gpu_fraction
    share = asked if asked is not None else USUAL_SHARE if gpus else 0.0
    memory = settings.engine_gpu_memory if settings.engine_gpu_memory is not None else min(share, MOST_MEMORY)
    most = max(settings.engine_replicas, settings.engine_max_replicas)
    return Part("the engine", "ENGINE_GPU_FRACTION", share, most, memory if share else 0.0)


def _second(settings: Settings) -> Part:
    share = settings.second_engine_gpu_fraction
    return Part("a second engine", "SECOND_ENGINE_GPU_FRACTION", share, memory=min(share, MOST_MEMORY))


def _check(wanted: Placement, gpus: float | None) -> None:
    taking = wanted.taking
    if gpus == 0 and taking:
        raise PlacementRefused(
            f"{_set(taking)} needs a GPU, and Ray sees none here: remove it, and everything runs on the CPU; or see "
            "what nvidia-smi and CUDA_VISIBLE_DEVICES say."
        )
    if wanted.second.share and not wanted.on_gpu:
        raise PlacementRefused(
            f"{_set([wanted.second])} is beside an engine on a GPU, and ENGINE_GPU_FRACTION=0 takes none: raise it."
        )
    engine = wanted.engine
    if round(engine.memory * _GRAIN) > round(engine.share * _GRAIN):
        raise PlacementRefused(
            f"ENGINE_GPU_MEMORY={engine.memory:g} is more of a GPU than {_set([engine])} sets aside for an engine: "
            "lower the first or raise the second."
        )
    if gpus is not None and taking and not fits(taking, int(gpus)):
        raise PlacementRefused(_too_much(taking, int(gpus)))


def _too_much(taking: Sequence[Part], gpus: int) -> str:
    whole = sum(part.share * part.replicas for part in taking)
    here = f"{gpus} GPU{'s' if gpus > 1 else ''}"
    split = "" if whole > gpus else ", for a replica lies on one GPU whole"
    fewer = " or fewer replicas" if any(part.replicas > 1 for part in taking) else ""
    added = " + ".join(str(part) for part in taking)
    return f"{added} make {whole:g} and do not fit on {here}{split}: take smaller shares{fewer}."


def _set(parts: Sequence[Part]) -> str:
    return " and ".join(f"{part.setting}={part.share:g}" for part in parts)
