"""What is trained in which step: a function of lengths, recipe and seed alone, so that a resumed run repeats it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.recipe import Recipe


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
    everything = np.array([*lengths, *replay_lengths])
    # even steps: a short last one would weigh its few conversations more than the others
    steps = max(1, round(int(everything[chosen].sum()) / recipe.tokens_per_step))
    ends = np.cumsum(everything[chosen]) / max(1, everything[chosen].sum()) * steps
    groups = [[at for at, end in zip(chosen, ends, strict=True) if step < end <= step + 1] for step in range(steps)]
    return [Step(epoch, _rows(group, everything, recipe.pack_tokens)) for group in groups if group]


def _rows(group: Sequence[int], lengths: "np.ndarray", row_tokens: int) -> tuple[tuple[int, ...], ...]:
    """Rows of nearly equal size, longest conversations first: a step ends with its longest row."""
    count = max(1, round(int(lengths[list(group)].sum()) / row_tokens))
    rows: list[list[int]] = [[] for _ in range(count)]
    tokens = [0] * count
    for index in sorted(group, key=lambda index: (-int(lengths[index]), index)):
        least = tokens.index(min(tokens))
        rows[least].append(index)
        tokens[least] += int(lengths[index])
    return tuple(tuple(row) for row in rows if row)
