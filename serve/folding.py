"""An adapter folded into the weights: a second operator beside a layer's own, for steps whose rows are all of it.

The layer's own operator is never touched. What a row is answered with is decided anew in every step and layer, by whose
rows they are, so that nothing has to be drained, an unfinished fold is no danger, and to undo it is to forget it.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from serve.grouped_lora import GroupedLayer
from serve.packed_linear import Operator, packed

_BLOCK = 256  # rows of the unit matrix at once
_PROBES = 16
_NOISE = 0.02  # of the output; bfloat16 keeps 8 bits
_SHARE = 0.2  # of what the adapter adds
_SPARE = 2  # times the memory of the operators must be free


class FoldRefused(Exception):
    """The adapter cannot be folded; it is answered with as before. Picklable."""


class FoldedLayer:
    """One linear layer with the operators of the adapters folded into it, by slot."""

    def __init__(self, grouped: GroupedLayer, pack: Callable[[Any], Operator] | None = None) -> None:
        self._grouped, self._steps, self._pack = grouped, grouped.steps, pack or packed
        self._operators: dict[int, Operator] = {}
        self._stock: Operator = grouped.layer.apply
        grouped.layer.apply = self.apply
        grouped.forgetting.append(self.forget)

    @property
    def bytes(self) -> int:
        """Memory that one folded operator takes."""
        stack = self._grouped.layer.lora_a_stacked[0]
        return int(stack.shape[-1] * sum(self._grouped.layer.output_slices) * stack.element_size())

    def apply(self, x: Any, bias: Any = None) -> Any:
        """The layer's answer: one product where all rows are of one folded slot, else what the layer does by itself."""
        steps = self._steps
        operator = self._operators.get(steps.only) if steps.only is not None else None
        if operator is None or x.numel() != steps.rows * x.shape[-1]:
            return self._stock(x, bias)
        return operator(x, bias)

    def folded(self, slot: int) -> bool:
        """Whether a step of this slot alone costs no more than one of the base."""
        return slot in self._operators or self._grouped.operators(slot) is None

    def fold(self, slot: int, seed: int) -> None:
        """Make the operator of a slot. Raises FoldRefused where it does not answer as layer and adapter do."""
        if (merged := self._grouped.matrices(slot)) is None:
            return
        down, up = (matrix.float() for matrix in merged)
        operator = self._pack(rounded(self._own_weight() + (down @ up).T, merged[0].dtype, seed))
        self._check(operator, down, up, seed)
        self._operators[slot] = operator

    def forget(self, slot: int) -> None:
        """The layer and its adapter answer by themselves again."""
        self._operators.pop(slot, None)

    def forget_all(self) -> None:
        self._operators.clear()

    def _own(self, x: Any) -> Any:
        """What the layer answers to rows without an adapter."""
        with self._steps.without_adapters(len(x)):
            return self._stock(x, None).float()

    def _own_weight(self) -> Any:
        """Read out by rows of the unit matrix (outputs x inputs): vLLM keeps only its own packed form. Exact."""
        import torch

        like = self._grouped.layer.lora_a_stacked[0]
        inputs = like.shape[-1]
        blocks = []
        for start in range(0, inputs, _BLOCK):
            rows = torch.zeros(min(_BLOCK, inputs - start), inputs, dtype=like.dtype)
            rows[:, start : start + len(rows)].fill_diagonal_(1)
            blocks.append(self._own(rows))
        return torch.cat(blocks).T

    def _check(self, operator: Operator, down: Any, up: Any, seed: int) -> None:
        """Too far from layer plus adapter, or off in the adapter's own direction: left out or counted twice."""
        import torch

        like = self._grouped.layer.lora_a_stacked[0]
        x = torch.randn(_PROBES, like.shape[-1], generator=torch.Generator().manual_seed(seed)).to(like.dtype)
        added = x.float() @ down @ up
        expected = self._own(x) + added
        off = operator(x, None).float() - expected
        noise, share = float(off.norm() / expected.norm()), float((off * added).sum() / added.square().sum())
        if not (noise <= _NOISE and abs(share) <= _SHARE):  # NaN agrees with nothing
            raise FoldRefused(
                f"expected the answer of layer and adapter, found one {noise:.2g} of it away, "
                f"{share:+.2g} of what the adapter adds"
            )


class Folds:
    """Mixed into vLLM's worker: folds a few layers at a time, between two steps."""

    _foldable: Sequence[FoldedLayer] = ()

    def fold_some(self, adapter: int, seconds: float) -> tuple[int, str]:
        """Fold layers of a loaded adapter for about `seconds`: how many are left, and why it was refused, or ""."""
        try:
            return self._fold_some(self._slot_of(adapter), seconds), ""
        except Exception as error:  # noqa: BLE001 - whatever it is, all layers still answer by themselves
            self.unfold()
            return 0, f"{type(error).__name__}: {error}"

    def unfold(self) -> None:
        """Forget every folded operator."""
        for layer in self._foldable:
            layer.forget_all()

    def _fold_some(self, slot: int, seconds: float) -> int:
        left = [number for number, layer in enumerate(self._foldable) if not layer.folded(slot)]
        if len(left) == len(self._foldable):
            _check_memory(sum(layer.bytes for layer in self._foldable))
        until = time.monotonic() + seconds
        while left:
            self._foldable[left[0]].fold(slot, seed=left.pop(0))
            if time.monotonic() >= until:
                break
        return len(left)

    def _slot_of(self, adapter: int) -> int:
        if not self._foldable:
            raise FoldRefused("expected the grouped LoRA operation, found vLLM's own in use")
        manager = self.model_runner.lora_manager._adapter_manager  # type: ignore[attr-defined]
        if adapter not in manager.lora_index_to_id:
            raise FoldRefused(f"expected adapter {adapter} in a LoRA slot, found {manager.lora_index_to_id}")
        return int(manager.lora_index_to_id.index(adapter))


def rounded(weight: Any, dtype: Any, seed: int) -> Any:
    """float32 to `dtype`, up or down by chance where that is bfloat16.

    Most of what an adapter adds is smaller than half a step of the weight it is added to: rounding to the nearest
    would drop it. By chance, the sum over a row's inputs keeps it. A weight to which nothing is added stays as it is.
    (Gupta et al. 2015, stochastic rounding.)
    """
    import torch

    if dtype != torch.bfloat16:
        return weight.to(dtype)
    generator = torch.Generator().manual_seed(seed)
    bits = weight.contiguous().view(torch.int32)
    noise = torch.randint(1 << 16, bits.shape, generator=generator, dtype=torch.int32)
    return ((bits + noise) & -(1 << 16)).view(torch.float32).to(dtype)


def _check_memory(needed: int) -> None:
    import psutil

    if (free := psutil.virtual_memory().available) < _SPARE * needed:
        raise FoldRefused(f"expected {_SPARE * needed / 2**20:.0f} MiB of free memory, found {free / 2**20:.0f}")
