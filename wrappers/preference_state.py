"""How far an adapter came with preferences, as a training state: what it was before them, and what they moved."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wrappers.checkpoints import MOMENTS, TrainingState

if TYPE_CHECKING:
    import torch

_OURS = "preferences"


@dataclass(frozen=True)
class Moved:
    """After so many steps on preferences: the weights and moments by name, and what was told of each step."""

    steps: int
    tensors: Mapping[str, "torch.Tensor"]
    losses: list[float]
    accuracies: list[float]


def moved(
    parameters: Mapping[str, "torch.nn.Parameter"],
    optimizer: Any,
    losses: list[float],
    accuracies: list[float],
) -> Moved:
    """What stands in these parameters and their optimiser now; a step a loss."""
    tensors = {f"weight.{name}": parameter.detach() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        tensors |= {f"{moment}.{name}": optimizer.state[parameter][moment] for moment in MOMENTS}
    return Moved(len(losses), tensors, list(losses), list(accuracies))


def put_back(found: Moved, parameters: Mapping[str, "torch.nn.Parameter"], optimizer: Any) -> None:
    """The reverse of `moved`."""
    import torch

    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(found.tensors[f"weight.{name}"])
            moments = {moment: found.tensors[f"{moment}.{name}"].to(parameter.device) for moment in MOMENTS}
            steps = torch.tensor(float(found.steps), device=parameter.device)
            optimizer.state[parameter] = {"step": steps, **moments}


def joined(before: TrainingState, found: Moved) -> TrainingState:
    """One state of both; of what came before the weights alone, as nothing moves them any more."""
    tensors = {name: tensor for name, tensor in before.tensors.items() if not name.startswith(MOMENTS)}
    tensors |= {f"{_OURS}.{name}": tensor for name, tensor in found.tensors.items()}
    told = {"after": before.step, "losses": found.losses, "accuracies": found.accuracies}
    metrics = {"loss": found.losses[-1]} if found.losses else {}
    return TrainingState(before.step + found.steps, tensors, {**before.figures, _OURS: told}, metrics)


def parted(state: TrainingState) -> tuple[TrainingState, Moved | None]:
    """The reverse of `joined`; None where the preferences had not begun."""
    told = state.figures.get(_OURS)
    if told is None:
        return state, None
    mark = f"{_OURS}."
    tensors = {name.removeprefix(mark): tensor for name, tensor in state.tensors.items() if name.startswith(mark)}
    rest = {name: tensor for name, tensor in state.tensors.items() if not name.startswith(mark)}
    figures = {name: value for name, value in state.figures.items() if name != _OURS}
    found = Moved(state.step - told["after"], tensors, told["losses"], told["accuracies"])
    return TrainingState(told["after"], rest, figures), found
