"""Losses of conversations under base, candidate and champion: one model in memory, adapters switched on it."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.rendering import Rendered
from wrappers.generation import Decoding, greedy
from wrappers.lora_model import CONFIG, load_adapter, load_base, token_losses
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
    """A base with named adapters on it; `losses` answers for any of them, or for the base without any.

    What lies in a folder without an adapter is a whole model, kept in memory beside the base. `alive` is called after
    each piece of work under one of them.
    """

    def __init__(
        self,
        base: "PreTrainedModel",
        adapters: Mapping[str, Path],
        row_tokens: int,
        cache: LossCache | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._alive = alive
        self._row_tokens = row_tokens
        self._adapters = adapters
        self._cache = cache
        self.model: Any = base
        self._base = base
        self._whole: dict[str, Any] = {}
        for name, folder in adapters.items():
            if not (folder / CONFIG).is_file():
                self._whole[name] = load_base(folder, base.device.type)
            elif self.model is base:
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

    def answers(self, name: str, prompts: Sequence[Sequence[int]], decoding: Decoding, tokenizer: Any) -> list[str]:
        """The greedy answer to each prompt under the adapter `name`, or under the plain base; special tokens show."""

        def measured() -> list[str]:
            with self._under(name) as model:
                found = greedy(model, prompts, decoding)
            return [tokenizer.decode([token for token in ids if token not in decoding.stop]) for ids in found]

        if self._cache is None or not prompts:
            return measured()
        return self._cache.answers(self._adapters.get(name), decoding.max_new_tokens, prompts, measured)

    def seconds_a_token(
        self, names: Sequence[str], prompt: Sequence[int], rounds: int, steps: int
    ) -> dict[str, list[float]]:
        """Time of one token after a short prompt, by adapter, measured in turn so that a busy machine slows all.

        On a CPU it is the time this process computed: others would be measured too.
        """
        device = next(self.model.parameters()).device.type
        clock = time.process_time if device == "cpu" else time.perf_counter
        found: dict[str, list[float]] = {name: [] for name in names}
        decoding = Decoding(steps, frozenset(), 0)
        for at in range(rounds + 1):
            for name in names:
                with self._under(name) as model:
                    began = clock()
                    greedy(model, [prompt], decoding)
                    if at:  # the first round fills caches
                        found[name].append((clock() - began) / steps)
        return found

    def add_plain(self, name: str) -> None:
        """An adapter of rank 1 that changes nothing: what the base costs in an engine that serves adapters."""
        from peft import LoraConfig

        self.model.add_adapter(name, LoraConfig(r=1, target_modules="all-linear", task_type="CAUSAL_LM"))

    def changed(self, name: str) -> bool:
        """Whether the adapter does anything: some B matrix is not zero, or some weight of a whole model another."""
        if name in self._whole:
            base = {key.replace(".base_layer", ""): tensor for key, tensor in self._base.named_parameters()}
            return any(not tensor.equal(base[key]) for key, tensor in self._whole[name].named_parameters())
        return any(
            bool(parameter.detach().any())
            for key, parameter in self.model.named_parameters()
            if f".lora_B.{name}." in key
        )

    def _measured(self, name: str, conversations: Sequence[Rendered]) -> list[float]:
        with self._under(name) as model:
            return mean_losses(model, conversations, self._row_tokens)

    @contextmanager
    def _under(self, name: str) -> Iterator[Any]:
        with self._switched_to(name) as model:
            yield model
        self._alive()

    @contextmanager
    def _switched_to(self, name: str) -> Iterator[Any]:
        if name in self._whole:
            yield self._whole[name]
            return
        if name != BASE:
            self.model.set_adapter(name)
        self.model.eval()
        plain = name == BASE and hasattr(self.model, "disable_adapter")
        with self.model.disable_adapter() if plain else nullcontext():
            yield self.model
