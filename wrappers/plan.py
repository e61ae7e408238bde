"""What is trained in which step: a function of lengths, recipe and seed alone, so that a resumed run repeats it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.recipe import Recipe
from wrappers.packing import pack


@dataclass(frozen=True)
class Step:
    """One optimiser step: packed rows of indices into new conversations followed by replayed ones."""

    epoch: int
    rows: tuple[tuple[int, ...], ...]


def plan(lengths: Sequence[int], replay_lengths: Sequence[int], recipe: Recipe) -> list[Step]:
    """All steps of a training; each epoch shuffles anew and draws its own replayed conversations."""
    return [step for epoch in range(recipe.epochs) for step in _epoch(epoch, lengths, replay_lengths, recipe)]


def replayed(new: int, pool: int, share: float) -> int:
    """How many of `pool` conversations make `share` of an epoch with `new` others; never one twice."""
    return min(pool, round(new * share / (1.0 - share)))


def learning_rate(step: int, total: int, recipe: Recipe) -> float:
    """Rate of a step (from 0): linear warm-up, then cosine to zero or constant."""
    warmup = round(total * recipe.warmup_share)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / (warmup + 1)
    if recipe.schedule == "constant":
        return recipe.learning_rate
    done = (step - warmup) / max(1, total - warmup)
    return recipe.learning_rate * 0.5 * (1.0 + float(np.cos(np.pi * done)))


def _epoch(epoch: int, lengths: Sequence[int], replay_lengths: Sequence[int], recipe: Recipe) -> list[Step]:
    draw = np.random.default_rng([recipe.seed, epoch])
    replay = draw.permutation(len(replay_lengths))[: replayed(len(lengths), len(replay_lengths), recipe.replay_share)]
    chosen = draw.permutation(np.concatenate([np.arange(len(lengths)), len(lengths) + replay])).astype(int).tolist()
    everything = [*lengths, *replay_lengths]
    rows = [
        tuple(chosen[at] for at in row) for row in pack([everything[index] for index in chosen], recipe.pack_tokens)
    ]
    # even steps: a short last one would weigh its few conversations more than the others
    steps = max(1, round(sum(everything[index] for index in chosen) / recipe.tokens_per_step))
    groups = np.array_split(np.arange(len(rows)), min(steps, len(rows)))
    return [Step(epoch, tuple(rows[at] for at in group)) for group in groups]
