"""LoRA on a CPU by groups of rows: one product for all rows of an adapter, none for rows without one.

vLLM's own CPU operation copies an adapter's weights for every row, and gives rows without an adapter (slot -1) the
weights of the last slot. This one is put in front of it, layer by layer, where a self-test says that both agree.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from serve.packed_linear import Operator, packed

TOLERANCE = 0.05  # bfloat16 keeps 8 bits; the sums compared are of the order of 1


class Group(NamedTuple):
    """`rows`: a slice where the rows of the slot lie together, else their numbers as a tensor."""

    slot: int
    rows: Any


def groups_of(slots: Any) -> list[Group]:
    """The rows of each slot, from a tensor of one slot a row; -1 stands for no adapter."""
    import torch

    runs: dict[int, list[tuple[int, int]]] = {}
    values, lengths = torch.unique_consecutive(slots, return_counts=True)
    start = 0
    for slot, length in zip(values.tolist(), lengths.tolist(), strict=True):
        if slot >= 0:
            runs.setdefault(slot, []).append((start, start + length))
        start += length
    return [Group(slot, _rows(found)) for slot, found in runs.items()]


def _rows(runs: list[tuple[int, int]]) -> Any:
    import torch

    return slice(*runs[0]) if len(runs) == 1 else torch.cat([torch.arange(*run) for run in runs])


class Steps:
    """What the rows of the current step belong to; found once a step and used by every layer."""

    def __init__(self, wrapper: Any) -> None:
        self.rows, self.groups = -1, list[Group]()
        self.only: int | None = None  # the slot of all rows, if they share one
        self._wrapper, self._update = wrapper, wrapper.update_metadata
        wrapper.update_metadata = self._updated

    def _updated(self, *arguments: Any, **named: Any) -> None:
        self.rows = -1
        self._update(*arguments, **named)
        self.set(self._wrapper.token_lora_indices)

    def set(self, slots: Any) -> None:
        """The step has these rows, one slot a row."""
        self.groups, self.rows = groups_of(slots), len(slots)
        whole = len(self.groups) == 1 and self.groups[0].rows == slice(0, self.rows)
        self.only = self.groups[0].slot if whole else None

    @contextmanager
    def without_adapters(self, rows: int) -> Iterator[None]:
        """As if a step of this many rows of the base ran; then the step is again what it was."""
        kept = self.groups, self.rows, self.only
        self.groups, self.rows, self.only = [], rows, None
        try:
            yield
        finally:
            self.groups, self.rows, self.only = kept


class GroupedLayer:
    """One linear layer: its adapters' matrices side by side, made again when vLLM changes a slot.

    A of all slices is one matrix (inputs x slices·rank), B a block-diagonal one (slices·rank x outputs), so that a
    layer of three slices costs two products. A slot without weights costs nothing.
    """

    def __init__(self, layer: Any, steps: Steps, pack: Callable[[Any], Operator] = packed) -> None:
        self.layer, self.steps, self._pack = layer, steps, pack
        self.forgetting: list[Callable[[int], None]] = []  # called with a slot before and after vLLM writes to it
        self._stock: Callable[[Any, Any], Any] = layer._apply_lora_to_output
        self._operators: dict[int, tuple[Operator, Operator] | None] = {}
        self._watch("set_lora")
        self._watch("reset_lora")

    def apply(self, x: Any, output: Any) -> Any:
        """`output` plus what the adapters of its rows add to it, in place; stock where the step is not ours."""
        flat, inputs = output.view(-1, output.shape[-1]), x.reshape(-1, x.shape[-1])
        if inputs.shape[0] != self.steps.rows or flat.dtype != self.layer.lora_b_stacked[0].dtype:
            return self._stock(x, output)
        for slot, rows in self.steps.groups:
            if (found := self.operators(slot)) is None:
                continue
            down, up = found
            added = up(down(inputs[rows], None), None)
            if isinstance(rows, slice):
                flat[rows].add_(added)
            else:
                flat.index_add_(0, rows, added)
        return output

    def disagreement(self, wrapper: Any) -> float:
        """How far this is from stock, at most, on rows of two adapters and of none; leaves the slots empty."""
        import torch

        layer, generator = self.layer, torch.Generator().manual_seed(0)
        for stack in (*layer.lora_a_stacked, *layer.lora_b_stacked):
            for slot in (0, 1):
                stack[slot].normal_(0, stack.shape[-1] ** -0.5, generator=generator)
        slots = torch.tensor([0, -1, 1, 0, -1])
        wrapper._token_lora_indices[: len(slots)] = slots
        wrapper.indices_len[0], wrapper.is_prefill = len(slots), False
        self.steps.set(slots)
        like = layer.lora_a_stacked[0]
        x = torch.randn(len(slots), like.shape[-1], generator=generator).to(like.dtype)
        given = torch.randn(len(slots), sum(layer.output_slices), generator=generator).to(like.dtype)
        try:
            stock, ours = self._stock(x, given.clone()), self.apply(x, given.clone())
        finally:
            self.steps.rows = -1
            for slot in (0, 1):
                layer.reset_lora(slot)
        return float((stock.float() - ours.float()).abs().max())

    def matrices(self, slot: int) -> tuple[Any, Any] | None:
        """A (inputs x slices·rank) and B (slices·rank x outputs) of a slot, B with its scale; None without weights."""
        import torch

        downs = [stack[slot, 0] for stack in self.layer.lora_a_stacked]
        ups = [stack[slot, 0] for stack in self.layer.lora_b_stacked]
        if not any(torch.any(up) for up in ups):
            return None
        return torch.cat(downs).T, torch.block_diag(*ups).T

    def operators(self, slot: int) -> tuple[Operator, Operator] | None:
        """What multiplies by A and by B; None where the slot has no weights."""
        if slot not in self._operators:
            merged = self.matrices(slot)
            self._operators[slot] = (self._pack(merged[0].T), self._pack(merged[1].T)) if merged else None
        return self._operators[slot]

    def _watch(self, name: str) -> None:
        """Forget a slot's merged matrices whenever vLLM writes to it."""
        stock = getattr(self.layer, name)

        def watched(index: int, *arguments: Any, **named: Any) -> None:
            self._forget(index)
            stock(index, *arguments, **named)
            self._forget(index)

        setattr(self.layer, name, watched)

    def _forget(self, slot: int) -> None:
        self._operators.pop(slot, None)
        for forget in self.forgetting:
            forget(slot)


def install(manager: Any) -> list[GroupedLayer]:
    """Put the grouped operation before every linear layer, while no adapter is loaded. Raises ValueError: why not."""
    from vllm.lora.layers.base_linear import BaseLinearLayerWithLoRA

    layers = [layer for layer in manager.modules.values() if isinstance(layer, BaseLinearLayerWithLoRA)]
    wrappers = {id(layer.punica_wrapper): layer.punica_wrapper for layer in layers}
    if not layers or len(wrappers) != 1:
        raise ValueError(f"expected linear layers with one LoRA wrapper, found {len(layers)} layers, {len(wrappers)}")
    (wrapper,) = wrappers.values()
    steps = Steps(wrapper)
    grouped = [GroupedLayer(layer, steps) for layer in layers]
    shapes = {
        tuple(stack.shape for stack in layer.lora_b_stacked): ours for layer, ours in zip(layers, grouped, strict=True)
    }
    for ours in shapes.values():
        if not (found := ours.disagreement(wrapper)) <= TOLERANCE:  # NaN agrees with nothing
            raise ValueError(f"expected the answer of vLLM's own operation, found one {found:.3g} away")
    for layer, ours in zip(layers, grouped, strict=True):
        layer._apply_lora_to_output = ours.apply
    return grouped
