"""Many short conversations in one row: no padding is computed, and none attends to another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.rendering import IGNORED, Rendered
from wrappers.packed_attention import Layout, lay_out

if TYPE_CHECKING:
    import torch

# Rows still open to a later conversation; more would pack little tighter and cost time on large datasets.
_OPEN_ROWS = 32


def pack(lengths: Sequence[int], row_tokens: int) -> list[tuple[int, ...]]:
    """Indices of `lengths` by row, first fit in the given order; what is longer than a row gets a row of its own."""
    rows: list[list[int]] = []
    room: list[int] = []
    for index, length in enumerate(lengths):
        first_open = max(0, len(rows) - _OPEN_ROWS)
        fit = next((row for row in range(first_open, len(rows)) if room[row] >= length), None)
        if fit is None:
            rows.append([index])
            room.append(row_tokens - length)
        else:
            rows[fit].append(index)
            room[fit] -= length
    return [tuple(row) for row in rows]


@dataclass(frozen=True)
class Batch:
    """One packed row as tensors; `positions` predict `targets`, and `owners` names the conversation of each target."""

    input_ids: "torch.Tensor"
    position_ids: "torch.Tensor"
    layout: Layout
    positions: "torch.Tensor"
    targets: "torch.Tensor"
    owners: "torch.Tensor"

    @property
    def tokens(self) -> int:
        """Tokens computed: context and labels, no padding."""
        return int(self.input_ids.numel())


def collate(conversations: Sequence[Rendered], device: "torch.device | str" = "cpu") -> Batch:
    """Lay the conversations one after another; positions restart at each, and none sees another."""
    import torch

    input_ids: list[int] = []
    position_ids: list[int] = []
    positions: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    for document, conversation in enumerate(conversations):
        start, length = len(input_ids), len(conversation.input_ids)
        labelled = [at for at in range(1, length) if conversation.labels[at] != IGNORED]
        positions += [start + at - 1 for at in labelled]
        targets += [conversation.labels[at] for at in labelled]
        owners += [document] * len(labelled)
        input_ids += conversation.input_ids
        position_ids += range(length)
    return Batch(
        input_ids=torch.tensor([input_ids], device=device),
        position_ids=torch.tensor([position_ids], device=device),
        layout=lay_out([len(conversation.input_ids) for conversation in conversations], device),
        positions=torch.tensor(positions, dtype=torch.long, device=device),
        targets=torch.tensor(targets, dtype=torch.long, device=device),
        owners=torch.tensor(owners, dtype=torch.long, device=device),
    )
