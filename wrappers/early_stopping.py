"""When to stop before the last epoch: the weights with the least validation loss are kept, and taken in the end."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.rendering import Rendered
from wrappers.lora_scoring import mean_losses

if TYPE_CHECKING:
    import torch

_BEST = "best."


class EarlyStopping:
    """Looks at the end of each epoch, and is over when `patience` of them in a row brought nothing better."""

    def __init__(self, validation: Sequence[Rendered], patience: int, row_tokens: int) -> None:
        self._validation = validation
        self._patience = patience
        self._row_tokens = row_tokens
        self.losses: list[float] = []
        self._best: dict[str, torch.Tensor] = {}

    @property
    def looks(self) -> bool:
        return bool(self._patience and self._validation)

    @property
    def over(self) -> bool:
        """Whether to go on would only learn the training conversations by heart."""
        return bool(self.losses) and len(self.losses) - self._best_at() >= self._patience

    @property
    def best_loss(self) -> float | None:
        return min(self.losses, default=None)

    def look(self, model: Any, parameters: Mapping[str, "torch.nn.Parameter"]) -> float:
        """The validation loss of the weights as they are, in nats a label token."""
        losses = mean_losses(model, self._validation, self._row_tokens)
        model.train()
        self.losses.append(sum(losses) / len(losses))
        if self._best_at() == len(self.losses):
            self._best = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        return self.losses[-1]

    def take_best(self, parameters: Mapping[str, "torch.nn.Parameter"]) -> None:
        """Put the best weights back, where any were better than the last."""
        import torch

        with torch.no_grad():
            for name, weights in self._best.items():
                parameters[name].copy_(weights)

    def tensors(self) -> dict[str, "torch.Tensor"]:
        """What a checkpoint keeps of it, beside `losses`."""
        return {f"{_BEST}{name}": weights for name, weights in self._best.items()}

    def restore(self, losses: Sequence[float], tensors: Mapping[str, "torch.Tensor"]) -> None:
        self.losses = list(losses)
        self._best = {name.removeprefix(_BEST): kept for name, kept in tensors.items() if name.startswith(_BEST)}

    def _best_at(self) -> int:
        """The look that found it, from 1; of equals the first."""
        return self.losses.index(min(self.losses)) + 1 if self.losses else 0
