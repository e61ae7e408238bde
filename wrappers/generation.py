"""Greedy answers to many prompts at once: left-padded batches over one key-value cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wrappers.lora_model import autocast
from wrappers.row_workers import RowWorkers

if TYPE_CHECKING:
    import torch

# Rows decoded side by side; more gain nothing on two cores, and on a GPU memory allows far more.
ROWS_ON_CPU = 48
ROWS_ON_GPU = 256


@dataclass(frozen=True)
class Decoding:
    """`stop` ids end an answer and are kept in it; `pad` fills short prompts on their left."""

    max_new_tokens: int
    stop: frozenset[int]
    pad: int


def greedy(model: Any, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[int]]:
    """The most likely continuation of each prompt, in their order; the same in every batch to within rounding."""
    device = next(model.parameters()).device
    rows = ROWS_ON_CPU if device.type == "cpu" else ROWS_ON_GPU
    order = sorted(range(len(prompts)), key=lambda at: (len(prompts[at]), at))
    batches = [order[start : start + rows] for start in range(0, len(order), rows)]
    with RowWorkers(len(batches), device.type) as workers:
        found = workers.map(lambda batch: _batch(model, [prompts[at] for at in batch], decoding, device), batches)
    by_place = {
        at: answer for batch, some in zip(batches, found, strict=True) for at, answer in zip(batch, some, strict=True)
    }
    return [by_place[at] for at in range(len(prompts))]


def _shared(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens that all prompts begin with, as a system message: computed once; one at least stays each prompt's own."""
    most = min(map(len, prompts)) - 1
    return next((at for at in range(most) if len({prompt[at] for prompt in prompts}) > 1), max(0, most))


def _batch(model: Any, prompts: Sequence[Sequence[int]], decoding: Decoding, device: "torch.device") -> list[list[int]]:
    import torch
    from transformers import DynamicCache

    shared = _shared(prompts)
    rests = [prompt[shared:] for prompt in prompts]
    longest = max(map(len, rests))
    ids = torch.tensor([[decoding.pad] * (longest - len(rest)) + list(rest) for rest in rests], device=device)
    mask = torch.tensor([[1] * shared + [0] * (longest - len(rest)) + [1] * len(rest) for rest in rests], device=device)
    positions = (mask.cumsum(1) - 1)[:, shared:].clamp(min=0)
    cache = DynamicCache()
    if shared:
        with torch.inference_mode(), autocast(model):
            start = torch.tensor([list(prompts[0][:shared])], device=device)
            model(input_ids=start, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache.batch_repeat_interleave(len(prompts))
    answers: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    with torch.inference_mode(), autocast(model):
        for _ in range(decoding.max_new_tokens):
            # an index, as a slice is not contiguous: the head would be copied once a row
            last = torch.tensor([ids.shape[1] - 1], device=device)
            logits = model(
                input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache,
                use_cache=True, logits_to_keep=last,
            ).logits[:, -1]  # fmt: skip
            chosen = logits.argmax(-1)
            for row, token in zip(alive, chosen.tolist(), strict=True):
                answers[row].append(token)
            going = [at for at, row in enumerate(alive) if answers[row][-1] not in decoding.stop]
            if not going:
                break
            if len(going) < len(alive):
                kept = torch.tensor(going, device=device)
                cache.batch_select_indices(kept)
                mask, positions, chosen = mask[kept], positions[kept], chosen[kept]
                alive = [alive[at] for at in going]
            ids = chosen[:, None]
            mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
            positions = positions[:, -1:] + 1
    return answers
