"""A training that learns nothing ends where that shows, and not as an adapter that the gate has to judge."""

import math
from collections.abc import Sequence

from core.recipe import Recipe
from core.rendering import IGNORED, Rendered
from wrappers.training_outcome import TrainingFailed, TrainingImpossible

# so many different batches with one and the same loss, but for rounding: never by chance
_SAME, _NOISE = 10, 1e-6


def demand_labels(conversations: Sequence[Rendered]) -> None:
    """TrainingImpossible where there is nothing to learn."""
    if not conversations:
        raise TrainingImpossible("Expected at least one conversation to train on, found none")
    if all(label == IGNORED for conversation in conversations for label in conversation.labels[1:]):
        raise TrainingImpossible(
            f"Expected labels on the replies of {len(conversations)} conversations, found every token masked: "
            "the chat template does not mark the reply"
        )


def demand_sound(losses: Sequence[float], loss: float, norm: float, *, total: int, recipe: Recipe) -> None:
    """TrainingFailed where `loss` and gradient `norm` of the step after `losses` say that nothing is learned."""
    step = len(losses) + 1
    at = f"at step {step} of {total}"
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise TrainingFailed(
            f"Expected a finite loss and gradient {at}, found loss {loss} and gradient norm {norm}: "
            f"lower the learning rate ({recipe.learning_rate})"
        )
    if norm == 0.0 and loss > 0.0:
        raise TrainingFailed(
            f"Expected a gradient {at}, where the loss is {loss:.4g}, found none: no adapter matrix takes part in "
            f"what is computed; look at the targets of the recipe ({', '.join(recipe.targets)})"
        )
    last = [*losses[1 - _SAME :], loss]
    if len(last) == _SAME and max(last) - min(last) < _NOISE * loss:
        raise TrainingFailed(
            f"Expected a loss that changes from batch to batch, found {loss:.4g} in each of the {_SAME} steps up "
            f"to {step} of {total}: what is learned does not reach what is measured"
        )
