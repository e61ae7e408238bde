"""Losses of conversations under base, candidate and champion: one model in memory, adapters switched on it."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.rendering import Rendered
from wrappers.lora_model import load_adapter, token_losses
from wrappers.loss_cache import LossCache
from wrappers.packing import collate, pack
from wrappers.row_workers import RowWorkers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BASE = "base"


def mean_losses(model: Any, conversations: Sequence[Rendered], row_tokens: int) -> list[float]:
    """Mean nats per label token of each conversation; NaN where a conversation has no label."""
    import torch

    model.eval()
    device = next(model.parameters()).device

    def of_row(row: tuple[int, ...]) -> list[float]:
        batch = collate([conversations[index] for index in row], device)
        if not batch.targets.numel():
            return [math.nan] * len(row)
        with torch.inference_mode():
            losses = token_losses(model, batch).double()
        return [float(losses[batch.owners == owner].mean()) for owner in range(len(row))]

    rows = pack([len(conversation.input_ids) for conversation in conversations], row_tokens)
    with RowWorkers(len(rows), device.type) as workers:
        means = workers.map(of_row, rows)
    by_index = dict(zip(chain(*rows), chain(*means), strict=True))
    return [by_index[index] for index in range(len(conversations))]


class AdapterScorer:
    """A base with named adapters on it; `losses` answers for any of them, or for the base without any."""

    def __init__(
        self, base: "PreTrainedModel", adapters: Mapping[str, Path], row_tokens: int, cache: LossCache | None = None
    ) -> None:
        self._row_tokens = row_tokens
        self._adapters = adapters
        self._cache = cache
        self.model: Any = base
        for name, folder in adapters.items():
            if self.model is base:
                self.model = load_adapter(base, folder, name)
            else:
                self.model.load_adapter(folder, name, use_safetensors=True)

    def losses(self, name: str, conversations: Sequence[Rendered]) -> list[float]:
        """Mean nats per label token of each conversation under the adapter `name`, or under the plain base."""
        if self._cache is None:
            return self._measured(name, conversations)
        return self._cache.losses(
            self._adapters.get(name), self._row_tokens, conversations, lambda: self._measured(name, conversations)
        )

    def changed(self, name: str) -> bool:
        """Whether the adapter does anything: some B matrix is not zero."""
        return any(
            bool(parameter.detach().any())
            for key, parameter in self.model.named_parameters()
            if f".lora_B.{name}." in key
        )

    def _measured(self, name: str, conversations: Sequence[Rendered]) -> list[float]:
        if name != BASE:
            self.model.set_adapter(name)
        plain = name == BASE and hasattr(self.model, "disable_adapter")
        with self.model.disable_adapter() if plain else nullcontext():
            return mean_losses(self.model, conversations, self._row_tokens)
