"""The embedding and the output head: vLLM multiplies their LoRA slots for every row, also where no adapter has any.

On a CPU that product with zeros, which copies the head's slots for every row, is a third of a step of 32 rows.
"""

from typing import Any


class QuietEnd:
    """Stands before the LoRA wrapper of one embedding or head, and asks it only while some slot has weights."""

    def __init__(self, layer: Any) -> None:
        import torch

        self._stock, self._layer = layer.punica_wrapper, layer
        stack = layer.lora_b_stacked
        self._filled = {slot for slot in range(len(stack)) if bool(torch.any(stack[slot]))}
        self._watch("set_lora")
        self._watch("reset_lora")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stock, name)

    def add_lora_logits(self, logits: Any, *arguments: Any, **named: Any) -> None:
        if self._filled:
            self._stock.add_lora_logits(logits, *arguments, **named)

    def add_lora_embedding(self, output: Any, *arguments: Any, **named: Any) -> None:
        if self._filled:
            self._stock.add_lora_embedding(output, *arguments, **named)

    def _watch(self, name: str) -> None:
        import torch

        stock = getattr(self._layer, name)

        def watched(index: int, *arguments: Any, **named: Any) -> None:
            try:
                stock(index, *arguments, **named)
            finally:
                seen = self._filled.add if torch.any(self._layer.lora_b_stacked[index]) else self._filled.discard
                seen(index)

        setattr(self._layer, name, watched)


def install(manager: Any) -> int:
    """Quieten every embedding and head of a model on a CPU; how many."""
    from vllm.lora.layers import LogitsProcessorWithLoRA, VocabParallelEmbeddingWithLoRA

    kinds = (LogitsProcessorWithLoRA, VocabParallelEmbeddingWithLoRA)
    ends = [layer for layer in manager.modules.values() if isinstance(layer, kinds)]
    for layer in ends:
        layer.punica_wrapper = QuietEnd(layer)
    return len(ends)
