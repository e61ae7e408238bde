"""A few learning rates tried on a part of the conversations, and the one that validation likes best."""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from core.recipe import Recipe
from core.rendering import Rendered
from wrappers.lora_model import trainable
from wrappers.lora_scoring import mean_losses
from wrappers.lora_training import LoraTraining
from wrappers.ranks import ALONE, Ranks
from wrappers.training_outcome import TrainingFailed

logger = logging.getLogger(__name__)

# Of the conversations that each rate is tried on for one epoch, and how many at least.
_SHARE, _LEAST = 0.25, 64


def sweep(
    model: Any,
    conversations: Sequence[Rendered],
    validation: Sequence[Rendered],
    recipe: Recipe,
    *,
    ranks: Ranks = ALONE,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[float, float]:
    """Learning rate → validation loss after a short training with it; infinite where it did not stay finite.

    The weights are put back each time. TrainingFailed where no rate stayed finite.
    """
    import torch

    chosen = _sample(conversations, recipe.seed)
    start = {name: parameter.detach().clone() for name, parameter in trainable(model).items()}
    found: dict[float, float] = {}
    for factor in recipe.rate_factors:
        rate = min(1.0, recipe.learning_rate * factor)
        tried = recipe.model_copy(update={"learning_rate": rate, "epochs": 1, "patience": 0, "replay_share": 0.0})
        try:
            LoraTraining(model, chosen, [], tried, ranks=ranks).run(interrupted=interrupted)
            losses = mean_losses(model, validation, recipe.pack_tokens)
            found[rate] = sum(losses) / len(losses)
        except TrainingFailed:
            found[rate] = math.inf
        logger.info("A learning rate of %g: validation loss %.4f", rate, found[rate])
        with torch.no_grad():
            for name, parameter in trainable(model).items():
                parameter.copy_(start[name])
    if not any(math.isfinite(loss) for loss in found.values()):
        raise TrainingFailed(f"Expected one of the learning rates {sorted(found)} to stay finite, found none that did")
    return found


def best_of(found: dict[float, float]) -> float:
    """The rate with the least validation loss; of equals the lowest rate."""
    return min(found, key=lambda rate: (found[rate] if math.isfinite(found[rate]) else math.inf, rate))


def _sample(conversations: Sequence[Rendered], seed: int) -> list[Rendered]:
    size = min(len(conversations), max(_LEAST, round(len(conversations) * _SHARE)))
    drawn = np.random.default_rng(seed).permutation(len(conversations))[:size]
    return [conversations[at] for at in sorted(drawn.tolist())]
